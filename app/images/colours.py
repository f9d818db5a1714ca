"""Brightness and colour apart: Y, Cb and Cr as JPEG has them (ITU-T T.871), 0.5 in place of its 128.

B images, H × W pixels: (B, H, W, 3) in 0..1
"""

from __future__ import annotations

from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
BLUE, RED = 1.772, 1.402  # twice what green and red, or green and blue, count in the luma


def to_ycbcr(image: Tensor) -> Tensor:
    """Red, green, blue → brightness, blueness, redness."""
    y = (image[..., :3] * image.new_tensor(LUMA)).sum(-1)
    made = image[..., :3].clone()
    made[..., 0], made[..., 1], made[..., 2] = y, (image[..., 2] - y) / BLUE + 0.5, (image[..., 0] - y) / RED + 0.5
    return made


def from_ycbcr(image: Tensor) -> Tensor:
    """The inverse of `to_ycbcr`, clamped to 0..1."""
    y, blue, red = image[..., 0], image[..., 1] - 0.5, image[..., 2] - 0.5
    made = image[..., :3].clone()
    made[..., 0], made[..., 2] = y + RED * red, y + BLUE * blue
    made[..., 1] = (y - LUMA[0] * made[..., 0] - LUMA[2] * made[..., 2]) / LUMA[1]
    return made.clamp(0, 1)
