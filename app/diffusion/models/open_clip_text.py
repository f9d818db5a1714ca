"""OpenCLIP's names for a text tower (Cherti et al. 2022, arXiv:2212.07143), to ours and back.

SD 2 and SDXL carry their towers in this layout: queries, keys and values in one matrix, the projection transposed.
Tensors are views of those that are given wherever the bytes are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

# (theirs, ours), both for one layer
_LAYER = (
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
    ("attn.out_proj", "self_attn.out_proj"),
)
_ONCE = (
    ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final.weight", "text_model.final_layer_norm.weight"),
    ("ln_final.bias", "text_model.final_layer_norm.bias"),
)
_VISION = (
    ("class_embedding", "vision_model.embeddings.class_embedding"),
    ("conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
    ("positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("ln_pre.weight", "vision_model.pre_layrnorm.weight"),
    ("ln_pre.bias", "vision_model.pre_layrnorm.bias"),
    ("ln_post.weight", "vision_model.post_layernorm.weight"),
    ("ln_post.bias", "vision_model.post_layernorm.bias"),
)
_PARTS = ("q_proj", "k_proj", "v_proj")  # in the order of the rows of in_proj
# Where training stops the temperature of the contrast; no features depend on it.
LOGIT_SCALE = math.log(100.0)


def count_layers(names: Mapping[str, object]) -> int:
    """How many layers a tower in this layout has."""
    places = [int(name.split(".")[2]) for name in names if name.startswith("transformer.resblocks.")]
    return max(places, default=-1) + 1


def from_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A tower's tensors under the names of `ClipText`; names that it does not know stay as they are."""
    renamed = dict(tensors)
    for theirs, ours in _ONCE:
        _move(renamed, theirs, ours)
    _rename_layers(renamed, count_layers(tensors), "text_model")
    projection = renamed.pop("text_projection", None)
    if projection is not None:
        renamed["text_projection.weight"] = projection.T
    renamed.pop("logit_scale", None)
    return renamed


def vision_from_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A vision tower's tensors, without `visual.` before their names, under the names of `ClipVision`."""
    renamed = dict(tensors)
    for theirs, ours in _VISION:
        _move(renamed, theirs, ours)
    _rename_layers(renamed, count_layers(tensors), "vision_model")
    projection = renamed.pop("proj", None)
    if projection is not None:
        renamed["visual_projection.weight"] = projection.T
    return renamed


def _rename_layers(renamed: dict[str, Tensor], count: int, model: str) -> None:
    """The layers' tensors under our names, in place; queries, keys and values apart."""
    for layer in range(count):
        block, ours = f"transformer.resblocks.{layer}", f"{model}.encoder.layers.{layer}"
        for kind in ("weight", "bias"):
            for their_part, our_part in _LAYER:
                _move(renamed, f"{block}.{their_part}.{kind}", f"{ours}.{our_part}.{kind}")
            joined = renamed.pop(f"{block}.attn.in_proj_{kind}", None)
            if joined is not None:
                for name, rows in zip(_PARTS, joined.chunk(3), strict=True):
                    renamed[f"{ours}.self_attn.{name}.{kind}"] = rows


def to_open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a `ClipText` under the names of OpenCLIP, complete as its files have it."""
    renamed = dict(state)
    for theirs, ours in _ONCE:
        _move(renamed, ours, theirs)
    for layer in range(_own_layers(state)):
        block, ours = f"transformer.resblocks.{layer}", f"text_model.encoder.layers.{layer}"
        for kind in ("weight", "bias"):
            for their_part, our_part in _LAYER:
                _move(renamed, f"{ours}.{our_part}.{kind}", f"{block}.{their_part}.{kind}")
            parts = [renamed.pop(f"{ours}.self_attn.{name}.{kind}") for name in _PARTS]
            renamed[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
    like = renamed["positional_embedding"]
    renamed["text_projection"] = renamed.pop("text_projection.weight").T.contiguous()
    renamed["logit_scale"] = torch.full((), LOGIT_SCALE, dtype=like.dtype, device=like.device)
    return renamed


def _own_layers(state: Mapping[str, Tensor]) -> int:
    places = [int(name.split(".")[3]) for name in state if name.startswith("text_model.encoder.layers.")]
    return max(places, default=-1) + 1


def _move(tensors: dict[str, Tensor], old: str, new: str) -> None:
    if old in tensors:
        tensors[new] = tensors.pop(old)
