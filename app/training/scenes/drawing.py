"""Scenes to pixels by signed distances, many at once. The same scene gives the same bytes, whatever the batch.

B scenes, K objects, P pixels along a side
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from app.training.scenes.scene import Scene
from app.training.scenes.vocabulary import BACKGROUNDS, COLOURS, SHAPE_NAMES

Distance = Callable[[Tensor, Tensor, Tensor], Tensor]


def circle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """Signed distance to a disc of radius 0.95 r, negative inside; so for the others below."""
    return (x * x + y * y).sqrt() - 0.95 * r


def square(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """A square with sides of 1.7 r."""
    return torch.maximum(x.abs(), y.abs()) - 0.85 * r


def triangle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """An upright triangle: its apex r above the middle, its foot 0.9 r below and 1.9 r wide."""
    side = (2.0 * x.abs() - y - r) / 5.0**0.5
    return torch.maximum(side, y - 0.9 * r)


def diamond(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """A square on its corner, 2 r across."""
    return (x.abs() + y.abs() - r) / 2.0**0.5


def cross(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """A plus sign 2 r across with arms 0.62 r thick."""
    x, y = x.abs(), y.abs()
    upright = torch.maximum(x - 0.31 * r, y - r)
    level = torch.maximum(x - r, y - 0.31 * r)
    return torch.minimum(upright, level)


def ring(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """A ring of outer radius r and inner radius 0.52 r."""
    return ((x * x + y * y).sqrt() - 0.76 * r).abs() - 0.24 * r


DISTANCES: dict[str, Distance] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "diamond": diamond,
    "cross": cross,
    "ring": ring,
}


def coverage(shape: Tensor, x: Tensor, y: Tensor, radius: Tensor, side: int) -> Tensor:
    """How much of each pixel each object covers, 0..1: (K,) each → (K, P, P)."""
    middle = (torch.arange(side, dtype=torch.float32) + 0.5) / side
    covered = torch.zeros(len(shape), side, side)
    for index, name in enumerate(SHAPE_NAMES):
        chosen = (shape == index).nonzero()[:, 0]
        if len(chosen):
            across = middle[None, None, :] - x[chosen, None, None]
            down = middle[None, :, None] - y[chosen, None, None]
            distance = DISTANCES[name](across, down, radius[chosen, None, None])
            covered[chosen] = (0.5 - distance * side).clamp(0.0, 1.0)
    return covered


def draw(scenes: Sequence[Scene], side: int = 64) -> Tensor:
    """Scenes as images in 0..1, anti-aliased: (B, 3, P, P)."""
    ground = torch.tensor(list(BACKGROUNDS.values()), dtype=torch.float32) / 255.0
    paint = torch.tensor(list(COLOURS.values()), dtype=torch.float32) / 255.0
    image = ground[[scene.background for scene in scenes]][:, :, None, None].repeat(1, 1, side, side)
    for layer in range(max((len(scene.objects) for scene in scenes), default=0)):
        where = [index for index, scene in enumerate(scenes) if len(scene.objects) > layer]
        objects = [scenes[index].objects[layer] for index in where]
        covered = coverage(
            torch.tensor([thing.shape for thing in objects]),
            torch.tensor([thing.x for thing in objects]),
            torch.tensor([thing.y for thing in objects]),
            torch.tensor([thing.radius for thing in objects]),
            side,
        )[:, None]
        colour = paint[[thing.colour for thing in objects]][:, :, None, None]
        image[where] = image[where] * (1.0 - covered) + colour * covered
    return image
