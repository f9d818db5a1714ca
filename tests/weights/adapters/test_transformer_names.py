"""Layers that diffusers has split are changed in the rows where they lie in the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.model import DiffusionModel
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.preview import linear_preview
from app.diffusion.published import FLUX, SD3
from app.weights.adapters.adapter import network_places
from app.weights.diffusers_transformers import BLOCKS, ONCE
from tests.weights.adapters.models import lora, saved


def model(kind: str) -> DiffusionModel:
    torch.manual_seed(0)
    network: nn.Module = small_flux() if kind == "flux" else small_sd3()
    row = FLUX if kind == "flux" else SD3
    network.requires_grad_(False).eval()
    return DiffusionModel(network, row.sampling.build(), row.latent, linear_preview(row.latent), kind)


def small_flux() -> Flux:
    return Flux(FLUX_CONFIG)


def small_sd3() -> MMDiT:
    return MMDiT(SD3_CONFIG)


FLUX_CONFIG = FluxConfig(width=32, heads=2, double=2, single=2, context_width=12, vector_width=8, axes=(4, 6, 6))
SD3_CONFIG = MMDiTConfig(depth=2, width=64, context_width=12, vector_width=8, places=8)


def difference(kind: str, tmp_path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    plain = model(kind)
    made = saved(tmp_path, tensors).applied(plain, None)[0]
    before, after = plain.network.state_dict(), made.network.state_dict()
    return {name: after[name] - before[name] for name in before if not torch.equal(after[name], before[name])}


def width(kind: str) -> int:
    weight = network_places(model(kind).network)[f"diffusion_model.{QKV[kind]}"][1]
    return weight[1]


QKV = {"flux": "double_blocks.1.img_attn.qkv", "sd3": "joint_blocks.0.x_block.attn.qkv"}
PEFT = "base_model.model."
STARTS = ["lora_unet_", "diffusion_model.", "transformer.", PEFT, f"{PEFT}diffusion_model."]
PART = {"flux": "transformer_blocks.1.attn.to_k", "sd3": "transformer_blocks.0.attn.to_k"}


@pytest.mark.parametrize("kind", QKV)
@pytest.mark.parametrize("start", ["transformer.", "", PEFT, "lora_transformer_", "lora_unet_"])
def test_keys_are_the_second_third_of_the_rows(tmp_path: Path, kind: str, start: str) -> None:
    size = width(kind)
    layer = start + (PART[kind].replace(".", "_") if start.endswith("_") else PART[kind])
    factors = lora(layer, (size, size))
    ((name, changed),) = difference(kind, tmp_path, factors).items()
    assert name == f"{QKV[kind]}.weight"
    up, down = factors.values()
    torch.testing.assert_close(changed[size : 2 * size], up @ down, rtol=0, atol=1e-5)
    assert not changed[:size].any()
    assert not changed[2 * size :].any()


@pytest.mark.parametrize("kind", QKV)
@pytest.mark.parametrize("start", STARTS)
def test_the_whole_under_its_published_name(tmp_path: Path, kind: str, start: str) -> None:
    size = width(kind)
    layer = start + (QKV[kind].replace(".", "_") if start.endswith("_") else QKV[kind])
    assert list(difference(kind, tmp_path, lora(layer, (3 * size, size)))) == [f"{QKV[kind]}.weight"]


def test_a_single_block_of_flux_joins_four_layers(tmp_path: Path) -> None:
    size = width("flux")
    block = "transformer.single_transformer_blocks.1"
    parts = {"attn.to_q": (0, size), "attn.to_v": (2 * size, size), "proj_mlp": (3 * size, 4 * size)}
    for part, (first, count) in parts.items():
        factors = lora(f"{block}.{part}", (count, size))
        ((name, changed),) = difference("flux", tmp_path, factors).items()
        assert name == "single_blocks.1.linear1.weight"
        rows = changed.abs().sum(1).nonzero().flatten()
        assert (int(rows[0]), len(rows)) == (first, count)


@pytest.mark.parametrize("kind", QKV)
def test_the_last_normalisation_has_its_halves_the_other_way_round(tmp_path: Path, kind: str) -> None:
    size = width(kind)
    factors = lora("transformer.norm_out.linear", (2 * size, size))
    ((name, changed),) = difference(kind, tmp_path, factors).items()
    assert name == "final_layer.adaLN_modulation.1.weight"
    up, down = factors.values()
    torch.testing.assert_close(changed, (up @ down).roll(size, 0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", QKV)
def test_every_layer_of_diffusers_has_a_place(kind: str) -> None:
    """All that the loader of whole transformers knows, adapters know too."""
    places: Any = network_places(model(kind).network)
    wanted = [*ONCE[kind].values(), "norm_out.linear"]
    for blocks in BLOCKS[kind]:
        wanted += [
            f"{blocks.theirs}.0.{part}" for parts in blocks.layers.values() for part in parts if "attn2" not in part
        ]
    missing = [name for name in wanted if f"transformer.{name}" not in places]
    assert missing == []


def test_the_last_context_of_sd3_ends_in_such_a_normalisation_too(tmp_path: Path) -> None:
    size = width("sd3")
    factors = lora("transformer.transformer_blocks.1.norm1_context.linear", (2 * size, size))
    ((name, changed),) = difference("sd3", tmp_path, factors).items()
    assert name == "joint_blocks.1.context_block.adaLN_modulation.1.weight"
    up, down = factors.values()
    torch.testing.assert_close(changed, (up @ down).roll(size, 0), rtol=0, atol=1e-5)
    first = network_places(model("sd3").network)["transformer.transformer_blocks.0.norm1_context.linear"]
    assert not first[0].halves_swapped
