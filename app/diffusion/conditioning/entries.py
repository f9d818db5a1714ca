"""Conditioning as it travels between nodes: a list of [features (B, T, C), options].

Options that samplers know are listed in `guidance.conditions`; all others are kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.conditioning.text_encoder import Encoded
from app.errors import InvalidRequest

Conditioning = list[list[Any]]


def conditioning_of(encoded: Encoded) -> Conditioning:
    """What a text encoder says, as conditioning; features on the CPU."""
    return [[encoded.context.cpu(), {"pooled_output": encoded.pooled.cpu()}]]


def with_options(conditioning: Conditioning, **options: Any) -> Conditioning:
    """The same features with further options; those that are there already are replaced."""
    return [[features, {**said, **options}] for features, said in conditioning]


def appended(conditioning: Conditioning, option: str, value: Any) -> Conditioning:
    """The same features with a value more in the list that an option is."""
    return [[features, {**said, option: [*said.get(option, ()), value]}] for features, said in conditioning]


def hooked(conditioning: Conditioning, hooks: Any) -> Conditioning:
    """The same features with changes of weights (see `weight_hooks.WeightHooks`), after those that are there."""
    return [
        [features, {**said, "hooks": said["hooks"] | hooks if said.get("hooks") else hooks}]
        for features, said in conditioning
    ]


def concatenated(to: Conditioning, source: Conditioning) -> Conditioning:
    """Each entry of `to` followed, along T, by the first entry of `source`. `to` keeps its options."""
    added: Tensor = _first(source)[0]
    return [[torch.cat([features, _rows(added, features)], dim=1), dict(said)] for features, said in to]


def averaged(to: Conditioning, source: Conditioning, strength: float) -> Conditioning:
    """strength · to + (1 − strength) · the first entry of `source`; the shorter one is filled up with zeros."""
    other, other_said = _first(source)
    result: Conditioning = []
    for features, said in to:
        mixed = strength * features + (1 - strength) * _fitted(other, features)
        said = dict(said)
        pooled, other_pooled = said.get("pooled_output"), other_said.get("pooled_output")
        if pooled is not None and other_pooled is not None:
            said["pooled_output"] = strength * pooled + (1 - strength) * other_pooled
        elif other_pooled is not None:
            said["pooled_output"] = other_pooled
        result.append([mixed, said])
    return result


def zeroed(conditioning: Conditioning) -> Conditioning:
    """Entries of the same shape that say nothing."""
    result: Conditioning = []
    for features, said in conditioning:
        pooled = said.get("pooled_output")
        silent = {} if pooled is None else {"pooled_output": torch.zeros_like(pooled)}
        result.append([torch.zeros_like(features), {**said, **silent}])
    return result


def _first(conditioning: Conditioning) -> list[Any]:
    if not conditioning:
        raise InvalidRequest("The conditioning is empty.", remedy="Link a node that encodes a prompt.")
    return conditioning[0]


def _fitted(features: Tensor, like: Tensor) -> Tensor:
    """`features` cut, or filled up with zeros, to the length of `like`."""
    length = like.shape[1]
    return _rows(functional.pad(features[:, :length], (0, 0, 0, max(0, length - features.shape[1]))), like)


def _rows(features: Tensor, like: Tensor) -> Tensor:
    if features.shape[2] != like.shape[2]:
        raise InvalidRequest(
            f"These prompts have features of width {like.shape[2]} and {features.shape[2]}.",
            remedy="Encode both with the CLIP of one checkpoint.",
        )
    return features.expand(len(like), -1, -1) if len(features) == 1 else features[: len(like)]
