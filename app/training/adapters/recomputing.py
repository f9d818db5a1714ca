"""Gradient checkpointing: blocks forget what they have computed and compute it again on the way back.

Chen et al. 2016 (arXiv:1604.06174). It costs a third more time and keeps little but the inputs of the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from torch.utils import checkpoint

from app.diffusion.models.attention import CrossAttention, FeedForward
from app.diffusion.models.flux import DoubleBlock, SingleBlock
from app.diffusion.models.mmdit import JointBlock
from app.diffusion.models.unet import ResBlock

BLOCKS: tuple[type[nn.Module], ...] = (ResBlock, CrossAttention, FeedForward, JointBlock, DoubleBlock, SingleBlock)


class Recomputing(nn.Module):
    """What such blocks share; stands before the block's own class."""

    def forward(self, *given: Any, **named: Any) -> Any:
        """As the block's own, computed once more when gradients pass."""
        block = partial(super().forward, **named)
        return cast("Any", checkpoint).checkpoint(block, *given, use_reentrant=False, preserve_rng_state=False)

    def added(self, input: Tensor, to: Tensor, *given: Any, **named: Any) -> Any:
        """What `forward` makes of the input, added to what there is; shortcuts would go round it."""
        return to + self(input, *given, **named)


def _recomputing(kind: type[nn.Module]) -> type[nn.Module]:
    return type(f"Recomputing{kind.__name__}", (Recomputing, kind), {})


_KINDS: Mapping[type[nn.Module], type[nn.Module]] = {kind: _recomputing(kind) for kind in BLOCKS}


def recompute_blocks(network: nn.Module) -> int:
    """Let the blocks of a network, which nobody else may be using, do so. Returns how many there are."""
    found = [module for module in network.modules() if type(module) in _KINDS]
    for module in found:
        module.__class__ = _KINDS[type(module)]
    return len(found)
