"""Scenes as data: what is on the canvas and where, drawn at random and reproducibly.

Lengths are in units of the canvas side (0..1); x grows to the right and y downwards.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

from app.training.scenes.vocabulary import BACKGROUND_NAMES, COLOUR_NAMES, RELATIONS, SHAPE_NAMES

RADII = {0: 0.11, 1: 0.2}  # small and large
RADIUS_JITTER = 0.012
PLACE_JITTER = 0.035
CELLS = (0.22, 0.5, 0.78)


@dataclass(frozen=True, slots=True)
class Shape:
    """One object: indices into the vocabulary's tuples, and its place and radius."""

    shape: int
    colour: int
    size: int
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A background and up to three objects.

    `kind` is "single", "pair" (two different objects; `relation` says where the first lies from the second) or
    "count" (equal objects). `cell` is the index of a single object's position, −1 otherwise.
    """

    kind: str
    background: int
    objects: tuple[Shape, ...]
    relation: int = -1
    cell: int = -1


def held_out(shape: int, colour: int, background: int) -> bool:
    """Whether this combination is kept from training, to test composition: about one in twelve, by hash."""
    return zlib.crc32(bytes((shape, colour, background))) % 12 == 0


def random_scene(rng: random.Random, *, kind: str | None = None, unseen: bool = False) -> Scene:
    """A scene without held-out combinations, or with `unseen` one whose first object is a held-out combination."""
    kind = kind or rng.choices(("single", "pair", "count"), (0.5, 0.3, 0.2))[0]
    background = rng.randrange(len(BACKGROUND_NAMES))
    first = _look(rng, background, unseen)
    if kind == "single":
        return _single(rng, background, first)
    if kind == "count":
        return _count(rng, background, first)
    second = _look(rng, background, False)
    while second == first:
        second = _look(rng, background, False)
    return _pair(rng, background, first, second)


def _look(rng: random.Random, background: int, unseen: bool) -> tuple[int, int]:
    """A shape and a colour that may, or must, be held out on this background."""
    while True:
        shape, colour = rng.randrange(len(SHAPE_NAMES)), rng.randrange(len(COLOUR_NAMES))
        if held_out(shape, colour, background) == unseen:
            return shape, colour


def _object(
    rng: random.Random, look: tuple[int, int], size: int, x: float, y: float, most: float = PLACE_JITTER
) -> Shape:
    jitter = [rng.uniform(-most, most) for _ in range(2)]
    radius = RADII[size] + rng.uniform(-RADIUS_JITTER, RADIUS_JITTER)
    low, high = radius + 0.01, 0.99 - radius
    x, y = (min(max(value + shift, low), high) for value, shift in zip((x, y), jitter, strict=True))
    return Shape(*look, size, x, y, radius)


def _single(rng: random.Random, background: int, look: tuple[int, int]) -> Scene:
    cell, size = rng.randrange(9), rng.randrange(2)
    shape = _object(rng, look, size, CELLS[cell % 3], CELLS[cell // 3])
    return Scene("single", background, (shape,), cell=cell)


def _pair(rng: random.Random, background: int, first: tuple[int, int], second: tuple[int, int]) -> Scene:
    """Two objects apart along one axis and near each other along the other, so that one relation holds."""
    relation = rng.randrange(len(RELATIONS))
    across = rng.uniform(0.3, 0.7)
    near, far = (0.26, 0.74) if relation % 2 == 0 else (0.74, 0.26)
    horizontal = relation < 2
    objects: list[Shape] = []
    for look, along in ((first, near), (second, far)):
        aside = across + rng.uniform(-0.06, 0.06)
        x, y = (along, aside) if horizontal else (aside, along)
        objects.append(_object(rng, look, rng.randrange(2), x, y))
    return Scene("pair", background, tuple(objects), relation=relation)


def _count(rng: random.Random, background: int, look: tuple[int, int]) -> Scene:
    """Two or three equal objects in different cells of a 3 × 3 grid, small when there are three."""
    count = rng.choice((2, 3))
    size = 0 if count == 3 else rng.randrange(2)
    cells = [(column, row) for column in CELLS for row in CELLS]
    while True:  # equal objects must not touch: within one cell of each other they would read as one
        chosen = rng.sample(cells, count)
        apart = all(
            max(abs(a[0] - b[0]), abs(a[1] - b[1])) > (0.5 if size else 0.25)
            for index, a in enumerate(chosen)
            for b in chosen[index + 1 :]
        )
        if apart:
            return Scene("count", background, tuple(_object(rng, look, size, x, y, 0.01) for x, y in chosen))
