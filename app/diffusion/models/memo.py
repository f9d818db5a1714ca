"""What layers make of a tensor that they are given at every step, as a prompt's text: made once, kept while it lives.

Whoever steers a run gives a network the very same tensors at every step (see `guidance.compose.Prepared`).
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from app.diffusion.models.second_form import version_of

Made = TypeVar("Made")
# A twin of a network does not take over what has the prefix (see `adapters.twin`).
_MEMO = "_for_memo"


def made_of(layer: nn.Module, given: Tensor, weights: Sequence[Tensor], make: Callable[[], Made]) -> Made:
    """What `make` makes of `given` with the layer's `weights`: remembered, unless gradients are asked for.

    It must hold no view of `given`, whose end is the end of what is kept. Changed weights are seen.
    """
    if torch.is_grad_enabled():
        return make()
    memo: MutableMapping[Tensor, Any] = layer.__dict__.setdefault(_MEMO, WeakIdKeyDictionary())
    version = tuple(version_of(tensor) for tensor in (given, *weights))
    kept = cast("tuple[Any, Made] | None", memo.get(given))
    if kept is None or kept[0] != version:
        kept = (version, make())
        memo[given] = kept
    return kept[1]
