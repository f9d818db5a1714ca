"""Changes that are as large as the weight itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from app.diffusion.adapters.change import like


@dataclass(frozen=True, slots=True)
class Difference:
    """W + s·D, for weights, biases and the scales of normalisations."""

    value: Tensor

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        return self.value.numel() == math.prod(shape)

    def delta(self, weight: Tensor) -> Tensor:
        """D."""
        return like(self.value, weight).reshape(weight.shape)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return weight + strength * self.delta(weight)


@dataclass(frozen=True, slots=True)
class Replacement:
    """Another weight in its place, whatever the strength."""

    value: Tensor

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        return self.value.numel() == math.prod(shape)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return like(self.value, weight).reshape(weight.shape)
