"""How much of what a prompt says a picture shows, read by measurement."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

from app.training.scenes.captions import FULL, caption
from app.training.scenes.reader import Reading, Sighting, cell_of, read, relation_holds
from app.training.scenes.scene import Scene, random_scene


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares of pictures that show what was asked, 0..1.

    `background` is of all pictures; colour, size, shape, position and `everything` are of single objects; `relation`
    is of pairs with both shapes and colours right as well; `count` is of groups with the right number.
    """

    background: float
    colour: float
    size: float
    shape: float
    position: float
    everything: float
    relation: float
    count: float

    def as_dict(self) -> dict[str, float]:
        """The scores by name, rounded to tenths of a percent."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def exam(count: int, seed: int = 2024) -> list[tuple[Scene, str]]:
    """`count` scenes whose first object's combination was never trained, with captions that say everything.

    Half are single objects, three tenths pairs and a fifth groups.
    """
    rng = random.Random(seed)
    kinds = ["single"] * (count // 2) + ["pair"] * (count * 3 // 10)
    kinds += ["count"] * (count - len(kinds))
    scenes = [random_scene(rng, kind=kind, unseen=True) for kind in kinds]
    return [(scene, caption(scene, rng, FULL)) for scene in scenes]


def score(scenes: Sequence[Scene], images: Tensor) -> Scores:
    """Compare what the reader sees in images (B, 3, P, P), 0..1, with the scenes that were asked for."""
    readings = [read(image) for image in images]
    pairs = list(zip(scenes, readings, strict=True))
    singles = [_single(scene, reading) for scene, reading in pairs if scene.kind == "single"]
    return Scores(
        background=_share([reading.background == scene.background for scene, reading in pairs]),
        **{name: _share([result[name] for result in singles]) for name in SINGLE},
        relation=_share([_related(scene, reading) for scene, reading in pairs if scene.kind == "pair"]),
        count=_share([len(r.objects) == len(s.objects) for s, r in pairs if s.kind == "count"]),
    )


SINGLE = ("colour", "size", "shape", "position", "everything")


def _share(results: Sequence[bool]) -> float:
    return sum(results) / len(results) if results else 0.0


def _single(scene: Scene, reading: Reading) -> dict[str, bool]:
    """Which attributes of a single object are right, taken from the largest thing seen."""
    asked = scene.objects[0]
    if not reading.objects:
        return dict.fromkeys(SINGLE, False)
    seen = reading.objects[0]
    right = {
        "colour": seen.colour == asked.colour,
        "size": seen.size == asked.size,
        "shape": seen.shape == asked.shape,
        "position": cell_of(seen.x, seen.y) == scene.cell,
    }
    alone = len(reading.objects) == 1 and reading.background == scene.background
    return {**right, "everything": alone and all(right.values())}


def _related(scene: Scene, reading: Reading) -> bool:
    """Whether two objects of the right looks stand as asked."""
    if len(reading.objects) != 2:
        return False
    first, second = scene.objects
    for a, b in (reading.objects, reading.objects[::-1]):
        if _looks(a) == (first.shape, first.colour) and _looks(b) == (second.shape, second.colour):
            return relation_holds(scene.relation, a, b)
    return False


def _looks(seen: Sighting) -> tuple[int, int]:
    return seen.shape, seen.colour
