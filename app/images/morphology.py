"""Morphology with a square: the largest and smallest values around each pixel (Serra 1982).

B images, H × W pixels, C channels: (B, H, W, C)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor
from torch.nn import functional


def dilated(image: Tensor, size: int) -> Tensor:
    """The largest value within `size` × `size` pixels; what lies outside the picture does not count."""
    before, after = size // 2, size - 1 - size // 2
    pixels = functional.pad(image.movedim(-1, 1), (before, after, before, after), value=-float("inf"))
    # Rows, then columns: the largest of the largest.
    rows = functional.max_pool2d(pixels, (size, 1), stride=1)
    return functional.max_pool2d(rows, (1, size), stride=1).movedim(1, -1)


def eroded(image: Tensor, size: int) -> Tensor:
    """The smallest value within `size` × `size` pixels, which lie the other way round where the size is even."""
    return -dilated(-image.flip(1, 2), size).flip(1, 2)


def _opened(image: Tensor, size: int) -> Tensor:
    return dilated(eroded(image, size), size)


def _closed(image: Tensor, size: int) -> Tensor:
    return eroded(dilated(image, size), size)


OPERATIONS: Mapping[str, Callable[[Tensor, int], Tensor]] = MappingProxyType(
    {
        "erode": eroded,
        "dilate": dilated,
        "open": _opened,
        "close": _closed,
        "gradient": lambda image, size: dilated(image, size) - eroded(image, size),
        "bottom_hat": lambda image, size: _closed(image, size) - image,
        "top_hat": lambda image, size: image - _opened(image, size),
    }
)
