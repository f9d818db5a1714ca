"""Pixels back to attributes, by measurement alone: the judge of what a model drew.

It knows the palette and the shapes, and nothing of any network. Images are (3, P, P) in 0..1.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.training.scenes.drawing import coverage
from app.training.scenes.scene import CELLS, RADII
from app.training.scenes.vocabulary import BACKGROUNDS, COLOURS, SHAPE_NAMES

MASK_DISTANCE = 60.0  # of 0..255 RGB: a pixel this far from the background belongs to an object
LEAST_PIXELS = 0.002  # of the canvas: smaller specks are no objects


@dataclass(frozen=True, slots=True)
class Sighting:
    """One object as read: indices into the vocabulary, place and radius in units of the canvas."""

    shape: int
    colour: int
    size: int
    x: float
    y: float
    radius: float
    match: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A background index and the objects, largest first."""

    background: int
    objects: tuple[Sighting, ...]


def read(image: Tensor) -> Reading:
    """Everything that can be read off an image (3, P, P) in 0..1."""
    pixels = image.clamp(0, 1).mul(255).permute(1, 2, 0).numpy().astype(np.float32)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ground = np.median(border, axis=0)
    background = _nearest(ground, BACKGROUNDS)
    mask = np.linalg.norm(pixels - ground, axis=2) > MASK_DISTANCE
    parts = [part for part in components(mask) if part.sum() >= LEAST_PIXELS * mask.size]
    parts.sort(key=lambda part: -int(part.sum()))
    return Reading(background, tuple(_sighting(pixels, part) for part in parts))


def components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The connected parts (eight neighbours) of a mask, each as a mask."""
    left = mask.copy()
    parts: list[NDArray[np.bool_]] = []
    height, width = mask.shape
    while left.any():
        part = np.zeros_like(mask)
        start = tuple(np.argwhere(left)[0])
        queue = deque([start])
        left[start] = False
        while queue:
            row, column = queue.popleft()
            part[row, column] = True
            for r in range(max(row - 1, 0), min(row + 2, height)):
                for c in range(max(column - 1, 0), min(column + 2, width)):
                    if left[r, c]:
                        left[r, c] = False
                        queue.append((r, c))
        parts.append(part)
    return parts


def cell_of(x: float, y: float) -> int:
    """The index of the nearest of the nine positions."""
    column = min(range(3), key=lambda i: abs(CELLS[i] - x))
    row = min(range(3), key=lambda i: abs(CELLS[i] - y))
    return row * 3 + column


def relation_holds(relation: int, first: Sighting, second: Sighting) -> bool:
    """Whether the first lies left of (0), right of (1), above (2) or below (3) the second."""
    across, down = second.x - first.x, second.y - first.y
    along, aside = (across, down) if relation < 2 else (down, across)
    return bool((along if relation % 2 == 0 else -along) > abs(aside))


def _nearest(colour: NDArray[np.float32], palette: dict[str, tuple[int, int, int]]) -> int:
    return int(np.argmin([np.linalg.norm(colour - np.array(entry)) for entry in palette.values()]))


def _sighting(pixels: NDArray[np.float32], part: NDArray[np.bool_]) -> Sighting:
    side = part.shape[0]
    rows, columns = np.nonzero(part)
    top, bottom = rows.min() / side, (rows.max() + 1) / side
    left, right = columns.min() / side, (columns.max() + 1) / side
    colour = _nearest(np.median(pixels[_core(part)], axis=0), COLOURS)
    reach = max(bottom - top, right - left) / 2
    shape, radius, match = _best_shape(part, (left + right) / 2, (top + bottom) / 2, reach)
    size = min(RADII, key=lambda index: abs(RADII[index] - radius))
    x, y = float(left + right) / 2, float(top + bottom) / 2
    return Sighting(shape, colour, size, x, y, radius, match)


def _core(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part without its blended edge, or the part itself where it is all edge."""
    inner = part.copy()
    inner[1:] &= part[:-1]
    inner[:-1] &= part[1:]
    inner[:, 1:] &= part[:, :-1]
    inner[:, :-1] &= part[:, 1:]
    return inner if inner.any() else part


def _best_shape(part: NDArray[np.bool_], x: float, y: float, reach: float) -> tuple[int, float, float]:
    """The shape, radius and overlap (intersection over union) of the best of the rendered templates."""
    extents = torch.tensor([0.95, 0.85, 0.95, 1.0, 1.0, 1.0])  # half the bounding box's side over the radius
    drops = torch.tensor([0.0, 0.0, 0.05, 0.0, 0.0, 0.0])  # how far the box's middle lies above the shape's, over it
    scales = torch.tensor([0.9, 0.95, 1.0, 1.05])
    shape = torch.arange(len(SHAPE_NAMES)).repeat_interleave(len(scales))
    radius = reach / extents[shape] * scales.repeat(len(SHAPE_NAMES))
    centre_y = y + drops[shape] * radius
    drawn = coverage(shape, torch.full_like(radius, x), centre_y, radius, part.shape[0]) > 0.4
    mask = torch.as_tensor(part)
    union = (drawn | mask).flatten(1).sum(1)
    overlap = (drawn & mask).flatten(1).sum(1) / union
    best = int(overlap.argmax())
    return int(shape[best]), float(radius[best]), float(overlap[best])
