"""Going on from a file: what is trained, what stays, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.adapters.twin import independent, value_of
from app.diffusion.models.narrow import narrow_layer
from app.errors import InvalidRequest
from app.training.adapters.start import Earlier, earlier_training, first_parts, layers_of, network_to_train
from app.weights.adapters.adapter import Adapter, load_adapter
from app.weights.checkpoint import Checkpoint
from tests.diffusion.models.test_block_quantised import put_blocks

LAYER = "input_blocks.3.1.transformer_blocks.0.attn2.to_q"
DIFFUSERS = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q"


def adapter(folder: Path, tensors: dict[str, Tensor]) -> Adapter:
    save_file(tensors, folder / "earlier.safetensors")
    return load_adapter(folder / "earlier.safetensors")


def test_factors_are_found_under_other_programs_names(tiny: Checkpoint, tmp_path: Path) -> None:
    up, down = torch.randn(32, 3), torch.randn(3, 32)
    file = adapter(tmp_path, {f"{DIFFUSERS}.lora_B.weight": up, f"{DIFFUSERS}.lora_A.weight": down})
    earlier = earlier_training(file, tiny.model)
    assert list(earlier.parts) == [LAYER]
    network = network_to_train(tiny.model, torch.float32, earlier)
    parts = first_parts(network, "LoHa", 2, torch.Generator().manual_seed(1), earlier)
    assert torch.equal(parts[LAYER]["up"], up)
    assert "hada_w1_a" in parts["out.2"]
    assert parts.keys() == {name for name, _ in layers_of(network)}


def test_differences_of_biases_and_norms_stay_as_they_are(tiny: Checkpoint, tmp_path: Path) -> None:
    given = {
        "diffusion_model.out.2.diff_b": torch.full((4,), 0.5),
        "diffusion_model.out.0.diff": torch.full((16,), 0.25),
        f"diffusion_model.{LAYER}.lora_up.weight": torch.randn(32, 2),
        f"diffusion_model.{LAYER}.lora_down.weight": torch.randn(2, 32),
    }
    earlier = earlier_training(adapter(tmp_path, given), tiny.model)
    assert sorted(earlier.kept) == ["out.0.weight", "out.2.bias"]
    network, plain = network_to_train(tiny.model, torch.float32, earlier), tiny.model.network
    torch.testing.assert_close(network.get_parameter("out.2.bias"), plain.get_parameter("out.2.bias") + 0.5)
    torch.testing.assert_close(network.get_parameter("out.0.weight"), plain.get_parameter("out.0.weight") + 0.25)
    written = earlier.tensors()
    assert written.keys() == {name for name in given if "diff" in name.rpartition(".")[2]}
    assert all(torch.equal(tensor, given[name]) for name, tensor in written.items())


def test_kinds_that_are_not_trained_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    tensors = {
        f"diffusion_model.{LAYER}.lora_up.weight": torch.randn(32, 2),
        f"diffusion_model.{LAYER}.lora_down.weight": torch.randn(2, 32),
        f"diffusion_model.{LAYER}.dora_scale": torch.rand(32, 1),
    }
    with pytest.raises(InvalidRequest, match=r"Decomposed") as refused:
        earlier_training(adapter(tmp_path, tensors), tiny.model)
    assert refused.value.input_name == "existing_lora"


def test_a_file_for_another_family_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    tensors = {f"{DIFFUSERS}.lora_B.weight": torch.randn(640, 2), f"{DIFFUSERS}.lora_A.weight": torch.randn(2, 2048)}
    with pytest.raises(InvalidRequest, match=r"earlier\.safetensors"):
        earlier_training(adapter(tmp_path, tensors), tiny.model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_network_to_train_is_frozen_and_nobody_elses(tiny: Checkpoint, dtype: torch.dtype) -> None:
    network = network_to_train(tiny.model, dtype, Earlier())
    weight = network.get_parameter("out.2.weight")
    assert not weight.requires_grad
    assert weight.dtype == dtype
    ours, theirs = dict(network.named_modules()), dict(tiny.model.network.named_modules())
    assert not any(ours[name] is theirs[name] for name in theirs)
    assert tiny.model.network.get_parameter("out.2.weight").dtype == torch.float32


def test_weights_in_blocks_are_wide_while_they_are_trained_on(tiny: Checkpoint) -> None:
    network = independent(tiny.model.network)
    names = put_blocks(network)
    model = replace(tiny.model, network=network)
    trained = network_to_train(model, torch.bfloat16, Earlier())
    assert names and not any(narrow_layer(trained, name) for name in names)
    assert all(narrow_layer(network, name) for name in names), "the model's own stay"
    assert {value.dtype for value in trained.parameters()} == {torch.bfloat16}
    assert torch.equal(trained.get_parameter(names[0]), value_of(network, names[0]).bfloat16())
    parts = first_parts(trained, "LoRA", 2, torch.Generator().manual_seed(1), Earlier())
    assert parts[names[0].removesuffix(".weight")]["down"].shape[1] == value_of(network, names[0]).shape[1]
