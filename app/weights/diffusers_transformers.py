"""The transformers of SD 3 and Flux in diffusers' names, under the published ones.

What diffusers has split is joined when it is read: queries, keys and values, and the halves of one layer; the last
normalisation has its scale before its shift there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from app.weights.stored import Stored, StoredBlocks, Tensors

# Layers that are there once, by kind: our name and theirs.
ONCE: Mapping[str, Mapping[str, str]] = {
    "flux": {
        "img_in": "x_embedder",
        "txt_in": "context_embedder",
        "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
        "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
        "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
        "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
        "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
        "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
        "final_layer.linear": "proj_out",
    },
    "sd3": {
        "x_embedder.proj": "pos_embed.proj",
        "context_embedder": "context_embedder",
        "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
        "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
        "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
        "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
        "final_layer.linear": "proj_out",
    },
}
_QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
_ADDED = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")


class Blocks(NamedTuple):
    """A stack of blocks: our name and theirs, and of each layer the parts that it is joined of; some have no bias."""

    ours: str
    theirs: str
    layers: Mapping[str, Sequence[str]]
    scales: Mapping[str, str]


BLOCKS: Mapping[str, Sequence[Blocks]] = {
    "flux": (
        Blocks(
            "double_blocks",
            "transformer_blocks",
            {
                "img_mod.lin": ("norm1.linear",),
                "txt_mod.lin": ("norm1_context.linear",),
                "img_attn.qkv": _QKV,
                "txt_attn.qkv": _ADDED,
                "img_attn.proj": ("attn.to_out.0",),
                "txt_attn.proj": ("attn.to_add_out",),
                "img_mlp.0": ("ff.net.0.proj",),
                "img_mlp.2": ("ff.net.2",),
                "txt_mlp.0": ("ff_context.net.0.proj",),
                "txt_mlp.2": ("ff_context.net.2",),
            },
            {
                "img_attn.norm.query_norm.scale": "attn.norm_q.weight",
                "img_attn.norm.key_norm.scale": "attn.norm_k.weight",
                "txt_attn.norm.query_norm.scale": "attn.norm_added_q.weight",
                "txt_attn.norm.key_norm.scale": "attn.norm_added_k.weight",
            },
        ),
        Blocks(
            "single_blocks",
            "single_transformer_blocks",
            {
                "modulation.lin": ("norm.linear",),
                "linear1": (*_QKV, "proj_mlp"),
                "linear2": ("proj_out",),
            },
            {"norm.query_norm.scale": "attn.norm_q.weight", "norm.key_norm.scale": "attn.norm_k.weight"},
        ),
    ),
    "sd3": (
        Blocks(
            "joint_blocks",
            "transformer_blocks",
            {
                "x_block.adaLN_modulation.1": ("norm1.linear",),
                "context_block.adaLN_modulation.1": ("norm1_context.linear",),
                "x_block.attn.qkv": _QKV,
                "context_block.attn.qkv": _ADDED,
                "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
                "x_block.attn.proj": ("attn.to_out.0",),
                "x_block.attn2.proj": ("attn2.to_out.0",),
                "context_block.attn.proj": ("attn.to_add_out",),
                "x_block.mlp.fc1": ("ff.net.0.proj",),
                "x_block.mlp.fc2": ("ff.net.2",),
                "context_block.mlp.fc1": ("ff_context.net.0.proj",),
                "context_block.mlp.fc2": ("ff_context.net.2",),
            },
            {
                "x_block.attn.ln_q.weight": "attn.norm_q.weight",
                "x_block.attn.ln_k.weight": "attn.norm_k.weight",
                "x_block.attn2.ln_q.weight": "attn2.norm_q.weight",
                "x_block.attn2.ln_k.weight": "attn2.norm_k.weight",
                "context_block.attn.ln_q.weight": "attn.norm_added_q.weight",
                "context_block.attn.ln_k.weight": "attn.norm_added_k.weight",
            },
        ),
    ),
}


def transformer_kind(tensors: Tensors) -> str | None:
    """Either "sd3" or "flux" for a transformer in diffusers' names, None for anything else."""
    if "transformer_blocks.0.attn.add_q_proj.weight" not in tensors or "controlnet_blocks.0.weight" in tensors:
        return None
    if "pos_embed.proj.weight" in tensors:
        return "sd3"
    return "flux" if "single_transformer_blocks.0.proj_mlp.weight" in tensors else None


