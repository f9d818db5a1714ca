"""diffusers' names for U-Nets and first stages, to those of the original checkpoints.

The places of blocks follow from the names alone: a level has as many residual blocks as its first one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from app.weights.stored import Stored, Tensors

_TOP = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "class_embedding.linear_1": "label_emb.0.0",
    "class_embedding.linear_2": "label_emb.0.2",
    "class_embedding": "label_emb",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_PLACE = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_STAGE = re.compile(
    r"(encoder\.down|decoder\.up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
_STAGE_PARTS = {"resnets": "block", "attentions": "attn", "downsamplers": "downsample", "upsamplers": "upsample"}
_STAGE_MIDDLE = {
    "mid_block.resnets.0.": "mid.block_1.",
    "mid_block.resnets.1.": "mid.block_2.",
    "mid_block.attentions.0.": "mid.attn_1.",
}
# Two generations of names for the same projections.
_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}


def is_unet(tensors: Tensors) -> bool:
    """Whether the names are those of diffusers' conditional U-Net."""
    return "conv_in.weight" in tensors and any(name.startswith("down_blocks.") for name in tensors)


def is_first_stage(tensors: Tensors) -> bool:
    """Whether the names are those of diffusers' first stages."""
    return any(name.startswith(("encoder.down_blocks.", "decoder.up_blocks.")) for name in tensors)


def unet_names(tensors: Tensors) -> dict[str, Stored]:
    """A U-Net's tensors under the original names; names that are not understood stay as they are."""
    blocks = _count(tensors, "down_blocks.0.resnets.")
    return {_unet_name(name, blocks, tensors): stored for name, stored in tensors.items()}


def _unet_name(name: str, blocks: int, tensors: Tensors) -> str:
    place = _PLACE.fullmatch(name)
    if place is None:
        return _renamed(name, _TOP, "middle_block.0.", "middle_block.2.")
    way, level, index, rest = place[1], int(place[2]), int(place[4]), place[5]
    if way == "down":
        first = 1 + level * (blocks + 1)
        if place[3] == "downsamplers":
            return f"input_blocks.{first + blocks}.0.{rest.replace('conv.', 'op.')}"
        start = f"input_blocks.{first + index}."
    else:
        first = level * (blocks + 1)
        if place[3] == "upsamplers":
            attends = any(key.startswith(f"up_blocks.{level}.attentions.{blocks}.") for key in tensors)
            return f"output_blocks.{first + blocks}.{2 if attends else 1}.{rest}"
        start = f"output_blocks.{first + index}."
    return f"{start}0.{_exchanged(rest, _RESNET)}" if place[3] == "resnets" else f"{start}1.{rest}"


def _renamed(name: str, table: Mapping[str, str], *resnets: str) -> str:
    """Exchange the beginning of a name, and in residual blocks what follows it."""
    for theirs, ours in table.items():
        if name.startswith(f"{theirs}."):
            rest = name[len(theirs) + 1 :]
            return f"{ours}.{_exchanged(rest, _RESNET) if f'{ours}.' in resnets else rest}"
    return name


def _exchanged(rest: str, table: Mapping[str, str]) -> str:
    part, _, kind = rest.rpartition(".")
    return f"{table.get(part, part)}.{kind}"


def first_stage_names(tensors: Tensors) -> dict[str, Stored]:
    """A first stage's tensors under the original names; linear projections become 1 × 1 convolutions."""
    levels = _count(tensors, "decoder.up_blocks.")
    renamed: dict[str, Stored] = {}
    for name, stored in tensors.items():
        ours = _stage_name(name, levels)
        renamed[ours] = _as_convolution(stored) if ".attn" in ours and ours.endswith(".weight") else stored
    return renamed


def _stage_name(name: str, levels: int) -> str:
    if place := _STAGE.fullmatch(name):
        way, level, part, index, rest = place[1], int(place[2]), place[3], place[4], place[5]
        level = levels - 1 - level if way == "decoder.up" else level
        if part in ("downsamplers", "upsamplers"):
            return f"{way}.{level}.{_STAGE_PARTS[part]}.{rest}"
        return f"{way}.{level}.{_STAGE_PARTS[part]}.{index}.{_stage_part(rest, part)}"
    for theirs, ours in _STAGE_MIDDLE.items():
        for half in ("encoder.", "decoder."):
            if name.startswith(half + theirs):
                part = "attentions" if ours == "mid.attn_1." else "resnets"
                return half + ours + _stage_part(name[len(half + theirs) :], part)
    return name.replace(".conv_norm_out.", ".norm_out.")


def _stage_part(rest: str, part: str) -> str:
    return _exchanged(rest, _ATTENTION) if part == "attentions" else rest.replace("conv_shortcut.", "nin_shortcut.")


def _as_convolution(stored: Stored) -> Stored:
    """(C, C) → (C, C, 1, 1)."""
    if len(stored.shape) != 2:
        return stored
    return replace(stored, shape=(*stored.shape, 1, 1), read=lambda: stored.read()[:, :, None, None])


def _count(tensors: Tensors, prefix: str) -> int:
    """How many numbered parts follow a prefix."""
    return 1 + max((int(name[len(prefix) :].split(".")[0]) for name in tensors if name.startswith(prefix)), default=0)
