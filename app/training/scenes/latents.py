"""A stock of scenes with their latents, so that the second stage does not encode every picture anew."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator

import torch
from torch import Tensor

from app.diffusion.models.autoencoder_kl import AutoencoderKL
from app.training.precision import mixed_precision
from app.training.scenes.captions import caption
from app.training.scenes.drawing import draw
from app.training.scenes.scene import Scene, random_scene

STRAY_WORDS = 0.05  # share of captions with a made-up word, so that unknown words do little harm


class LatentStock:
    """Scenes and their scaled latents, from which training samples with fresh captions are drawn."""

    def __init__(self, scenes: list[Scene], latents: Tensor, seed: int) -> None:
        self.scenes = scenes
        self.latents = latents
        self._rng = random.Random(seed)

    def __call__(self, count: int) -> tuple[Tensor, list[str]]:
        """`count` latents (count, C, h, w) and a new caption for each."""
        chosen = [self._rng.randrange(len(self.scenes)) for _ in range(count)]
        return self.latents[chosen].float(), [self._caption(self.scenes[index]) for index in chosen]

    def _caption(self, scene: Scene) -> str:
        text = caption(scene, self._rng)
        if self._rng.random() < STRAY_WORDS:
            words = text.split()
            stray = "".join(self._rng.choices(string.ascii_lowercase, k=self._rng.randint(2, 7)))
            words.insert(self._rng.randint(0, len(words)), stray)
            text = " ".join(words)
        return text


@torch.no_grad()
def fill_stock(model: AutoencoderKL, scale: float, count: int, seed: int, side: int = 64) -> Iterator[LatentStock]:
    """Draw and encode `count` scenes; yields the growing stock after every batch, the whole one last."""
    rng = random.Random(seed)
    scenes: list[Scene] = []
    parts: list[Tensor] = []
    while len(scenes) < count:
        batch = [random_scene(rng) for _ in range(min(256, count - len(scenes)))]
        with mixed_precision():
            latents = model.encode(draw(batch, side) * 2.0 - 1.0).mean
        scenes.extend(batch)
        parts.append((latents.float() * scale).to(torch.bfloat16))
        if len(scenes) >= count:
            yield LatentStock(scenes, torch.cat(parts), seed)
