"""A contact sheet: pictures with the prompts that they were drawn for."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SCALE = 2
PADDING = 14
CAPTION = 46  # pixels below a picture, three lines
INK, PAPER = (40, 44, 52), (250, 250, 248)


def contact_sheet(images: Tensor, prompts: Sequence[str], columns: int = 6) -> Image.Image:
    """Images (B, 3, P, P) in 0..1 twice as large, row by row, each over its prompt."""
    side = images.shape[-1] * SCALE
    width, height = side + PADDING, side + CAPTION + PADDING
    rows = -(-len(prompts) // columns)
    sheet = Image.new("RGB", (columns * width + PADDING, rows * height + PADDING), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(10)
    for index, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
        left, top = PADDING + index % columns * width, PADDING + index // columns * height
        pixels = (image.clamp(0, 1).movedim(0, -1) * 255).round().byte().numpy()
        picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(picture, (left, top))
        draw.multiline_text((left, top + side + 4), textwrap.fill(prompt, 25), fill=INK, font=font, spacing=2)
    return sheet
