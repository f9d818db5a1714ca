"""Pixels: areas against closed forms, and the same bytes whatever the batch."""

from __future__ import annotations

import math
import random

import pytest
import torch

from app.training.scenes.drawing import coverage, draw
from app.training.scenes.scene import Scene, Shape, random_scene
from app.training.scenes.vocabulary import BACKGROUNDS, COLOURS, SHAPE_NAMES

# Area over the square of the radius, from the shapes' definitions.
AREAS = {
    "circle": math.pi * 0.95**2,
    "square": 1.7**2,
    "triangle": 0.5 * 1.9 * 1.9,
    "diamond": 2.0,
    "cross": 2 * 2 * 0.62 - 0.62**2,
    "ring": math.pi * (1 - 0.52**2),
}


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_a_shape_covers_its_area(name: str) -> None:
    half, radius = torch.tensor([0.5]), torch.tensor([0.3])
    covered = coverage(torch.tensor([SHAPE_NAMES.index(name)]), half, half, radius, 256)
    assert covered.sum().item() / (0.3 * 256) ** 2 == pytest.approx(AREAS[name], rel=0.01)


def test_a_scene_gives_the_same_bytes_in_any_batch() -> None:
    scenes = [random_scene(random.Random(i)) for i in range(12)]
    together = draw(scenes)
    for index, scene in enumerate(scenes):
        assert torch.equal(draw([scene])[0], together[index])


def test_colours_are_the_palettes() -> None:
    scene = Scene("single", 1, (Shape(1, 2, 1, 0.5, 0.5, 0.2),), cell=4)
    image = (draw([scene], 32)[0] * 255).round().int()
    assert image[:, 0, 0].tolist() == list(list(BACKGROUNDS.values())[1])
    assert image[:, 16, 16].tolist() == list(list(COLOURS.values())[2])


def test_sizes() -> None:
    assert draw([random_scene(random.Random(1))], 96).shape == (1, 3, 96, 96)
