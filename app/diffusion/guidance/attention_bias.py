"""Words of a prompt that are looked at more or less: their share of attention is multiplied.

T tokens of the prompt, P of the picture, C channels
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.guidance.conditions import Adjust
from app.diffusion.models.hooks import Attend, Looking, NetworkHooks

# Where queries of the picture meet keys of the text, which stand first where both are one row.
TEXT = ("attn2", "joint")
OPTION = "attention_bias"


class Span(NamedTuple):
    """Words from `first` on, and the factor on their share of attention; 0 hides them."""

    first: int
    length: int
    factor: float


@dataclass(frozen=True, slots=True)
class _Biased:
    """An `Adjust` that weighs words, after another one; equal where both are."""

    spans: tuple[Span, ...]
    before: Adjust | None

    def __call__(self, x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        extra: Mapping[str, Any] = {} if self.before is None else self.before(x, sigma, arguments)
        hooks = weighing(self.spans)
        return {**extra, "hooks": extra["hooks"] | hooks if "hooks" in extra else hooks}


def with_biases(entries: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Conditioning whose words are weighed by a list of `Span` among its options, ready for a run."""
    return [
        [features, {**said, "adjust": _Biased(tuple(said[OPTION]), said.get("adjust"))}] if said.get(OPTION) else entry
        for entry in entries
        for features, said in [entry]
    ]


def weighing(spans: Sequence[Span]) -> NetworkHooks:
    """Attention to these words multiplied, and all of it divided by its new sum; the words themselves look as ever."""

    def hook(looking: Looking, usual: Attend) -> Attend:
        if looking.name not in TEXT:
            return usual

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            bias = q.new_zeros(k.shape[1])
            for first, length, factor in spans:
                bias[first : first + length] += math.log(factor) if factor > 0 else -math.inf
            heads = [torch.unflatten(part, -1, (looking.heads, -1)).transpose(1, 2) for part in (q, k, v)]
            mask = bias.expand(1, 1, q.shape[1], -1)
            found = functional.scaled_dot_product_attention(*heads, attn_mask=mask).transpose(1, 2).flatten(2)
            if looking.name == "joint":
                found = found.clone()
                for first, length, _ in spans:
                    words = slice(first, first + length)
                    found[:, words] = usual(q[:, words], k, v)
            return found

        return attend

    return NetworkHooks(attend=(hook,)).row_by_row()
