"""A stock of scenes with their latents, so that the second stage does not encode every picture anew."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import torch
from torch import Tensor

from app.diffusion.models.autoencoder_kl import AutoencoderKL
from app.training.precision import mixed_precision
from app.training.scenes.captions import caption
from app.training.scenes.drawing import draw
from app.training.scenes.scene import Scene, random_scene
from app.weights.tensor_file import open_tensors, save_tensors

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


def stocked(model: AutoencoderKL, scale: float, count: int, seed: int, file: Path, side: int = 64) -> LatentStock:
    """`count` scenes with their latents; encoded once and kept in `file`, because encoding takes minutes.

    The scenes themselves follow from the seed and need no keeping.
    """
    rng = random.Random(seed)
    scenes = [random_scene(rng) for _ in range(count)]
    made_with = json.dumps({"scale": scale, "count": count, "seed": seed, "side": side})
    if file.exists():
        with open_tensors(file) as kept:
            if (kept.metadata() or {}).get("made_with") == made_with:
                return LatentStock(scenes, kept.get_tensor("latents"), seed)
    latents = _encoded(model, scale, scenes, side)
    save_tensors({"latents": latents}, file, {"made_with": made_with})
    return LatentStock(scenes, latents, seed)


@torch.no_grad()
def _encoded(model: AutoencoderKL, scale: float, scenes: list[Scene], side: int) -> Tensor:
    parts: list[Tensor] = []
    for start in range(0, len(scenes), 256):
        with mixed_precision():
            latents = model.encode(draw(scenes[start : start + 256], side) * 2.0 - 1.0).mean
        parts.append((latents.float() * scale).to(torch.bfloat16))
    return torch.cat(parts)
