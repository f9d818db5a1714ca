"""Noise that depends on a seed and nothing else.

Initial noise is drawn on the CPU, so that a seed gives one picture on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from app.diffusion.denoiser import NoiseSource
from app.errors import InvalidRequest

SEED_LIMIT = 2**64

# One seed for the whole batch, or one for each image.
Seeds = int | Sequence[int]
# (from, to)
Span = tuple[float, float]


def generator_for(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for a seed in 0..2^64−1; raises InvalidRequest for any other."""
    return torch.Generator(device).manual_seed(_checked(seed))


def seeds_of_images(seed: int, indices: Sequence[int]) -> list[int]:
    """A seed for each image: that of the batch plus the image's place in it, so that it can be made again alone."""
    return [(seed + index) % SEED_LIMIT for index in indices]


def noise_of_images(latent: Tensor, seeds: Sequence[int]) -> Tensor:
    """Initial noise shaped and typed as latent [B, C, …], on the CPU; each image's is what its seed gives alone."""
    return torch.cat([prepare_noise(latent[:1], seed) for seed in seeds])


# The seed of noise on what a model is shown beside the latent lies so far below the picture's (wrapping round).
BESIDE = 10


def noise_beside(value: Tensor, seed: Seeds) -> Tensor:
    """Noise shaped as value [B, …] for what is shown beside the latent, on the CPU; with several seeds [seeds, …]."""
    if isinstance(seed, int):
        return prepare_noise(value, (seed - BESIDE) % SEED_LIMIT)
    return noise_of_images(value, [(one - BESIDE) % SEED_LIMIT for one in seed])


def _checked(seed: int) -> int:
    if not 0 <= seed < SEED_LIMIT:
        raise InvalidRequest(f"The seed {seed} is out of range.", remedy="Choose a seed from 0 to 2^64 − 1.")
    return seed


def _listed(seed: Seeds) -> Sequence[int]:
    return [seed] if isinstance(seed, int) else seed


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
    """Independent noise for each request, from one seeded generator on the latent's device; or one for each image."""

    def __init__(self, like: Tensor, seed: Seeds):
        self._like = like
        self._generators = [generator_for(one, like.device) for one in _listed(seed)]
        self._alone = not isinstance(seed, int)

    def __call__(self, sigma: Tensor, sigma_next: Tensor, /) -> Tensor:
        like = self._like
        shape = (1, *like.shape[1:]) if self._alone else like.shape
        drawn = [
            torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)
            for generator in self._generators
        ]
        return drawn[0] if len(drawn) == 1 else torch.cat(drawn)

    def shaped(self, like: Tensor) -> GaussianNoise:
        """The same draws going on in another shape."""
        other = copy(self)
        other._like = like
        return other

    def of_images(self) -> list[GaussianNoise]:
        """The draws of each image, shaped as it is alone; none where the batch has one seed."""
        return [self._of_image(place) for place in range(len(self._generators))] if self._alone else []

    def _of_image(self, place: int) -> GaussianNoise:
        other = self.shaped(self._like[place : place + 1])
        other._generators = self._generators[place : place + 1]
        return other


class _Stretch(NamedTuple):
    """A part of the range of times, and its place in the tree: the `place`-th from the left at this depth."""

    start: float
    end: float
    place: int
    depth: int


