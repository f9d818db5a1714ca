"""The same random weights in our networks and in independent implementations give the same numbers (float32)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.unet import UNet, UNetConfig

M = TypeVar("M", bound=nn.Module)
TOLERANCE = 1e-4  # of the largest value


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def randomise(module: M, seed: int) -> M:
    """Weights that keep the signal's size, and biases that are not zero, so that nothing hides."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        is_scale = value.dim() == 1 and name.endswith("weight")
        value.data = 1.0 + 0.1 * noise if is_scale else noise * (0.05 if value.dim() == 1 else value[0].numel() ** -0.5)
    return module.eval()


UNETS = {
    "sd1, heads": UNetConfig(
        model_channels=32, channel_mult=(1, 2, 2), transformer_depth=(1, 1, 0), heads=4, context_width=24
    ),
    "sd2, head width": UNetConfig(
        model_channels=32,
        channel_mult=(1, 2),
        transformer_depth=(1, 1),
        heads=None,
        head_width=16,
        context_width=20,
        linear_projection=True,
    ),
    "sdxl, depths and vector": UNetConfig(
        model_channels=32,
        channel_mult=(1, 2, 4),
        transformer_depth=(0, 2, 3),
        transformer_depth_middle=3,
        heads=None,
        head_width=16,
        context_width=20,
        linear_projection=True,
        vector_width=48,
    ),
}


def diffusers_unet(config: UNetConfig, state: dict[str, Tensor]) -> Any:
    """The same network in diffusers, filled through its own conversion of CompVis's names."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    levels = range(len(config.channel_mult))
    widths = [config.model_channels * factor for factor in config.channel_mult]
    # diffusers calls the number of heads "attention_head_dim" for this class.
    heads = [config.heads_of(width)[0] for width in widths]
    depth = config.transformer_depth
    shape: dict[str, Any] = {
        "sample_size": 16,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": tuple(widths),
        "layers_per_block": config.num_res_blocks,
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth[i] else "DownBlock2D" for i in levels),
        "up_block_types": tuple("CrossAttnUpBlock2D" if depth[i] else "UpBlock2D" for i in reversed(levels)),
        "attention_head_dim": heads,
        "transformer_layers_per_block": [max(layers, 1) for layers in depth],
        "cross_attention_dim": config.context_width,
        "use_linear_projection": config.linear_projection,
        "norm_num_groups": config.groups,
        "class_embed_type": "projection" if config.vector_width else None,
        "projection_class_embeddings_input_dim": config.vector_width or None,
    }
    theirs: Any = UNet2DConditionModel(**shape)
    prefixed = {f"model.diffusion_model.{name}": value for name, value in state.items()}
    converted = convert_ldm_unet_checkpoint(prefixed, config=dict(theirs.config))
    for ours, name in (("0.0", "linear_1"), ("0.2", "linear_2")):
        for kind in ("weight", "bias"):
            if config.vector_width:
                converted[f"class_embedding.{name}.{kind}"] = state[f"label_emb.{ours}.{kind}"]
    theirs.load_state_dict(converted)
    return theirs.eval()


@pytest.mark.parametrize("name", UNETS)
@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_unet_equals_diffusers(name: str, size: tuple[int, int]) -> None:
    config = UNETS[name]
    ours = randomise(UNet(config), 3)
    theirs = diffusers_unet(config, ours.state_dict())
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2, config.in_channels, *size, generator=generator)
    context = torch.randn(2, 7, config.context_width or 1, generator=generator)
    vector = torch.randn(2, config.vector_width, generator=generator) if config.vector_width else None
    t = torch.tensor([3.0, 981.0])
    with torch.inference_mode():
        expected = theirs(x, t, context, class_labels=vector).sample
        assert relative_error(ours(x, t, context, vector), expected) < TOLERANCE


def diffusers_vae(config: AutoencoderConfig, state: dict[str, Tensor]) -> Any:
    """The same first stage in diffusers."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL as Theirs

    levels = len(config.channel_mult)
    shape: dict[str, Any] = {
        "latent_channels": config.latent_channels,
        "block_out_channels": tuple(config.channels * factor for factor in config.channel_mult),
        "layers_per_block": config.num_res_blocks,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "norm_num_groups": config.groups,
    }
    theirs: Any = Theirs(**shape).eval()
    prefixed = {f"first_stage_model.{name}": value for name, value in state.items()}
    theirs.load_state_dict(convert_ldm_vae_checkpoint(prefixed, dict(theirs.config)))
    return theirs


@pytest.mark.parametrize("config", [AutoencoderConfig(channels=32), AutoencoderConfig(8, 32, (1, 2, 2), 1)])
def test_first_stage_equals_diffusers(config: AutoencoderConfig) -> None:
    ours = randomise(AutoencoderKL(config), 5)
    theirs = diffusers_vae(config, ours.state_dict())
    image = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(6)) * 2 - 1
    with torch.inference_mode():
        posterior = ours.encode(image)
        expected = theirs.encode(image).latent_dist
        assert relative_error(posterior.mean, expected.mean) < TOLERANCE
        assert relative_error(posterior.logvar, expected.logvar) < TOLERANCE
        assert relative_error(ours.decode(expected.mean), theirs.decode(expected.mean).sample) < TOLERANCE


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_text_tower_equals_transformers(activation: str) -> None:
    from transformers import CLIPTextConfig
    from transformers import CLIPTextModelWithProjection as Theirs

    config = ClipTextConfig(99, 32, 3, 4, 20, activation, projection=24)
    ours = randomise(ClipText(config), 7)
    theirs = Theirs(
        CLIPTextConfig(
            vocab_size=99,
            hidden_size=32,
            intermediate_size=128,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=20,
            hidden_act=activation,
            projection_dim=24,
            bos_token_id=97,
            eos_token_id=98,
            pad_token_id=98,
        )
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randint(0, 97, (2, 20), generator=torch.Generator().manual_seed(8))
    end = torch.tensor([5, 19])
    tokens[torch.arange(2), end] = 98
    with torch.inference_mode():
        expected = theirs(tokens, output_hidden_states=True)
        features = ours(tokens, end)
        assert relative_error(features.hidden, expected.last_hidden_state) < TOLERANCE
        assert relative_error(features.pooled, expected.text_embeds) < TOLERANCE
        penultimate = ours(tokens, end, layer=-2, normalise=False).hidden
        assert relative_error(penultimate, expected.hidden_states[-2]) < TOLERANCE


def test_a_wrong_weight_would_show() -> None:
    """The tolerance tells networks apart: one changed bias is seen."""
    config = replace(UNETS["sd1, heads"], channel_mult=(1, 2), transformer_depth=(1, 0))
    ours = randomise(UNet(config), 9)
    theirs = diffusers_unet(config, ours.state_dict())
    ours.get_parameter("middle_block.1.transformer_blocks.0.attn2.to_out.0.bias").data += 0.05
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 24)
    with torch.inference_mode():
        expected = theirs(x, torch.tensor([500.0]), context).sample
        assert relative_error(ours(x, torch.tensor([500.0]), context), expected) > TOLERANCE
