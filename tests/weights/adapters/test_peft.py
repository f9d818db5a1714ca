from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.adapters.low_rank import LowRank
from app.weights.adapters.adapter import load_adapter
from app.weights.adapters.peft import Scales, scales_told

LAYER = "down_blocks.1.attentions.0.proj_in"


def factors(prefix: str, rank: int = 4) -> dict[str, Tensor]:
    return {
        f"{prefix}{LAYER}.lora_A.weight": torch.ones(rank, 6),
        f"{prefix}{LAYER}.lora_B.weight": torch.ones(6, rank),
    }


def scale(path: Path, layer: str) -> float:
    """The scale that is read: α / r."""
    change = load_adapter(path).changes.weights[layer]
    assert isinstance(change, LowRank)
    return float(change.delta(torch.zeros(6, 6))[0, 0]) / change.rank


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"r": 4, "lora_alpha": 8}, 2.0),
        ({"r": 4, "lora_alpha": 8, "use_rslora": True}, 4.0),
        ({"r": 4, "lora_alpha": 8, "alpha_pattern": {"attentions.0.proj_in": 1}}, 0.25),
        ({"r": 4, "lora_alpha": 8, "alpha_pattern": {"proj_out": 1}}, 2.0),
        ({"r": 4}, 1.0),
    ],
)
def test_the_scale_beside_the_file_counts(tmp_path: Path, said: dict[str, Any], wanted: float) -> None:
    save_file(factors("base_model.model."), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(said))
    assert scale(tmp_path / "adapter_model.safetensors", f"base_model.model.{LAYER}") == pytest.approx(wanted)


def test_files_of_other_names_do_not_read_what_lies_beside_them(tmp_path: Path) -> None:
    save_file(factors("base_model.model."), tmp_path / "style.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8}))
    assert scale(tmp_path / "style.safetensors", f"base_model.model.{LAYER}") == 1.0


def test_the_scale_in_the_header_counts_for_its_part(tmp_path: Path) -> None:
    told = {"unet.lora_alpha": 12, "unet.r": 4, "text_encoder.lora_alpha": 100, "text_encoder.r": 4}
    tensors = factors("unet.") | factors("other.")
    save_file(tensors, tmp_path / "style.safetensors", {"lora_adapter_metadata": json.dumps(told)})
    assert scale(tmp_path / "style.safetensors", f"unet.{LAYER}") == 3.0
    assert scale(tmp_path / "style.safetensors", f"other.{LAYER}") == 1.0


def test_an_alpha_among_the_tensors_wins(tmp_path: Path) -> None:
    tensors = {**factors("base_model.model."), f"base_model.model.{LAYER}.alpha": torch.tensor(2.0)}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8}))
    assert scale(tmp_path / "adapter_model.safetensors", f"base_model.model.{LAYER}") == 0.5


@pytest.mark.parametrize("text", ["", "[1]", "no json", '{"lora_alpha": "much"}', '{"lora_alpha": true}'])
def test_what_says_nothing_changes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "adapter_config.json").write_text(text)
    scales = scales_told(tmp_path / "adapter_model.safetensors", {})
    assert all(each.alpha(LAYER, 4) is None for each in scales)
    assert scales_told(tmp_path / "other.safetensors", {"lora_adapter_metadata": text}) == []


def test_patterns_are_the_end_of_a_name_or_all_of_it() -> None:
    said = {"alpha_pattern": {"^down.0.proj": 1, "mid.proj$": 2, "[": 3}, "lora_alpha": 9}
    scales = Scales("", said)
    assert scales.alpha("base_model.model.down.0.proj", 4) == 1
    assert scales.alpha("mid.proj", 4) == 2
    assert scales.alpha("down.0.proj_out", 4) == 9
    assert Scales("unet.", {"lora_alpha": 4, "use_rslora": True}).alpha("unet.x", 9) == 4 * math.sqrt(9)
