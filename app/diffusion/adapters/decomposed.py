"""DoRA (Liu et al. 2024, arXiv:2402.09353): the weight's direction changes by a low rank, its magnitude is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from app.diffusion.adapters.change import Change, like


class Additive(Change, Protocol):
    """A change that adds something."""

    def delta(self, weight: Tensor) -> Tensor:
        """What is added at strength 1."""
        ...


@dataclass(frozen=True, slots=True)
class Decomposed:
    """m · (W + Δ) / ‖W + Δ‖, the norms taken for each output or, as the `magnitude`'s shape tells, for each input.

    Strengths other than 1 go that part of the way from W.
    """

    change: Additive
    magnitude: Tensor

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        return self.change.fits(shape) and self.magnitude.numel() in shape[:2]

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        turned = weight + self.change.delta(weight)
        axis = self._axis(weight)
        others = [dimension for dimension in range(weight.ndim) if dimension != axis]
        norms = turned.square().sum(others, keepdim=True).sqrt()
        norms = norms.clamp_min(torch.finfo(norms.dtype).tiny)
        magnitude = like(self.magnitude, weight).reshape(norms.shape)
        return weight + strength * (turned * (magnitude / norms) - weight)

    def _axis(self, weight: Tensor) -> int:
        """0 for magnitudes of outputs, 1 of inputs."""
        shape, count = self.magnitude.shape, self.magnitude.numel()
        if count != weight.shape[0]:
            return 1
        along_inputs = len(shape) > 1 and shape[0] == 1 and math.prod(shape[1:]) == weight.shape[1]
        return 1 if along_inputs else 0