class BrownianTree:
    """One Brownian path over [low, high], as torchsde's `BrownianTree` draws it (Apache-2.0), to the last bit.

    Times are rounded to six digits. Each stretch of the path is halved; the left half's increment is drawn from
    (seed, place, depth), given the whole's. A request is the sum of the largest stretches that make it up, so it
    depends on neither the order nor the number of requests.
    """

    DIGITS = 6
    POOL = 24  # words of numpy's seed sequence; torchsde's default

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device, seed: int, span: Span):
        self._shape, self._dtype, self._device, self._seed = tuple(shape), dtype, device, seed
        low, high = span
        self._whole = _Stretch(round(low, self.DIGITS), round(high, self.DIGITS), 0, 0)
        self._increment = self._draw(()) * math.sqrt(high - low)
        self._lefts: dict[tuple[int, int], Tensor] = {}

    def between(self, start: float, end: float) -> Tensor:
        """The increment from start to end, start < end; both are moved into the tree's range."""
        low, high = self._whole.start, self._whole.end
        start, end = (round(min(max(time, low), high), self.DIGITS) for time in (start, end))
        if start == end:
            return torch.zeros(self._shape, dtype=self._dtype, device=self._device)
        used: dict[tuple[int, int], Tensor] = {}
        parts = self._parts(self._whole, self._increment, (start, end), used)
        total = next(parts)
        for part in parts:
            total = total + part
        # The end of this request is usually the start of the next, which then finds its way half made.
        self._lefts = used
        return total

    def _parts(
        self, stretch: _Stretch, increment: Tensor, span: Span, used: dict[tuple[int, int], Tensor]
    ) -> Iterator[Tensor]:
        start, end, place, depth = stretch
        if span[0] <= start and end <= span[1]:
            yield increment
            return
        middle = round(0.5 * (end + start), self.DIGITS)
        key = (place, depth)
        left = self._lefts.get(key)
        if left is None:
            share, rest, whole = middle - start, end - middle, 1 / (end - start)
            left = share * increment * whole + math.sqrt(share * rest * whole) * self._draw(key)
        used[key] = left
        if span[0] < middle:
            yield from self._parts(_Stretch(start, middle, 2 * place, depth + 1), left, span, used)
        if span[1] > middle:
            yield from self._parts(_Stretch(middle, end, 2 * place + 1, depth + 1), increment - left, span, used)

    def _draw(self, key: tuple[int, ...]) -> Tensor:
        sequence = np.random.SeedSequence(entropy=self._seed, spawn_key=key, pool_size=self.POOL)
        seed = int(sequence.generate_state(1)[0])
        generator = torch.Generator(self._device).manual_seed(seed)
        return torch.randn(self._shape, dtype=self._dtype, device=self._device, generator=generator)


class BrownianNoise:
    """Increments of one Brownian path over sigma, scaled to unit variance; or of one path for each image.

    Requests over the same or overlapping stretches agree with each other, and the path depends on the seed and on the
    first and last level only: more steps follow the same path more closely.
    """

    def __init__(
        self, like: Tensor, seed: Seeds, sigma_min: float, sigma_max: float, device: torch.device | str | None = None
    ):
        low, high = sorted((float(sigma_min), float(sigma_max)))
        place = torch.device(device) if device is not None else like.device
        shape = like.shape if isinstance(seed, int) else (1, *like.shape[1:])
        self._device = like.device
        self._trees = [BrownianTree(shape, like.dtype, place, _checked(one), (low, high)) for one in _listed(seed)]

    def __call__(self, sigma: Tensor, sigma_next: Tensor, /) -> Tensor:
        start, end = sorted((float(sigma), float(sigma_next)))
        drawn = [tree.between(start, end) for tree in self._trees]
        increment = drawn[0] if len(drawn) == 1 else torch.cat(drawn)
        sign = -1 if float(sigma) > float(sigma_next) else 1
        # The root is taken in the levels' own precision, as the path's users elsewhere do.
        return (increment * sign / (sigma_next - sigma).abs().sqrt().to(increment.device)).to(self._device)


def step_noise(like: Tensor, seed: Seeds) -> GaussianNoise:
    """Independent noise for the steps of a sampler.

    On the CPU its seed is one higher than that of the initial noise, which would otherwise come again in the first
    step; elsewhere another generator draws it anyway.
    """
    further = int(like.device.type == "cpu")
    if isinstance(seed, int):
        return GaussianNoise(like, (seed + further) % SEED_LIMIT)
    return GaussianNoise(like, [(one + further) % SEED_LIMIT for one in seed])


def repeated(noise: NoiseSource) -> NoiseSource:
    """One noise for the whole batch: that of its first item."""
    return lambda sigma, sigma_next: (drawn := noise(sigma, sigma_next))[:1].expand_as(drawn)


def tempered(noise: NoiseSource, temperature: float | Callable[[Tensor], float]) -> NoiseSource:
    """Noise of standard deviation `temperature`, or of that at the level where its way begins; 0 follows the mean."""
    if callable(temperature):
        return lambda sigma, sigma_next: temperature(sigma) * noise(sigma, sigma_next)
    return lambda sigma, sigma_next: temperature * noise(sigma, sigma_next)


def dropped(noise: NoiseSource, probability: float) -> NoiseSource:
    """Noise with this share of its entries zero and the others raised by 1 / (1 − probability), as in dropout.

    Which ones, the next noise of the source decides: it must draw independently.
    """
    threshold = NormalDist().inv_cdf(probability)

    def draw(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        drawn = noise(sigma, sigma_next)
        kept = noise(sigma, sigma_next) >= threshold
        return drawn * kept.to(drawn) / (1 - probability)

    return draw
