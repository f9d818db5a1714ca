"""Networks of diffusers in the shapes of ours, filled with the same weights, through our own table of their names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.autoencoder_vq import AutoencoderVQ
from app.diffusion.models.unet import UNet, UNetConfig
from app.weights.blank import blank
from app.weights.diffusers_names import first_stage_names, unet_names
from app.weights.fill import fill
from app.weights.stored import held

TOLERANCE = 1e-4  # of the largest value
POOL = 1 << 22  # random numbers, used again and again: drawing 860 million takes longer than the test


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, in parts of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def filled(build: Any, seed: int) -> Any:
    """A network with weights that keep the signal's size, and scales and biases that hide nothing."""
    with blank():
        module: nn.Module = build()
    pool = torch.randn(POOL, generator=torch.Generator().manual_seed(seed))
    state: dict[str, Tensor] = {}
    begin = 0
    for name, value in module.state_dict().items():
        begin = (begin + 9973) % (POOL // 2)
        # Overlapping pieces of one pool: no two tensors are equal, and none is constant along its rows.
        flat = pool[begin : begin + min(value.numel(), POOL // 2 - 1)]
        noise = flat.repeat(-(-value.numel() // len(flat)))[: value.numel()].view(value.shape)
        if value.dim() == 1:
            state[name] = 1.0 + 0.1 * noise if name.endswith("weight") else 0.05 * noise
        else:
            state[name] = (
                noise.mul_(value[0].numel() ** -0.5)
                if noise.data_ptr() != flat.data_ptr()
                else noise * (value[0].numel() ** -0.5)
            )
    module.load_state_dict(state, assign=True)
    return module.eval().requires_grad_(False)


def unets(config: UNetConfig, seed: int = 3, **more: Any) -> tuple[UNet, Any]:
    """Ours and theirs, sharing their weights."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    levels = range(len(config.channel_mult))
    widths = [config.model_channels * factor for factor in config.channel_mult]
    depth = config.transformer_depth
    shape: dict[str, Any] = {
        "sample_size": 16,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": tuple(widths),
        "layers_per_block": config.num_res_blocks,
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth[i] else "DownBlock2D" for i in levels),
        "up_block_types": tuple("CrossAttnUpBlock2D" if depth[i] else "UpBlock2D" for i in reversed(levels)),
        # diffusers calls the number of heads "attention_head_dim" for this class.
        "attention_head_dim": [config.heads_of(width)[0] for width in widths],
        "transformer_layers_per_block": [max(layers, 1) for layers in depth],
        "cross_attention_dim": config.context_width,
        "use_linear_projection": config.linear_projection,
        "norm_num_groups": config.groups,
    }
    if config.vector_width:
        shape |= {"class_embed_type": "projection", "projection_class_embeddings_input_dim": config.vector_width}
    if config.classes:
        shape |= {"num_class_embeds": config.classes}
    if config.cross_only:
        shape |= {"only_cross_attention": list(config.cross_only)}
    if config.transformer_depth_middle < 0:
        shape |= {"mid_block_type": None if config.transformer_depth_middle == -2 else "UNetMidBlock2D"}
    theirs = filled(lambda: UNet2DConditionModel(**{**shape, **more}), seed)
    with blank():
        ours = UNet(config)
    fill(ours, unet_names(held(theirs.state_dict())), "theirs")
    return ours, theirs


def first_stages(config: AutoencoderConfig, seed: int = 5) -> tuple[Any, Any]:
    """Ours and theirs, sharing their weights."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL as TheirKL
    from diffusers.models.autoencoders.vq_model import VQModel as TheirVQ

    levels = range(len(config.channel_mult))
    attends = [config.attends(level) for level in levels]
    shape: dict[str, Any] = {
        "latent_channels": config.latent_channels,
        "block_out_channels": tuple(config.channels * factor for factor in config.channel_mult),
        "layers_per_block": config.num_res_blocks,
        "down_block_types": tuple("AttnDownEncoderBlock2D" if a else "DownEncoderBlock2D" for a in attends),
        "up_block_types": tuple("AttnUpDecoderBlock2D" if a else "UpDecoderBlock2D" for a in reversed(attends)),
        "norm_num_groups": config.groups,
    }
    if config.codes:
        more: dict[str, Any] = {"num_vq_embeddings": config.codes, "mid_block_add_attention": config.middle_attention}
        theirs = filled(lambda: TheirVQ(**shape, **more), seed)
        with blank():
            ours: AutoencoderKL | AutoencoderVQ = AutoencoderVQ(config)
    else:
        more = {"use_quant_conv": config.quant_conv, "use_post_quant_conv": config.quant_conv}
        theirs = filled(lambda: TheirKL(**shape, **more), seed)
        with blank():
            ours = AutoencoderKL(config)
    fill(ours, first_stage_names(held(theirs.state_dict())), "theirs")
    return ours, theirs


def pixel_unets(config: UNetConfig, seed: int = 7) -> tuple[UNet, Any]:
    """Ours and theirs of the kind without a context, sharing their weights as far as the layouts allow."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    levels = range(len(config.channel_mult))
    attends = config.transformer_depth
    resample = "resnet" if config.residual_resampling else "conv"
    shape: dict[str, Any] = {
        "sample_size": 16,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": tuple(config.model_channels * factor for factor in config.channel_mult),
        "layers_per_block": config.num_res_blocks,
        "down_block_types": tuple("AttnDownBlock2D" if attends[i] else "DownBlock2D" for i in levels),
        "up_block_types": tuple("AttnUpBlock2D" if attends[i] else "UpBlock2D" for i in reversed(levels)),
        "attention_head_dim": config.heads_of(config.model_channels * config.channel_mult[-1])[1],
        "downsample_type": resample,
        "upsample_type": resample,
        "resnet_time_scale_shift": "scale_shift" if config.scale_shift else "default",
        "norm_num_groups": config.groups,
        "attn_norm_num_groups": config.groups,
        "norm_eps": 1e-5,
    }
    theirs = filled(lambda: UNet2DModel(**shape), seed)
    with blank():
        ours = UNet(config)
    renamed = {name: stored.read() for name, stored in unet_names(held(theirs.state_dict())).items()}
    merged = _with_resamplers(_with_joined_projections(renamed, config))
    fill(ours, held(merged), "theirs")
    return ours, theirs


def _with_joined_projections(state: dict[str, Tensor], config: UNetConfig) -> dict[str, Tensor]:
    """Queries, keys and values beside each other head by head, as one 1-D convolution."""
    joined = dict(state)
    for name in state:
        if not name.endswith(("to_q.weight", "to_q.bias")):
            continue
        start, kind = name.split("to_q.")
        parts = [joined.pop(f"{start}{part}.{kind}") for part in ("to_q", "to_k", "to_v")]
        heads = config.heads_of(len(parts[0]))[0]
        rows = torch.stack([part.unflatten(0, (heads, -1)) for part in parts], dim=1).flatten(0, 2)
        joined[f"{start}qkv.{kind}"] = rows[..., None] if kind == "weight" else rows
        out = joined.pop(f"{start}to_out.0.{kind}")
        joined[f"{start}proj_out.{kind}"] = out[..., None] if kind == "weight" else out
        joined[f"{start}norm.{kind}"] = joined.pop(f"{start}group_norm.{kind}")
    return joined


RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
}


def _with_resamplers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Residual blocks that resample have their parts' names still."""

    def ours(name: str) -> str:
        start, *rest = name.rsplit(".", 2)
        return f"{start}.{RESNET[rest[0]]}.{rest[1]}" if rest[:1] and rest[0] in RESNET else name

    return {ours(name): value for name, value in state.items()}
