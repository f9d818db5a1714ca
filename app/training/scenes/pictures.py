"""Pictures of random scenes for training a first stage: first close-ups of objects, then whole canvases."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.training.scenes.drawing import draw
from app.training.scenes.scene import Scene, random_scene


@dataclass(slots=True)
class Pictures:
    """Batches of pictures, (n, 3, H, W) in 0..1.

    For the first `close_ups` of a run they are `crop` pixels wide and lie around an object: an autoencoder is
    convolutional, so what it learns there holds for the whole canvas, at a quarter of the cost and with no time spent
    on empty ground. A batch holds the same number of pixels either way.
    """

    seed: int
    batch: int = 16
    side: int = 64
    crop: int = 32
    close_ups: float = 0.75
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def __call__(self, fraction: float) -> Tensor:
        """A batch for the point of the run that `fraction` (0..1) says."""
        if fraction >= self.close_ups:
            return draw([random_scene(self._rng) for _ in range(self.batch)], self.side)
        scenes = [random_scene(self._rng) for _ in range(self.batch * (self.side // self.crop) ** 2)]
        whole = draw(scenes, self.side)
        return torch.stack([self._close_up(image, scene) for image, scene in zip(whole, scenes, strict=True)])

    def _close_up(self, image: Tensor, scene: Scene) -> Tensor:
        thing = self._rng.choice(scene.objects)
        column, row = (self._start(place) for place in (thing.x, thing.y))
        return image[:, row : row + self.crop, column : column + self.crop]

    def _start(self, place: float) -> int:
        """The first pixel of a crop that holds the place somewhere in its middle half."""
        shift = self._rng.uniform(0.25, 0.75) * self.crop
        return min(max(round(place * self.side - shift), 0), self.side - self.crop)
