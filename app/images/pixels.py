"""Between tensors in 0..1 and the pictures of Pillow.

H × W pixels, C channels: 1 grey, 3 colours, 4 with alpha
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.errors import InvalidRequest

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def to_picture(image: Tensor) -> Image.Image:
    """One image (H, W, C) in 0..1 as a picture of 8 bits per channel; values outside are clamped.

    Raises:
        InvalidRequest: values that are no numbers, or a shape that is no image.
    """
    if image.ndim != 3 or image.shape[2] not in MODES or 0 in image.shape:
        raise InvalidRequest(
            f"A tensor of shape {list(image.shape)} is no image.", remedy="Link something that gives an IMAGE."
        )
    if not bool(torch.isfinite(image).all()):
        raise InvalidRequest(
            "The image holds values that are not numbers.",
            remedy="Look at the step that made it; with a sampler: lower cfg, or choose another sampler or scheduler.",
        )
    # Rounded, so that a picture that was read and is written again keeps every value.
    bytes_ = (image.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return Image.fromarray(bytes_[:, :, 0] if bytes_.shape[2] == 1 else bytes_)


def from_picture(picture: Image.Image) -> Tensor:
    """A picture of mode L, RGB or RGBA as (H, W, C) in 0..1."""
    pixels = torch.as_tensor(np.array(picture, dtype=np.uint8))
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels).float() / 255
