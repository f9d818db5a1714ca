"""Files of adapters by the packs' door change what they change by ours."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.adapters.twin import value_of
from app.diffusion.models.flux import Flux, FluxConfig
from app.errors import InvalidRequest
from app.extend.facade.bridge import FacadeHost
from app.weights.adapters.adapter import Adapter
from app.weights.adapters.reading import changes_in
from app.weights.checkpoint import Checkpoint

LAYER = "middle_block.1.transformer_blocks.0.attn1.to_q"
TEXT = "text_model.encoder.layers.0.mlp.fc1"


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def files(rows: int, columns: int) -> dict[str, dict[str, Tensor]]:
    """Tensors of one layer in each kind of adapter."""
    low = {"lora_up.weight": random(rows, 2), "lora_down.weight": random(2, columns), "alpha": torch.tensor(1.0)}
    return {
        "lora": low,
        "dora": {**low, "dora_scale": random(rows, 1).abs()},
        "peft": {"lora_A.default.weight": random(2, columns), "lora_B.default.weight": random(rows, 2)},
        "loha": {
            "hada_w1_a": random(rows, 2),
            "hada_w1_b": random(2, columns),
            "hada_w2_a": random(rows, 3),
            "hada_w2_b": random(3, columns),
            "alpha": torch.tensor(2.0),
        },
        "lokr": {"lokr_w1": random(2, 2), "lokr_w2": random(rows // 2, columns // 2)},
        "full": {"diff": random(rows, columns)},
        "set": {"set_weight": random(rows, columns)},
    }


@pytest.mark.parametrize("kind", files(4, 4))
@pytest.mark.parametrize("name", ["lora_unet_" + LAYER.replace(".", "_"), f"diffusion_model.{LAYER}"])
def test_a_file_changes_what_our_node_changes(host: FacadeHost, tiny: Checkpoint, kind: str, name: str) -> None:
    sd = importlib.import_module("comfy.sd")
    weight = tiny.model.network.get_parameter(f"{LAYER}.weight")
    tensors = {f"{name}.{end}": value for end, value in files(*weight.shape)[kind].items()}
    patcher, clip = sd.load_lora_for_models(host.to_pack(tiny.model), None, tensors, 0.7, 0.0)
    assert clip is None
    ours, _ = Adapter("a.safetensors", changes_in(tensors), "", len(tensors)).applied(tiny.model, None, 0.7)
    expected = value_of(ours.network, f"{LAYER}.weight")
    torch.testing.assert_close(patcher.patched_weights()[f"{LAYER}.weight"], expected)
    assert not torch.allclose(expected, weight, atol=1e-3)


def test_biases_and_text_towers(host: FacadeHost, tiny: Checkpoint) -> None:
    sd = importlib.import_module("comfy.sd")
    model, clip = host.to_pack(tiny.model), host.to_pack(tiny.clip)
    tower: Any = tiny.clip.towers["l"]
    rows, columns = tower.get_parameter(f"{TEXT}.weight").shape
    proj = "middle_block.1.proj_in"
    bias = tiny.model.network.get_parameter(f"{proj}.bias")
    tensors = {
        "lora_te1_" + TEXT.replace(".", "_") + ".lora_up.weight": random(rows, 1),
        "lora_te1_" + TEXT.replace(".", "_") + ".lora_down.weight": random(1, columns),
        f"diffusion_model.{proj}.diff_b": random(*bias.shape),
    }
    changed, spoken = sd.load_lora_for_models(model, clip, tensors, 1.0, 0.5)
    torch.testing.assert_close(changed.patched_weights()[f"{proj}.bias"], bias + random(*bias.shape))
    expected = tower.get_parameter(f"{TEXT}.weight") + 0.5 * random(rows, 1) @ random(1, columns)
    torch.testing.assert_close(spoken.patcher.patched_weights()[f"{TEXT}.weight"], expected)


def test_parts_of_a_joined_weight(host: FacadeHost, tiny: Checkpoint) -> None:
    """diffusers has Flux's queries, keys and values apart, and the halves of the last normalisation turned."""
    lora, sd = importlib.import_module("comfy.lora"), importlib.import_module("comfy.sd")
    network = Flux(FluxConfig(4, 4, 32, 2, 1, 1, 16, 8, False, (4, 6, 6))).requires_grad_(False)
    model = replace(tiny.model, network=network)
    names = ("transformer_blocks.0.attn.to_k", "norm_out.linear")
    tensors = {
        f"transformer.{names[0]}.lora_B.weight": random(32, 2),
        f"transformer.{names[0]}.lora_A.weight": random(2, 32),
        f"transformer.{names[1]}.lora_B.weight": random(64, 2),
        f"transformer.{names[1]}.lora_A.weight": random(2, 32),
    }
    keys = lora.model_lora_keys_unet(host.to_pack(model).model)
    assert keys[f"transformer.{names[0]}"][:2] == ("diffusion_model.double_blocks.0.img_attn.qkv.weight", (0, 32, 32))
    patcher, _ = sd.load_lora_for_models(host.to_pack(model), None, tensors, 1.0, 0.0)
    ours, _ = Adapter("a.safetensors", changes_in(tensors), "", 4).applied(model, None)
    for name in ("double_blocks.0.img_attn.qkv.weight", "final_layer.adaLN_modulation.1.weight"):
        expected = value_of(ours.network, name)
        torch.testing.assert_close(patcher.patched_weights()[name], expected)
        assert not torch.equal(expected, network.get_parameter(name))


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (("loha", (*[torch.ones(2, 1), torch.ones(1, 2)], 1.0, torch.ones(2, 1), torch.ones(1, 2))), 1.0),
        (("lokr", (torch.ones(1, 1), torch.ones(2, 2), 1.0)), 1.0),
        (("lora", (torch.ones(2, 1), torch.ones(1, 2), None, None, torch.full((2, 1), 8.0**0.5))), 2.0),
    ],
)
def test_changes_that_packs_make_by_hand(host: FacadeHost, patch: Any, expected: float) -> None:
    lora = importlib.import_module("comfy.lora")
    changed = lora.calculate_weight([(1.0, patch, 0.0, None, None)], torch.ones(2, 2), "w")
    torch.testing.assert_close(changed, torch.full((2, 2), expected))


def test_an_adapter_of_a_packs_own(host: FacadeHost) -> None:
    class Own:
        def calculate_weight(self, weight: Tensor, key: str, strength: float, *_: Any) -> Tensor:
            assert key == "w"
            return weight + 3 * strength

    lora = importlib.import_module("comfy.lora")
    assert lora.calculate_weight([(0.5, Own(), 1.0, None, None)], torch.ones(1), "w").tolist() == [2.5]


def test_what_fits_nothing_is_told(host: FacadeHost, tiny: Checkpoint, caplog: pytest.LogCaptureFixture) -> None:
    lora, sd = importlib.import_module("comfy.lora"), importlib.import_module("comfy.sd")
    tensors = {"lora_unet_elsewhere.lora_up.weight": random(2, 1), "lora_unet_elsewhere.lora_down.weight": random(1, 2)}
    assert lora.load_lora(tensors, {"lora_unet_here": "here.weight"}) == {}
    assert "2 of 2 entries" in caplog.text
    with pytest.raises(InvalidRequest, match="fits neither"):
        sd.load_lora_for_models(host.to_pack(tiny.model), None, tensors, 1.0, 1.0)
