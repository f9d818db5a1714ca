"""Pictures beside each other, and on a larger ground.

B images, H × W pixels, C channels: (B, H, W, C) in 0..1
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from app.images.resize import resize

Direction = Literal["right", "down", "left", "up"]
COLOURS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "white": (1.0, 1.0, 1.0),
        "black": (0.0, 0.0, 0.0),
        "red": (1.0, 0.0, 0.0),
        "green": (0.0, 1.0, 0.0),
        "blue": (0.0, 0.0, 1.0),
    }
)


def stitched(
    first: Tensor, second: Tensor, direction: Direction, *, match: bool = True, gap: int = 0, colour: str = "white"
) -> Tensor:
    """The second pictures to the `direction` of the first, with so many pixels of a colour between them.

    With `match` the second ones get the first ones' height, or width below each other; else the smaller stand in the
    middle, on black. The last of fewer pictures is repeated; where one side is transparent, both are.
    """
    count, channels = max(len(first), len(second)), max(first.shape[-1], second.shape[-1])
    first, second = (_like(each, count, channels) for each in (first, second))
    axis = 2 if direction in ("right", "left") else 1
    across = 3 - axis
    if match and first.shape[across] != second.shape[across]:
        scale = first.shape[across] / second.shape[across]
        height, width = (max(1, round(side * scale)) for side in second.shape[1:3])
        size = (width, first.shape[1]) if axis == 2 else (first.shape[2], height)
        second = resize(second.movedim(-1, 1), *size, "lanczos").movedim(1, -1).clamp(0, 1)
    sides = max(first.shape[across], second.shape[across])
    parts = [_centred(each, across, sides) for each in (first, second)]
    if gap:
        shape = [count, *parts[0].shape[1:3], channels]
        shape[axis] = gap
        parts.insert(1, ground(colour, channels, first).expand(shape))
    return torch.cat(parts if direction in ("right", "down") else parts[::-1], dim=axis)


def fitted_on(image: Tensor, width: int, height: int, colour: str, method: str) -> Tensor:
    """Pictures as large as fit into width × height, in their proportions, in the middle of a ground of a colour."""
    scale = min(width / image.shape[2], height / image.shape[1])
    inner = min(width, max(1, round(image.shape[2] * scale))), min(height, max(1, round(image.shape[1] * scale)))
    small = resize(image.movedim(-1, 1), *inner, method).movedim(1, -1).clamp(0, 1)
    made = ground(colour, image.shape[-1], image).repeat(len(image), height, width, 1)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    made[:, top : top + inner[1], left : left + inner[0]] = small
    return made


def ground(colour: str, channels: int, like: Tensor) -> Tensor:
    """(1, 1, 1, C) of a colour, opaque."""
    return torch.tensor([*COLOURS[colour], 1.0][:channels], dtype=like.dtype, device=like.device).view(1, 1, 1, -1)


def _like(image: Tensor, count: int, channels: int) -> Tensor:
    if image.shape[-1] < channels:
        image = functional.pad(image, (0, channels - image.shape[-1]), value=1.0)
    return torch.cat([image, image[-1:].expand(count - len(image), -1, -1, -1)]) if len(image) < count else image


def _centred(image: Tensor, axis: int, length: int) -> Tensor:
    missing = length - image.shape[axis]
    if not missing:
        return image
    before = missing // 2
    padding = (before, missing - before)
    return functional.pad(image, (0, 0, *padding) if axis == 2 else (0, 0, 0, 0, *padding))
