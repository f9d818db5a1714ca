"""`comfy.conds`: what a condition gives the network, and whether two may share a call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from app.extend.facade.comfy.utils import repeat_to_batch_size


class CONDRegular:
    """A tensor with the batch first."""

    def __init__(self, cond: Any) -> None:
        self.cond = cond

    def _copy_with(self, cond: Any) -> Any:
        return self.__class__(cond)

    def process_cond(self, batch_size: int, area: Any = None, **kwargs: Any) -> Any:
        """The same for a batch of that size."""
        return self._copy_with(repeat_to_batch_size(self.cond, batch_size))

    def can_concat(self, other: Any) -> bool:
        """Whether both may stand in one batch."""
        return self.cond.shape == other.cond.shape

    def concat(self, others: Sequence[Any]) -> Any:
        """This and the others as one batch."""
        return torch.cat([self.cond, *(other.cond for other in others)])

    def size(self) -> list[int]:
        """The shape, for estimates of memory."""
        return list(self.cond.size())


class CONDNoiseShape(CONDRegular):
    """A tensor in the shape of the latent, cut to an area with it."""

    def process_cond(self, batch_size: int, area: Any = None, **kwargs: Any) -> Any:
        """See `CONDRegular`; `area` is (height, width, y, x)."""
        data = self.cond
        if area is not None:
            half = len(area) // 2
            for axis in range(half):
                data = data.narrow(axis + 2, area[half + axis], area[axis])
        return self._copy_with(repeat_to_batch_size(data, batch_size))


class CONDCrossAttn(CONDRegular):
    """Features (B, T, D); those of different lengths are repeated to a common one."""

    def can_concat(self, other: Any) -> bool:
        """See `CONDRegular`."""
        mine, its = self.cond.shape, other.cond.shape
        if mine == its:
            return True
        if mine[0] != its[0] or mine[2] != its[2]:
            return False
        return math.lcm(mine[1], its[1]) <= 4 * min(mine[1], its[1])

    def concat(self, others: Sequence[Any]) -> Any:
        """See `CONDRegular`."""
        parts = [self.cond, *(other.cond for other in others)]
        length = math.lcm(*(part.shape[1] for part in parts))
        return torch.cat([part.repeat(1, length // part.shape[1], 1) for part in parts])


class CONDConstant(CONDRegular):
    """A value that is not a tensor."""

    def process_cond(self, batch_size: int, area: Any = None, **kwargs: Any) -> Any:
        """See `CONDRegular`."""
        return self._copy_with(self.cond)

    def can_concat(self, other: Any) -> bool:
        """See `CONDRegular`."""
        return self.cond == other.cond

    def concat(self, others: Sequence[Any]) -> Any:
        """See `CONDRegular`."""
        return self.cond

    def size(self) -> list[int]:
        """See `CONDRegular`."""
        return [1]


class CONDList(CONDRegular):
    """Several tensors."""

    def process_cond(self, batch_size: int, area: Any = None, **kwargs: Any) -> Any:
        """See `CONDRegular`."""
        return self._copy_with([repeat_to_batch_size(each, batch_size) for each in self.cond])

    def can_concat(self, other: Any) -> bool:
        """See `CONDRegular`."""
        return [each.shape for each in self.cond] == [each.shape for each in other.cond]

    def concat(self, others: Sequence[Any]) -> list[Tensor]:
        """See `CONDRegular`."""
        return [torch.cat([each, *(other.cond[index] for other in others)]) for index, each in enumerate(self.cond)]

    def size(self) -> list[int]:
        """See `CONDRegular`."""
        return [sum(each.numel() for each in self.cond)]
