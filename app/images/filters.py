"""Blurring, sharpening and fewer colours.

B images, H × W pixels, C channels: (B, H, W, C) in 0..1
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from app.images.pixels import from_picture, to_picture


def blur(image: Tensor, radius: int, sigma: float) -> Tensor:
    """Gaussian blur over 2·radius + 1 pixels; the picture is mirrored beyond its edges."""
    places = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    pixels = image.float().movedim(-1, 1)
    channels = pixels.shape[1]
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        kernel = weights.view(shape).expand(channels, 1, *(-1, -1))
        margin = (0, 0, radius, radius) if shape[2] == -1 else (radius, radius, 0, 0)
        pixels = functional.conv2d(_mirrored(pixels, margin), kernel, groups=channels)
    return pixels.movedim(1, -1)


def sharpen(image: Tensor, radius: int, sigma: float, strength: float) -> Tensor:
    """Unsharp masking: what a blur would take away is added `strength` times; clamped to 0..1."""
    return (image + strength * (image - blur(image, radius, sigma))).clamp(0, 1)


def quantise(image: Tensor, colours: int, dither: str = "none") -> Tensor:
    """Each image in `colours` colours of its own; `dither` is "none", "floyd-steinberg" or "bayer-N" (N × N)."""
    return torch.stack([_quantised(each[..., :3], colours, dither) for each in image])


def _quantised(image: Tensor, colours: int, dither: str) -> Tensor:
    picture = to_picture(image)
    palette = picture.quantize(colours, method=Image.Quantize.MEDIANCUT)
    if dither.startswith("bayer-"):
        order = int(dither.removeprefix("bayer-"))
        spread = 1 / max(1.0, colours ** (1 / 3))
        threshold = bayer(order).repeat(-(-image.shape[0] // order), -(-image.shape[1] // order))
        picture = to_picture(image + (threshold[: image.shape[0], : image.shape[1], None] - 0.5) * spread)
    kind = Image.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Image.Dither.NONE
    return from_picture(picture.quantize(palette=palette, dither=kind).convert("RGB"))


def bayer(order: int) -> Tensor:
    """Bayer's threshold matrix (1973), order × order, evenly spread in 0..1; order is a power of two."""
    matrix = torch.zeros(1, 1)
    while len(matrix) < order:
        matrix = torch.cat([torch.cat([4 * matrix, 4 * matrix + 2], 1), torch.cat([4 * matrix + 3, 4 * matrix + 1], 1)])
    return (matrix + 0.5) / matrix.numel()


def _mirrored(pixels: Tensor, margin: tuple[int, int, int, int]) -> Tensor:
    """Padded by reflection, and by repetition where the picture is smaller than the margin."""
    small = margin[0] >= pixels.shape[-1] or margin[2] >= pixels.shape[-2]
    return functional.pad(pixels, margin, mode="replicate" if small else "reflect")
