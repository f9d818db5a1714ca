"""Noise that depends on a seed and nothing else.

Initial noise is drawn on the CPU, so that a seed gives one picture on every device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from app.errors import InvalidRequest

SEED_LIMIT = 2**64


def generator_for(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for a seed in 0..2^64−1; raises InvalidRequest for any other."""
    if not 0 <= seed < SEED_LIMIT:
        raise InvalidRequest(f"The seed {seed} is out of range.", remedy="Choose a seed from 0 to 2^64 − 1.")
    return torch.Generator(device).manual_seed(seed)


def prepare_noise(latent: Tensor, seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
    """Initial noise shaped and typed as latent [B, C, …], on the CPU.

    Without `batch_index` the whole batch is one draw. With it, item k gets the noise that its index would have had
    in a batch drawn item by item, so one picture of a batch can be made again alone.
    """
    generator = generator_for(seed)
    draw = {"dtype": latent.dtype, "layout": latent.layout, "generator": generator, "device": "cpu"}
    if batch_index is None:
        return torch.randn(latent.shape, **draw)
    wanted = set(batch_index)
    drawn: dict[int, Tensor] = {}
    for index in range(max(wanted, default=-1) + 1):
        noise = torch.randn((1, *latent.shape[1:]), **draw)
        if index in wanted:
            drawn[index] = noise
    return torch.cat([drawn[index] for index in batch_index])


class GaussianNoise:
    """Independent noise for each request, from one seeded generator on the latent's device."""

    def __init__(self, like: Tensor, seed: int):
        self._like = like
        self._generator = generator_for(seed, like.device)

    def __call__(self, sigma: Tensor, sigma_next: Tensor, /) -> Tensor:
        like = self._like
        return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=self._generator)
