"""Scenes are reproducible, keep their promises of place, and leave the held-out combinations out."""

from __future__ import annotations

import random

import pytest

from app.training.scenes.scene import CELLS, held_out, random_scene
from app.training.scenes.vocabulary import BACKGROUND_NAMES, COLOUR_NAMES, SHAPE_NAMES


def test_a_seed_gives_the_same_scenes() -> None:
    first, second = ([random_scene(random.Random(7)) for _ in range(20)] for _ in range(2))
    assert first == second


def test_objects_lie_inside_the_canvas() -> None:
    rng = random.Random(1)
    for _ in range(300):
        for thing in random_scene(rng).objects:
            assert thing.x - thing.radius > 0 and thing.x + thing.radius < 1
            assert thing.y - thing.radius > 0 and thing.y + thing.radius < 1


def test_about_a_twelfth_of_the_combinations_is_held_out() -> None:
    combinations = [
        held_out(shape, colour, background)
        for shape in range(len(SHAPE_NAMES))
        for colour in range(len(COLOUR_NAMES))
        for background in range(len(BACKGROUND_NAMES))
    ]
    assert 0.04 < sum(combinations) / len(combinations) < 0.13


@pytest.mark.parametrize("unseen", [False, True])
def test_training_and_exam_do_not_share_combinations(unseen: bool) -> None:
    rng = random.Random(2)
    for _ in range(300):
        scene = random_scene(rng, unseen=unseen)
        thing = scene.objects[0]
        assert held_out(thing.shape, thing.colour, scene.background) is unseen


def test_kinds() -> None:
    rng = random.Random(3)
    single = random_scene(rng, kind="single")
    assert len(single.objects) == 1
    assert abs(single.objects[0].x - CELLS[single.cell % 3]) < 0.06
    pair = random_scene(rng, kind="pair")
    assert len(pair.objects) == 2
    assert 0 <= pair.relation < 4
    group = random_scene(rng, kind="count")
    assert len({(thing.shape, thing.colour, thing.size) for thing in group.objects}) == 1
    assert len(group.objects) in (2, 3)
