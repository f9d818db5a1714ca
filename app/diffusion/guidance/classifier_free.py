"""Classifier-free guidance (arXiv:2207.12598). `scale` is the paper's 1 + w."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser
from app.errors import OutOfMemory, is_out_of_memory

# (x, sigma) → (what the condition says, what its absence says), each shaped as x.
Pair = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# (positive, negative, x, sigma) → guided
Blend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def blend(positive: Tensor, negative: Tensor, scale: float) -> Tensor:
    """negative + scale·(positive − negative)."""
    return negative + scale * (positive - negative)


def rescaled(guided: Tensor, positive: Tensor, multiplier: float) -> Tensor:
    """Give guided the standard deviation of positive, per sample, mixed in by multiplier (arXiv:2305.08891, Eq. 15-16).

    The paper rescales the network's velocity; `rescaled_velocity` does that from clean latents.
    """
    axes = tuple(range(1, guided.ndim))
    factor = positive.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return guided * (multiplier * factor + (1 - multiplier))


def rescaled_velocity(
    positive: Tensor, negative: Tensor, x: Tensor, sigma: Tensor, *, scale: float, multiplier: float
) -> Tensor:
    """Guide and rescale in velocity coordinates of a unit-variance model; clean latents in and out."""
    root = (sigma**2 + 1).sqrt()
    # v of x / root: c_skip·x − v·c_out = denoised, with c_skip = 1/(sigma²+1) and c_out = sigma/root.
    to_v = [(x / (sigma**2 + 1) - d) * root / sigma for d in (positive, negative)]
    v = rescaled(blend(to_v[0], to_v[1], scale), to_v[0], multiplier)
    return x / (sigma**2 + 1) - v * sigma / root


class Guided:
    """A pair of predictions as one denoiser that can also report the unconditional half."""

    def __init__(self, pair: Pair, combine: Blend):
        self._pair, self._combine = pair, combine

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        return self.split(x, sigma)[0]

    def split(self, x: Tensor, sigma: Tensor, /) -> tuple[Tensor, Tensor]:
        """(guided denoised, unconditional denoised)."""
        positive, negative = self._pair(x, sigma)
        return self._combine(positive, negative, x, sigma), negative


def is_one(scale: float) -> bool:
    """Whether a guidance scale means no guidance, so that the unconditional half need not be computed."""
    return math.isclose(scale, 1.0)


def paired(positive: Denoiser, negative: Denoiser) -> Pair:
    """Two passes, one after the other."""
    return lambda x, sigma: (positive(x, sigma), negative(x, sigma))


def batched(denoise: Callable[..., Tensor], positive: Mapping[str, Any], negative: Mapping[str, Any]) -> Pair:
    """One pass on a doubled batch; two passes where the shapes differ or the memory does not suffice.

    `denoise(x, sigma, **conditions)` takes conditions whose tensors have the batch first.
    """
    fits = _stackable(positive, negative)

    def separate(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return denoise(x, sigma, **positive), denoise(x, sigma, **negative)

    def together(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        n = len(x)
        both = {key: torch.cat([rows(positive[key], n), rows(negative[key], n)]) for key in positive}
        first, second = denoise(torch.cat([x, x]), sigma, **both).chunk(2)
        return first, second

    def pair(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        if not fits:
            return separate(x, sigma)
        try:
            return together(x, sigma)
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            if not is_out_of_memory(error):
                raise
            return separate(x, sigma)

    return pair


def classifier_free(
    denoise: Callable[..., Tensor], positive: Mapping[str, Any], negative: Mapping[str, Any], scale: float
) -> Denoiser:
    """Guide `denoise` from negative towards positive conditions; scale 1 computes the positive ones alone."""
    if is_one(scale):
        return lambda x, sigma: denoise(x, sigma, **positive)
    return Guided(batched(denoise, positive, negative), lambda yes, no, x, sigma: blend(yes, no, scale))


def _stackable(positive: Mapping[str, Any], negative: Mapping[str, Any]) -> bool:
    return positive.keys() == negative.keys() and all(
        isinstance(positive[key], Tensor) and positive[key].shape[1:] == negative[key].shape[1:] for key in positive
    )


def rows(value: Tensor, count: int) -> Tensor:
    """value repeated and cut to this many rows."""
    if len(value) == 1:
        return value.expand(count, *value.shape[1:])
    return value.repeat(-(-count // len(value)), *(1 for _ in value.shape[1:]))[:count]
