"""Transformers in diffusers' names, filled into our networks, give what diffusers' own networks give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.models.block_formats import FORMATS
from app.diffusion.models.flux import Flux, flux_config
from app.diffusion.models.mmdit import MMDiT, mmdit_config
from app.diffusion.models.patches import packed, unpacked
from app.weights.diffusers_transformers import joined, swapped, transformer_kind, transformer_names
from app.weights.separate import load_folder, load_network
from app.weights.stored import Stored, StoredBlocks, held, shapes_of
from tests.diffusion.models.test_block_formats import blocks_of
from tests.weights.test_text_files import t5_state
from tests.weights.test_vocabularies import sentencepiece


def sd3(normalised: bool) -> Any:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    torch.manual_seed(1)
    return SD3Transformer2DModel(
        sample_size=16,
        num_layers=3,
        num_attention_heads=2,
        joint_attention_dim=40,
        caption_projection_dim=128,
        pooled_projection_dim=24,
        out_channels=16,
        pos_embed_max_size=12,
        qk_norm="rms_norm" if normalised else None,
        dual_attention_layers=(0,) if normalised else (),
    ).eval()


def flux(guidance: bool) -> Any:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    torch.manual_seed(2)
    return FluxTransformer2DModel(
        num_layers=2,
        num_single_layers=2,
        num_attention_heads=1,
        joint_attention_dim=40,
        pooled_projection_dim=24,
        guidance_embeds=guidance,
    ).eval()


def shaken(module: Any) -> dict[str, Tensor]:
    """The module's tensors, none of them zero or one, put into it."""
    state = {name: value + 0.05 * torch.randn(value.shape) for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    return state


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("normalised", [False, True])
def test_stable_diffusion_3(normalised: bool) -> None:
    theirs = sd3(normalised)
    tensors = held(shaken(theirs))
    assert transformer_kind(tensors) == "sd3"
    named = transformer_names("sd3", tensors)
    ours = MMDiT(mmdit_config(shapes_of(named))).eval()
    ours.load_state_dict({name: stored.read() for name, stored in named.items()})
    x, context, vector = torch.randn(2, 16, 8, 12), torch.randn(2, 5, 40), torch.randn(2, 24)
    t = torch.tensor([3.0, 900.0])
    with torch.no_grad():
        assert relative_error(ours(x, t, context, vector), theirs(x, context, vector, t).sample) < 1e-4


@pytest.mark.parametrize("guidance", [False, True])
def test_flux(guidance: bool) -> None:
    theirs = flux(guidance)
    tensors = held(shaken(theirs))
    assert transformer_kind(tensors) == "flux"
    named = transformer_names("flux", tensors)
    ours = Flux(flux_config(shapes_of(named))).eval()
    ours.load_state_dict({name: stored.read() for name, stored in named.items()})
    x, context, vector = torch.randn(2, 16, 8, 12), torch.randn(2, 5, 40), torch.randn(2, 24)
    t, scale = torch.tensor([0.1, 0.9]), torch.tensor([3.5, 1.0])
    places = torch.cartesian_prod(torch.zeros(1), torch.arange(4.0), torch.arange(6.0))
    with torch.no_grad():
        tokens = theirs(
            hidden_states=packed(x),
            encoder_hidden_states=context,
            pooled_projections=vector,
            timestep=t,
            guidance=scale if guidance else None,
            img_ids=places,
            txt_ids=torch.zeros(5, 3),
        ).sample
        assert relative_error(ours(x, t, context, vector, guidance=scale), unpacked(tokens, 8, 12)) < 1e-4


def test_other_networks_are_none_of_them() -> None:
    assert transformer_kind(held({"down_blocks.0.resnets.0.conv1.weight": torch.ones(1)})) is None
    assert transformer_kind(held({"transformer_blocks.0.attn.add_q_proj.weight": torch.ones(1)})) is None


def test_nothing_is_read_before_it_is_wanted() -> None:
    halves = swapped(held({"a": torch.tensor([1.0, 2.0, 3.0, 4.0])})["a"])
    assert halves.shape == (4,)
    assert halves.read().tolist() == [3, 4, 1, 2]


def test_a_file_of_its_own_is_recognised(tmp_path: Path) -> None:
    save_file(flux(True).state_dict(), tmp_path / "flux.safetensors")
    assert load_network(tmp_path / "flux.safetensors").family == "flux"


def test_a_folder_brings_its_text_encoders_and_their_vocabulary(tmp_path: Path) -> None:
    for part, state in (("transformer", sd3(False).state_dict()), ("text_encoder_3", t5_state())):
        (tmp_path / part).mkdir()
        name = "diffusion_pytorch_model" if part == "transformer" else "model"
        save_file(state, tmp_path / part / f"{name}.safetensors")
    (tmp_path / "tokenizer_3").mkdir()
    (tmp_path / "tokenizer_3" / "spiece.model").write_bytes(sentencepiece("red"))
    (tmp_path / "model_index.json").write_text(json.dumps({}))
    checkpoint = load_folder(tmp_path)
    assert checkpoint.family.name == "sd3"
    assert checkpoint.clip.encode("red").context.shape == (1, 77, 16)


def in_blocks(rows: int, seed: int, kind: str = "Q8_0", width: int = 64) -> Stored:
    form = FORMATS[kind]
    blocks = blocks_of(form, rows * width // form.values, seed)
    return Stored((rows, width), lambda: form.wide(blocks).view(rows, width), blocks=StoredBlocks(form, lambda: blocks))


def test_blocks_are_joined_and_swapped_as_their_values_are() -> None:
    parts = [in_blocks(3, 1), in_blocks(5, 2), in_blocks(2, 3)]
    whole = joined(parts)
    halves = swapped(whole)
    for each in (whole, halves):
        assert each.blocks is not None and each.shape == (10, 64)
        assert torch.equal(each.blocks.format.wide(each.blocks.read()).view(10, 64), each.read())
    assert torch.equal(whole.read(), torch.cat([part.read() for part in parts]))


def test_what_cannot_be_put_together_in_blocks_is_multiplied_out() -> None:
    assert joined([in_blocks(3, 1), in_blocks(3, 1, "Q5_1")]).blocks is None, "of two kinds"
    assert joined([in_blocks(3, 1), *held({"a": torch.zeros(2, 64)}).values()]).blocks is None
    assert swapped(in_blocks(3, 1)).blocks is None, "halves of unequal size"
    assert swapped(in_blocks(2, 1, width=16)).blocks is None, "a block that lies in both halves"
    assert swapped(in_blocks(2, 1, width=16)).read().shape == (2, 16)
