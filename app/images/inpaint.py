"""Preparing pictures whose parts are to be drawn anew.

B images, H × W pixels, C channels: (B, H, W, C) in 0..1
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from app.images.masks import as_batch, grow

GREY = 0.5


def erased(image: Tensor, mask: Tensor, factor: int, grow_by: int, cover: float = GREY) -> tuple[Tensor, Tensor]:
    """(the image, `cover` bright where the mask is above ½; the grown mask (B, 1, H, W)), in multiples of `factor`.

    What is beyond a multiple is cut evenly from both ends. The mask has any size and is stretched over the image.
    """
    stretched = functional.interpolate(as_batch(mask)[:, None].float(), size=image.shape[1:3], mode="bilinear")
    pixels = cut_evenly(image, factor)
    hard = cut_evenly(stretched[:, 0, :, :, None], factor)[..., 0].round()
    kept = (1 - hard)[..., None]
    # A square of grow_by pixels around each masked one, as half of it reaches to either side.
    larger = grow(hard, grow_by // 2, tapered=False) if grow_by else hard
    return (pixels - cover) * kept + cover, larger[:, None].round()


def cut_evenly(image: Tensor, factor: int) -> Tensor:
    """The middle of (B, H, W, C) whose sides are multiples of `factor`."""
    height, width = (side // factor * factor for side in image.shape[1:3])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]
