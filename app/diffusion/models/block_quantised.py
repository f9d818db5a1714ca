"""Layers that keep their weights in the blocks of a file (see `block_formats`) and widen them while they compute.

What is added to such weights, as by a LoRA, is added each time that they are widened: blocks stay as they are, are
shared by all twins of a network, and nothing is rounded a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.block_formats import BlockFormat
from app.diffusion.models.narrow import NarrowWeight
from app.diffusion.models.stored import StoredEmbedding

Changed = Callable[[Tensor], Tensor]


class BlockQuantised(NarrowWeight):
    """What such layers share: the weight is (N, B) uint8, N blocks of B bytes in the order of its values.

    Until it is filled, and once it was made wide, it is in any other precision, and has its own shape.
    """

    format: BlockFormat
    shape: tuple[int, ...]
    changes: tuple[Changed, ...]
    narrow_types = (torch.uint8,)

    @property
    def wide_shape(self) -> tuple[int, ...]:
        """See `NarrowWeight`."""
        return self.shape if self.is_narrow else tuple(self.stored.shape)

    def wide(self, dtype: torch.dtype) -> Tensor:
        """See `NarrowWeight`."""
        if not self.is_narrow:
            return super().wide(dtype)
        if not self.changes:
            return self.format.wide(self.stored, dtype).view(self.shape)
        value = self.format.wide(self.stored).view(self.shape)
        for changed in self.changes:
            value = changed(value)
        return value.to(dtype)

    def change(self, changed: Changed, *, grows: bool = False) -> None:
        """See `NarrowWeight`. The change is made anew whenever the weight is used, unless it grows."""
        if self.is_narrow and not grows:
            self.changes = (*self.changes, changed)
        else:
            super().change(changed)


class BlockLinear(BlockQuantised, nn.Linear):
    """(…, C) → (…, O)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.wide(input.dtype), self.bias)


class BlockConv2d(BlockQuantised, nn.Conv2d):
    """(B, C, H, W) → (B, O, h, w)."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.wide(input.dtype), self.bias)


class BlockEmbedding(BlockQuantised, StoredEmbedding):
    """(…) → (…, C) in float32. Only the rows that are asked for are widened."""

    def forward(self, input: Tensor) -> Tensor:
        if self.changes or not self.is_narrow:
            return F.embedding(input, self.wide(torch.float32))
        rows = self.stored.view(self.num_embeddings, -1)[input.flatten()]  # (R, blocks of a row · B)
        return self.format.wide(rows.view(-1, self.format.size)).view(*input.shape, self.embedding_dim)


def keep_in_blocks(network: nn.Module, formats: Mapping[str, BlockFormat]) -> dict[str, BlockQuantised]:
    """Put layers that keep their weights in blocks in place of those whose weights' names are given.

    Returns them by these names; layers of other kinds stay. The new ones' weights are what they were, and wait for
    blocks to be put in their place.
    """
    made: dict[str, BlockQuantised] = {}
    for name, kind in formats.items():
        path, _, leaf = name.rpartition(".")
        layer = _like(network.get_submodule(path), kind) if path and leaf == "weight" else None
        if layer is not None:
            old = network.get_submodule(path)
            facts = {"format": kind, "shape": tuple(old.get_parameter("weight").shape), "changes": ()}
            layer.__dict__.update({**old.__dict__, **facts})
            network.set_submodule(path, layer)
            made[name] = layer
    return made


def _like(layer: nn.Module, kind: BlockFormat) -> BlockQuantised | None:
    """A layer of the kind that stands in for this one, still without anything in it; None for others."""
    if isinstance(layer, NarrowWeight):
        return None
    if isinstance(layer, nn.Linear):
        return BlockLinear.__new__(BlockLinear)
    if isinstance(layer, nn.Conv2d):
        return BlockConv2d.__new__(BlockConv2d)
    whole_rows = isinstance(layer, StoredEmbedding) and layer.embedding_dim % kind.values == 0
    return BlockEmbedding.__new__(BlockEmbedding) if whole_rows else None
