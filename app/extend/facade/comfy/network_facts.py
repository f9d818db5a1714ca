"""What packs call a network's inputs, and its shape under the names of the published configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.diffusion.models.flux import FluxConfig
from app.diffusion.models.mmdit import MMDiTConfig
from app.diffusion.models.unet import UNetConfig

# What packs call an input of the network, and what our networks call it.
NAMES: Mapping[str, str] = {"c_crossattn": "context", "c_concat": "concat", "y": "vector"}
PACK_NAMES: Mapping[str, str] = {ours: theirs for theirs, ours in NAMES.items()}
_UNET = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "model_channels": "model_channels",
    "num_res_blocks": "num_res_blocks",
    "channel_mult": "channel_mult",
    "transformer_depth": "transformer_depth",
    "transformer_depth_middle": "transformer_depth_middle",
    "context_dim": "context_width",
    "adm_in_channels": "vector_width",
    "use_linear_in_transformer": "linear_projection",
    "num_heads": "heads",
    "num_head_channels": "head_width",
}
_MMDIT = {
    "image_model": None,
    "in_channels": "channels",
    "depth": "depth",
    "context_dim": "context_width",
    "adm_in_channels": "vector_width",
}
_FLUX = {
    "image_model": None,
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "hidden_size": "width",
    "num_heads": "heads",
    "depth": "double",
    "depth_single_blocks": "single",
    "context_in_dim": "context_width",
    "vec_in_dim": "vector_width",
    "guidance_embed": "guidance",
    "axes_dim": "axes",
    "theta": "theta",
}


def facts_of(config: Any) -> dict[str, Any]:
    """What packs read as `unet_config`; nothing of a network that is not one of ours."""
    if isinstance(config, MMDiTConfig):
        names, model = _MMDIT, "sd3"
    elif isinstance(config, FluxConfig):
        names, model = _FLUX, "flux"
    elif isinstance(config, UNetConfig):
        names, model = _UNET, ""
    else:
        return {}
    return {theirs: model if ours is None else getattr(config, ours) for theirs, ours in names.items()}