def transformer_names(kind: str, tensors: Tensors) -> dict[str, Stored]:
    """The tensors of a transformer of that kind under the published names."""
    named: dict[str, Stored] = {}
    for kind_of_value in ("weight", "bias"):
        for ours, theirs in ONCE[kind].items():
            _take(named, f"{ours}.{kind_of_value}", tensors, [f"{theirs}.{kind_of_value}"])
        place = f"norm_out.linear.{kind_of_value}"
        if place in tensors:
            named[f"final_layer.adaLN_modulation.1.{kind_of_value}"] = swapped(tensors[place])
        for blocks in BLOCKS[kind]:
            for index in range(_count(tensors, blocks.theirs)):
                _take_layers(named, tensors, blocks, index, kind_of_value)
    _take(named, "pos_embed", tensors, ["pos_embed.pos_embed"])
    if kind == "sd3":
        _turn_the_last_context(named, tensors)
    return named


def _take_layers(named: dict[str, Stored], tensors: Tensors, blocks: Blocks, index: int, kind_of_value: str) -> None:
    ours, theirs = f"{blocks.ours}.{index}", f"{blocks.theirs}.{index}"
    for layer, parts in blocks.layers.items():
        _take(named, f"{ours}.{layer}.{kind_of_value}", tensors, [f"{theirs}.{part}.{kind_of_value}" for part in parts])
    for scale, source in blocks.scales.items():
        _take(named, f"{ours}.{scale}", tensors, [f"{theirs}.{source}"])


def _turn_the_last_context(named: dict[str, Stored], tensors: Tensors) -> None:
    """The last block's context ends in a normalisation of the same kind as the last one of all.

    In a ControlNet it has a way back, as in all blocks before.
    """
    last = _count(tensors, "transformer_blocks") - 1
    if f"transformer_blocks.{last}.attn.to_add_out.weight" in tensors:
        return
    for kind_of_value in ("weight", "bias"):
        name = f"joint_blocks.{last}.context_block.adaLN_modulation.1.{kind_of_value}"
        if name in named:
            named[name] = swapped(named[name])


def _take(named: dict[str, Stored], name: str, tensors: Tensors, sources: Sequence[str]) -> None:
    if all(source in tensors for source in sources):
        named[name] = joined([tensors[source] for source in sources])


def _count(tensors: Tensors, prefix: str) -> int:
    found = (re.match(rf"{prefix}\.(\d+)\.", name) for name in tensors)
    return max((int(match[1]) for match in found if match), default=-1) + 1


def joined(parts: Sequence[Stored]) -> Stored:
    """Tensors one below the other, put together when they are read."""
    if len(parts) == 1:
        return parts[0]
    shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
    return Stored(shape, lambda: torch.cat([part.read() for part in parts]), is_derived=True, blocks=_joined(parts))


def _joined(parts: Sequence[Stored]) -> StoredBlocks | None:
    """The blocks of all parts, where all are of one format."""
    blocks = [part.blocks for part in parts if part.blocks]
    if len(blocks) < len(parts) or len({each.format for each in blocks}) > 1:
        return None
    return StoredBlocks(blocks[0].format, lambda: torch.cat([each.read() for each in blocks]))


def swapped(whole: Stored) -> Stored:
    """A tensor with its lower half first."""

    def read() -> Tensor:
        return torch.cat(whole.read().chunk(2)[::-1])

    return Stored(whole.shape, read, is_derived=True, blocks=_swapped(whole))


def _swapped(whole: Stored) -> StoredBlocks | None:
    """The blocks with their second half first, where none lies in both."""
    blocks = whole.blocks
    if blocks is None or whole.shape[0] % 2 or math.prod(whole.shape) % (2 * blocks.format.values):
        return None
    return StoredBlocks(blocks.format, lambda: torch.cat(blocks.read().chunk(2)[::-1]))
