from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.diffusion.adapters.extraction import nearest_low_rank
from app.diffusion.adapters.merge import merged
from app.diffusion.adapters.twin import with_edits
from app.diffusion.model import DiffusionModel
from app.errors import InvalidRequest
from app.weights.adapters.adapter import load_adapter
from app.weights.adapters.writing import save_difference
from tests.weights.adapters.models import lora, saved, small_clip, small_model

LAYER = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q"


def subtracted(tuned: Any, plain: Any) -> Any:
    return merged(tuned, plain, lambda _: (1.0, -1.0))


def tuned_model(folder: Path) -> tuple[DiffusionModel, DiffusionModel]:
    """A model, and one that training has changed in a layer, a convolution, a bias and a scale."""
    model = small_model("sd1")
    tensors = {
        **lora(LAYER, (32, 32)),
        **lora("diffusion_model.input_blocks.1.0.in_layers.2", (32, 32, 3, 3)),
        "diffusion_model.out.2.diff_b": torch.ones(4),
        "diffusion_model.out.0.diff": torch.ones(32),
    }
    return model, saved(folder, tensors).applied(model, None)[0]


@pytest.mark.parametrize("rank", [2, None])
def test_what_was_added_is_found_again(tmp_path: Path, rank: int | None) -> None:
    model, tuned = tuned_model(tmp_path)
    difference = replace(model, network=subtracted(tuned.network, model.network))
    save_difference(tmp_path / "found.safetensors", difference, None, {"who": "me"}, rank=rank)
    again = load_adapter(tmp_path / "found.safetensors").applied(model, None)[0]
    ours, expected = again.network.state_dict(), tuned.network.state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, rtol=2e-3, atol=1e-2)  # half precision
    changed = [name for name, value in model.network.state_dict().items() if not torch.equal(value, ours[name])]
    assert len(changed) == 4


def test_without_biases(tmp_path: Path) -> None:
    model, tuned = tuned_model(tmp_path)
    difference = replace(model, network=subtracted(tuned.network, model.network))
    save_difference(tmp_path / "found.safetensors", difference, None, {}, biases=False)
    assert len(load_adapter(tmp_path / "found.safetensors").changes.layers) == 2


def test_text_towers_too(tmp_path: Path) -> None:
    clip: Any = small_clip("l", "g")
    tuned = saved(tmp_path, lora("lora_te2_text_model_encoder_layers_0_mlp_fc1", (96, 24))).applied(
        small_model("sd1"), clip
    )[1]
    towers = {name: subtracted(tower, clip.towers[name]) for name, tower in tuned.towers.items()}
    save_difference(tmp_path / "found.safetensors", None, clip.with_towers(towers), {}, rank=4)
    adapter = load_adapter(tmp_path / "found.safetensors")
    assert list(adapter.changes.layers) == ["text_encoders.clip_g.transformer.text_model.encoder.layers.0.mlp.fc1"]
    again = adapter.applied(small_model("sd1"), clip)[1]
    expected = tuned.encode("red").context
    assert float((again.encode("red").context - expected).abs().max() / expected.abs().max()) < 0.01


def test_no_difference_is_told(tmp_path: Path) -> None:
    model = small_model("sd1")
    nothing = replace(model, network=merged(model.network, model.network, lambda _: (1.0, -1.0)))
    with pytest.raises(InvalidRequest, match="no difference"):
        save_difference(tmp_path / "none.safetensors", nothing, None, {})
    assert with_edits(model.network, []) is model.network


def test_the_nearest_low_rank_errs_by_the_values_left_out() -> None:
    torch.manual_seed(0)
    weight = torch.randn(12, 7)
    singular = torch.linalg.svdvals(weight)
    for rank in (1, 3, 7, 20):
        up, down = nearest_low_rank(weight, rank)
        assert up.shape[1] == down.shape[0] == min(rank, 7)
        error = (weight - up @ down).square().sum()
        torch.testing.assert_close(error, singular[rank:].square().sum(), rtol=1e-4, atol=1e-8)


def test_a_convolution_keeps_its_kernel_in_the_lower_factor() -> None:
    up, down = nearest_low_rank(torch.randn(6, 4, 3, 3), 2)
    assert up.shape == (6, 2, 1, 1)
    assert down.shape == (2, 4, 3, 3)
