"""What files of adapters call the layers of a U-Net: the original names and diffusers', dotted and underscored."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.diffusion.models.unet import UNet

# (ours, diffusers')
_TOP = {
    "input_blocks.0.0": ("conv_in",),
    "time_embed.0": ("time_embedding.linear_1",),
    "time_embed.2": ("time_embedding.linear_2",),
    "label_emb.0.0": ("add_embedding.linear_1", "class_embedding.linear_1"),
    "label_emb.0.2": ("add_embedding.linear_2", "class_embedding.linear_2"),
    "out.0": ("conv_norm_out",),
    "out.2": ("conv_out",),
}
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"middle_block\.(\d+)\.(.+)")


def unet_names(network: UNet, layer: str) -> Iterator[str]:
    """All names of a layer of the network, such as "middle_block.1.proj_in", before an adapter's own endings."""
    underscored = layer.replace(".", "_")
    yield layer
    yield f"diffusion_model.{layer}"
    yield f"model.diffusion_model.{layer}"
    yield f"base_model.model.{layer}"
    yield f"base_model.model.diffusion_model.{layer}"
    yield f"lora_unet_{underscored}"
    yield f"lycoris_{underscored}"
    for theirs in diffusers_layer(layer, network.config.num_res_blocks):
        underscored = theirs.replace(".", "_")
        yield from (theirs, f"unet.{theirs}", f"base_model.model.{theirs}", f"unet.base_model.model.{theirs}")
        yield from (f"lora_unet_{underscored}", f"lycoris_{underscored}", f"lora_transformer_{underscored}")
        if re.search(r"\.attn[12]\.", theirs):  # the oldest files name the attention's processor, the output without 0
            old = re.sub(r"\.(attn[12])\.(to_\w+)(\.0)?$", r".\1.processor.\2", theirs)
            yield from (old, f"unet.{old}")


def diffusers_layer(layer: str, blocks: int) -> Iterator[str]:
    """diffusers' names of a layer; a level has `blocks` residual blocks on the way down and one more on the way up."""
    if layer in _TOP:
        yield from _TOP[layer]
    elif found := _MIDDLE.fullmatch(layer):
        index, rest = int(found[1]), found[2]
        if index == 1:
            yield f"mid_block.attentions.0.{rest}"
        else:
            yield f"mid_block.resnets.{index // 2}.{_RESNET.get(rest, rest)}"
    elif found := _BLOCK.fullmatch(layer):
        down, index, part, rest = found[1] == "input", int(found[2]), int(found[3]), found[4]
        level, place = divmod(index - 1 if down else index, blocks + 1)
        side = f"{'down' if down else 'up'}_blocks.{level}"
        if rest in ("op", "conv"):
            yield f"{side}.{'downsamplers' if down else 'upsamplers'}.0.conv"
        elif part == 0:
            yield f"{side}.resnets.{place}.{_RESNET.get(rest, rest)}"
        else:
            yield f"{side}.attentions.{place}.{rest}"
