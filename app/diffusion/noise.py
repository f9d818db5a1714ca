"""Noise that depends on a seed and nothing else.

Initial noise is drawn on the CPU, so that a seed gives one picture on every device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from app.diffusion.denoiser import NoiseSource
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
    draw = partial(torch.randn, dtype=latent.dtype, layout=latent.layout, generator=generator, device="cpu")
    if batch_index is None:
        return draw(latent.shape)
    wanted = set(batch_index)
    drawn: dict[int, Tensor] = {}
    for index in range(max(wanted, default=-1) + 1):
        noise = draw((1, *latent.shape[1:]))
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


class BrownianNoise:
    """Increments of one Brownian path over sigma, scaled to unit variance.

    Requests over the same or overlapping stretches agree with each other, and the path depends on the seed only, not
    on the levels asked for: more steps follow the same path more closely.

    The path is a binary tree over [sigma_min, sigma_max] whose middle points are drawn from (seed, place in the tree).
    """

    # Leaves are 2^-20 of the range; a point inside one is bridged with noise of its own.
    DEPTH = 20

    def __init__(
        self, like: Tensor, seed: int, sigma_min: float, sigma_max: float, device: torch.device | str | None = None
    ):
        generator_for(seed)
        self._like, self._seed = like, seed
        self._low, self._high = sorted((float(sigma_min), float(sigma_max)))
        self._device = torch.device(device) if device is not None else like.device
        self._known: dict[float, Tensor] = {}

    def __call__(self, sigma: Tensor, sigma_next: Tensor, /) -> Tensor:
        start, end = float(sigma), float(sigma_next)
        difference = self._at(end) - self._at(start)
        # The end of this request is usually the start of the next.
        self._known = {t: w for t, w in self._known.items() if t in (start, end)}
        return (difference / abs(end - start) ** 0.5).to(self._like.device)

    def _at(self, t: float) -> Tensor:
        if t not in self._known:
            self._known[t] = self._descend(min(max(t, self._low), self._high))
        return self._known[t]

    def _descend(self, t: float) -> Tensor:
        low, high = self._low, self._high
        at_low = torch.zeros(self._like.shape, dtype=self._like.dtype, device=self._device)
        at_high = self._draw("end") * (high - low) ** 0.5
        place = 1
        for _ in range(self.DEPTH):
            if t in (low, high):
                break
            middle = (low + high) / 2
            at_middle = (at_low + at_high) / 2 + self._draw(f"{place}") * ((high - low) / 4) ** 0.5
            if t < middle:
                place, high, at_high = 2 * place, middle, at_middle
            else:
                place, low, at_low = 2 * place + 1, middle, at_middle
        if t == low or high == low:
            return at_low
        if t == high:
            return at_high
        part = (t - low) / (high - low)
        spread = ((t - low) * (high - t) / (high - low)) ** 0.5
        return at_low + part * (at_high - at_low) + self._draw(t.hex()) * spread

    def _draw(self, name: str) -> Tensor:
        digest = hashlib.blake2b(f"{self._seed}/{name}".encode(), digest_size=8).digest()
        generator = torch.Generator(self._device).manual_seed(int.from_bytes(digest))
        like = self._like
        return torch.randn(like.shape, dtype=like.dtype, device=self._device, generator=generator)


def step_noise(like: Tensor, seed: int) -> GaussianNoise:
    """Independent noise for the steps of a sampler.

    On the CPU its seed is one higher than that of the initial noise, which would otherwise come again in the first
    step; elsewhere another generator draws it anyway.
    """
    return GaussianNoise(like, (seed + (like.device.type == "cpu")) % SEED_LIMIT)


def repeated(noise: NoiseSource) -> NoiseSource:
    """One noise for the whole batch: that of its first item."""
    return lambda sigma, sigma_next: (drawn := noise(sigma, sigma_next))[:1].expand_as(drawn)


def tempered(noise: NoiseSource, temperature: float) -> NoiseSource:
    """Noise of standard deviation `temperature`; 0 follows the mean."""
    return lambda sigma, sigma_next: temperature * noise(sigma, sigma_next)


def dropped(noise: NoiseSource, probability: float, seed: int) -> NoiseSource:
    """Noise with this share of its entries zero and the others raised by 1 / (1 − probability), as in dropout."""
    generator = generator_for(seed)

    def draw(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        drawn = noise(sigma, sigma_next)
        kept = torch.rand(drawn.shape, generator=generator) >= probability
        return drawn * kept.to(drawn) / (1 - probability)

    return draw
