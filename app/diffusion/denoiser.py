"""What a sampler asks of a model, and what it gives back at every step.

Letters: x is a noisy latent in sigma coordinates, sigma the noise level, x0 ("denoised") the clean latent that the
model expects to find under the noise. See process.py for how x is made from x0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


class Denoiser(Protocol):
    """x [B, C, h, w] float32 at noise level sigma (0-d tensor) → the expected clean latent, same shape."""

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor: ...


@runtime_checkable
class SplitDenoiser(Denoiser, Protocol):
    """A guided denoiser that can also tell what it would have said without the condition."""

    def split(self, x: Tensor, sigma: Tensor, /) -> tuple[Tensor, Tensor]:
        """(guided denoised, unconditional denoised), both shaped as x."""
        ...


def both_answers(denoise: Denoiser, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(guided denoised, unconditional denoised); the same one twice where nothing guides."""
    if isinstance(denoise, SplitDenoiser):
        return denoise.split(x, sigma)
    denoised = denoise(x, sigma)
    return denoised, denoised


class NoiseSource(Protocol):
    """Noise of unit variance for the way from sigma to sigma_next, shaped as the latent."""

    def __call__(self, sigma: Tensor, sigma_next: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One finished step of a sampler.

    `sigma` is the level the step started from, `denoised` the model's answer there, `x` the latent after the step.
    """

    index: int
    sigma: Tensor
    x: Tensor
    denoised: Tensor
