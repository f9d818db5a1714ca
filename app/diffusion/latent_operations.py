"""Operations on latents that a node may hand to another: sharper, or with tamed peaks. Latents are (B, C, h, w)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from app.diffusion.guidance.hooks import Answers
from app.diffusion.guidance.perturbed import blurred


class LatentOperation(Protocol):
    """A latent to another of its shape; packs call it by this name of its parameter."""

    def __call__(self, latent: Tensor) -> Tensor: ...


def _lengths(latent: Tensor) -> Tensor:
    return latent.square().sum(1, keepdim=True).sqrt() + 1e-10


def reinhard(multiplier: float) -> LatentOperation:
    """Lengths along C compressed as Reinhard's tone mapping does, below five deviations above their mean."""

    def operation(latent: Tensor) -> Tensor:
        lengths = _lengths(latent)
        axes = tuple(range(1, latent.ndim))
        top = (lengths.std(axes, keepdim=True) * 5 + lengths.mean(axes, keepdim=True)) * multiplier
        if multiplier == 0:
            return latent * 0
        share = lengths / top
        return latent / lengths * (share / (share + 1) * top)

    return operation


def sharpen(radius: int, deviation: float, alpha: float) -> LatentOperation:
    """Directions along C, and 10·alpha times what a Gaussian over 2·radius + 1 places takes from them; lengths stay."""

    def operation(latent: Tensor) -> Tensor:
        lengths = _lengths(latent)
        unit = latent / lengths
        return (unit + 10 * alpha * (unit - blurred(unit, 2 * radius + 1, deviation))) * lengths

    return operation


def on_guidance(operation: LatentOperation) -> Callable[[Answers], Answers]:
    """A hook before guidance: the operation on what the positive answer adds to the negative one."""

    def before(found: Answers) -> Answers:
        if found.positive is found.negative:
            changed = operation(latent=found.positive)
            return found.changed(positive=changed, negative=changed)
        return found.changed(positive=operation(latent=found.positive - found.negative) + found.negative)

    return before
