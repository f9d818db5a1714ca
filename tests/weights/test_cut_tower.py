"""A tower without its last layer says what the whole one says at every layer that is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.conditioning.encoders import CLIP_H
from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.models.clip_text import ClipText
from app.errors import InvalidRequest, UnusableFile
from app.weights import folder, towers
from app.weights.folder import open_folder
from app.weights.parts import parts_of
from app.weights.text_files import load_text_encoder
from app.weights.towers import TOWERS, text_encoder_in

WIDTH, PROMPT = 32, "a red circle and a (blue:1.3) square"
NARROW = replace(CLIP_H, width=WIDTH, heads=2, projection=None)
LAST = "text_model.encoder.layers.23."


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP H with all of its layers, and few channels."""
    monkeypatch.setattr(towers, "TOWERS", {**TOWERS, "h": (NARROW, TOWERS["h"][1])})
    monkeypatch.setattr(folder, "TOWERS", {WIDTH: folder.TOWERS[1024]})


@pytest.fixture
def whole() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return {
        name: value.detach() + 0.1 * torch.randn_like(value) for name, value in ClipText(NARROW).state_dict().items()
    }


def cut(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith(LAST)}


def alone(path: Path, state: dict[str, Tensor]) -> PromptEncoder:
    """From a file of its own."""
    save_file(state, path / "text.safetensors")
    return load_text_encoder([path / "text.safetensors"], "stable_diffusion", [])


def in_folder(path: Path, state: dict[str, Tensor]) -> PromptEncoder:
    """From the text encoder in diffusers' folder of parts."""
    for part in ("unet", "text_encoder", "scheduler"):
        (path / part).mkdir(exist_ok=True)
    save_file({"conv_in.weight": torch.ones(8, 4, 3, 3)}, path / "unet" / "diffusion_pytorch_model.safetensors")
    save_file(state, path / "text_encoder" / "model.safetensors")
    (path / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "v_prediction"}))
    encoder = text_encoder_in("sd2", parts_of(open_folder(path).tensors).rest, "folder", torch.float32)
    assert encoder is not None
    return encoder


@pytest.mark.parametrize("load", [alone, in_folder])
@pytest.mark.parametrize("layer", [None, -2, -3, -23, -24])
def test_layers_count_from_the_whole_tower_s_last(
    tmp_path: Path, whole: dict[str, Tensor], load: Callable[..., PromptEncoder], layer: int | None
) -> None:
    encoders = [load(tmp_path, state) for state in (whole, cut(whole))]
    full, less = (encoder if layer is None else encoder.with_layer(layer) for encoder in encoders)
    assert not any(name.startswith(LAST) for name in less.model.state_dict())
    assert torch.equal(full.encode(PROMPT).context, less.encode(PROMPT).context)


def test_different_layers_say_different_things(tmp_path: Path, whole: dict[str, Tensor]) -> None:
    encoder = alone(tmp_path, cut(whole))
    said = [encoder.with_layer(layer).encode(PROMPT).context for layer in (-2, -3, -24)]
    assert not any(torch.equal(one, other) for one, other in pairwise(said))


@pytest.mark.parametrize("layer", [-1, -25])
def test_the_layer_that_is_not_there_is_named(tmp_path: Path, whole: dict[str, Tensor], layer: int) -> None:
    encoder = alone(tmp_path, cut(whole)).with_layer(layer)
    with pytest.raises(InvalidRequest, match=f"cannot stop at layer {layer}: .* without the last layer") as told:
        encoder.encode(PROMPT)
    assert "layer -2" in told.value.remedy
    assert "-24" in told.value.remedy


@pytest.mark.parametrize("name", [f"{LAST}mlp.fc1.bias", "text_model.encoder.layers.21.mlp.fc2.weight"])
def test_a_tower_that_lacks_less_or_another_layer_is_incomplete(
    tmp_path: Path, whole: dict[str, Tensor], name: str
) -> None:
    del whole[name]
    with pytest.raises(UnusableFile, match=f"lacks the tensor '{name}'"):
        alone(tmp_path, whole)
