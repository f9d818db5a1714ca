"""Flux.1's transformer at its published width, a block of each kind deep, equals diffusers' (float32)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.diffusion.models.flux import FLUX_DEV, FLUX_FILL, FLUX_SCHNELL, Flux, FluxConfig
from app.diffusion.models.patches import packed, unpacked
from tests.parity.full_width import TOLERANCE, built, normal, relative_error

CONFIGS = {
    "dev": replace(FLUX_DEV, double=1, single=1),
    "schnell": replace(FLUX_SCHNELL, double=0, single=1),
    "schnell, narrow, deeper": replace(FLUX_SCHNELL, width=384, heads=3, double=3, single=4),
    "fill": replace(FLUX_FILL, double=1, single=0),
    "fill, narrow, deeper": replace(FLUX_FILL, width=384, heads=3, double=2, single=2),
}


def in_diffusers(config: FluxConfig, ours: Flux) -> Any:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    with torch.device("meta"):
        theirs: Any = FluxTransformer2DModel(
            in_channels=4 * config.in_channels,
            out_channels=4 * config.out_channels,
            num_layers=config.double,
            num_single_layers=config.single,
            num_attention_heads=config.heads,
            joint_attention_dim=config.context_width,
            pooled_projection_dim=config.vector_width,
            guidance_embeds=config.guidance,
            axes_dims_rope=(16, 56, 56),
        )
    theirs.load_state_dict(their_names(config, ours.state_dict()), assign=True)
    return theirs.eval()


def their_names(config: FluxConfig, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published tensors under diffusers' names; its own conversion knows one width only."""
    said: dict[str, torch.Tensor] = {}
    for kind in ("weight", "bias"):
        for ours, theirs in (
            ("time_in", "timestep_embedder"),
            ("vector_in", "text_embedder"),
            ("guidance_in", "guidance_embedder"),
        ):
            for first, second in (("in_layer", "linear_1"), ("out_layer", "linear_2")):
                if f"{ours}.{first}.{kind}" in state:
                    said[f"time_text_embed.{theirs}.{second}.{kind}"] = state[f"{ours}.{first}.{kind}"]
        said[f"x_embedder.{kind}"], said[f"context_embedder.{kind}"] = state[f"img_in.{kind}"], state[f"txt_in.{kind}"]
        said[f"proj_out.{kind}"] = state[f"final_layer.linear.{kind}"]
        shift, scale = state[f"final_layer.adaLN_modulation.1.{kind}"].chunk(2)
        said[f"norm_out.linear.{kind}"] = torch.cat([scale, shift])
        for index in range(config.double):
            block, theirs = f"double_blocks.{index}", f"transformer_blocks.{index}"
            said |= double_block(state, block, theirs, kind)
        for index in range(config.single):
            block, theirs = f"single_blocks.{index}", f"single_transformer_blocks.{index}"
            said[f"{theirs}.norm.linear.{kind}"] = state[f"{block}.modulation.lin.{kind}"]
            parts = state[f"{block}.linear1.{kind}"].split([config.width] * 3 + [4 * config.width])
            for name, part in zip(("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"), parts, strict=True):
                said[f"{theirs}.{name}.{kind}"] = part
            said[f"{theirs}.proj_out.{kind}"] = state[f"{block}.linear2.{kind}"]
            said[f"{theirs}.attn.norm_q.weight"] = state[f"{block}.norm.query_norm.scale"]
            said[f"{theirs}.attn.norm_k.weight"] = state[f"{block}.norm.key_norm.scale"]
    return said


def double_block(state: dict[str, torch.Tensor], block: str, theirs: str, kind: str) -> dict[str, torch.Tensor]:
    """One block with weights for text and picture."""
    said: dict[str, torch.Tensor] = {}
    for stream, norm, qkv, out, mlp, scales in (
        ("img", "norm1", ("to_q", "to_k", "to_v"), "to_out.0", "ff", ("norm_q", "norm_k")),
        ("txt", "norm1_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out", "ff_context", ADDED),
    ):
        said[f"{theirs}.{norm}.linear.{kind}"] = state[f"{block}.{stream}_mod.lin.{kind}"]
        for name, part in zip(qkv, state[f"{block}.{stream}_attn.qkv.{kind}"].chunk(3), strict=True):
            said[f"{theirs}.attn.{name}.{kind}"] = part
        said[f"{theirs}.attn.{out}.{kind}"] = state[f"{block}.{stream}_attn.proj.{kind}"]
        said[f"{theirs}.{mlp}.net.0.proj.{kind}"] = state[f"{block}.{stream}_mlp.0.{kind}"]
        said[f"{theirs}.{mlp}.net.2.{kind}"] = state[f"{block}.{stream}_mlp.2.{kind}"]
        for name, ours in zip(scales, ("query_norm", "key_norm"), strict=True):
            said[f"{theirs}.attn.{name}.weight"] = state[f"{block}.{stream}_attn.norm.{ours}.scale"]
    return said


ADDED = ("norm_added_q", "norm_added_k")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_transformer_equals_diffusers(name: str) -> None:
    config = CONFIGS[name]
    ours = built(lambda: Flux(config), 31)
    theirs = in_diffusers(config, ours)
    x, context = normal(2, config.in_channels, 8, 12, seed=32), normal(2, 7, 4096, seed=33)
    vector, t = normal(2, 768, seed=34), torch.tensor([0.001, 0.8735])
    guidance = torch.tensor([3.5, 1.0]) if config.guidance else None
    places = torch.cartesian_prod(torch.zeros(1), torch.arange(4.0), torch.arange(6.0))
    with torch.inference_mode():
        tokens = theirs(
            hidden_states=packed(x),
            encoder_hidden_states=context,
            pooled_projections=vector,
            timestep=t,
            guidance=guidance,
            img_ids=places,
            txt_ids=torch.zeros(7, 3),
        ).sample
        further = x[:, 16:] if config.in_channels > 16 else None
        flow = ours(x[:, :16], t, context, vector, guidance=guidance, concat=further)
        assert relative_error(flow, unpacked(tokens, 8, 12)) < TOLERANCE


def test_with_a_picture_to_look_at_it_equals_diffusers() -> None:
    """Kontext: the tokens of the picture come after the canvas's, with 1 in place of 0 as the first coordinate."""
    config = CONFIGS["schnell, narrow, deeper"]
    ours = built(lambda: Flux(config), 31)
    theirs = in_diffusers(config, ours)
    x, shown, context = normal(1, 16, 8, 12, seed=32), normal(1, 16, 6, 10, seed=36), normal(1, 7, 4096, seed=33)
    vector, t = normal(1, 768, seed=34), torch.tensor([0.8735])
    places = [
        torch.cartesian_prod(torch.tensor([first]), torch.arange(rows), torch.arange(columns))
        for first, rows, columns in ((0.0, 4.0, 6.0), (1.0, 3.0, 5.0))
    ]
    with torch.inference_mode():
        tokens = theirs(
            hidden_states=torch.cat([packed(x), packed(shown)], dim=1),
            encoder_hidden_states=context,
            pooled_projections=vector,
            timestep=t,
            img_ids=torch.cat(places),
            txt_ids=torch.zeros(7, 3),
            return_dict=False,
        )[0]
        wanted = unpacked(tokens[:, :24], 8, 12)
        for method in ("offset", "index"):
            found = ours(x, t, context, vector, reference_000=shown, method=method)
            assert relative_error(found, wanted) < TOLERANCE
        assert relative_error(ours(x, t, context, vector), wanted) > 0.01
