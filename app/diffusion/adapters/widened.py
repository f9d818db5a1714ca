"""Weights that grow: control LoRAs give a network's first layer further input channels (Flux.1 Canny and Depth)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from app.diffusion.adapters.change import Change


@dataclass(frozen=True, slots=True)
class Widened:
    """A change of a weight that is first filled up with zeros to a larger `shape`; its result has that shape."""

    change: Change
    shape: tuple[int, ...]

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`; the weight may be that large already."""
        grows = len(shape) == len(self.shape) and all(new >= old for new, old in zip(self.shape, shape, strict=True))
        return grows and self.change.fits(self.shape)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        missing = [new - old for new, old in zip(self.shape, weight.shape, strict=True)]
        padding = [each for count in reversed(missing) for each in (0, count)]
        return self.change.applied(functional.pad(weight, padding), strength)
