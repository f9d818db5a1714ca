from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.errors import UnknownFamily, UnusableFile
from app.weights.hypernetworks import load_hypernetwork


def net(width: int, *, norm: bool = False) -> dict[str, Tensor]:
    """A state as training saves it: a layer, an activation without weights, perhaps a normalisation, a layer."""
    normal = {"linear.2.weight": torch.randn(2 * width), "linear.2.bias": torch.randn(2 * width)}
    last = 3 if norm else 2
    return {
        "linear.0.weight": torch.randn(2 * width, width),
        "linear.0.bias": torch.randn(2 * width),
        **(normal if norm else {}),
        f"linear.{last}.weight": torch.randn(width, 2 * width),
        f"linear.{last}.bias": torch.randn(width),
    }


def file(folder: Path, **options: Any) -> Path:
    torch.manual_seed(0)
    norm = options.get("is_layer_norm", False)
    table: dict[Any, Any] = {width: [net(width, norm=norm), net(width, norm=norm)] for width in (4, 6)}
    torch.save({**table, "step": 100, "name": "style", "layer_structure": [1, 2, 1], **options}, folder / "a.pt")
    return folder / "a.pt"


@pytest.mark.parametrize("norm", [False, True])
def test_layers_are_read_with_what_stands_between_them(tmp_path: Path, norm: bool) -> None:
    found = load_hypernetwork(file(tmp_path, activation_func="relu", is_layer_norm=norm))
    assert list(found.pairs) == [4, 6]
    keys, values = found.pairs[6]
    assert [layer.activation for layer in keys] == ["relu", "linear"]
    assert [layer.norm is not None for layer in values] == [norm, False]
    saved = torch.load(tmp_path / "a.pt", weights_only=True)
    assert torch.equal(values[0].weight, saved[6][1]["linear.0.weight"])
    assert torch.equal(keys[1].bias, saved[6][0][f"linear.{3 if norm else 2}.bias"])


def test_the_last_layer_is_activated_only_if_the_file_says_so(tmp_path: Path) -> None:
    found = load_hypernetwork(file(tmp_path, activation_func="Tanh", activate_output=True))
    assert [layer.activation for layer in found.pairs[4][0]] == ["tanh", "tanh"]
    plain = load_hypernetwork(file(tmp_path, activation_func=None))
    assert [layer.activation for layer in plain.pairs[4][0]] == ["linear", "linear"]


def test_safetensors_say_the_same_in_their_header(tmp_path: Path) -> None:
    tensors = {f"4.{side}.{name}": value for side in (0, 1) for name, value in net(4).items()}
    save_file(tensors, tmp_path / "a.safetensors", {"activation_func": "relu", "activate_output": "True"})
    (first, second), _ = load_hypernetwork(tmp_path / "a.safetensors").pairs[4]
    assert (first.activation, second.activation) == ("relu", "relu")
    assert torch.equal(first.weight, tensors["4.0.linear.0.weight"])


def test_the_oldest_names(tmp_path: Path) -> None:
    old = {"linear1.weight": torch.ones(8, 4), "linear1.bias": torch.zeros(8)}
    old |= {"linear2.weight": torch.ones(4, 8), "linear2.bias": torch.zeros(4)}
    torch.save({4: [old, old]}, tmp_path / "a.pt")
    assert [tuple(layer.weight.shape) for layer in load_hypernetwork(tmp_path / "a.pt").pairs[4][0]] == [(8, 4), (4, 8)]


def test_files_that_hold_none_or_a_broken_one_are_told(tmp_path: Path) -> None:
    save_file({"lora_unet_x.lora_up.weight": torch.ones(2, 2)}, tmp_path / "lora.safetensors")
    with pytest.raises(UnknownFamily, match="hypernetwork"):
        load_hypernetwork(tmp_path / "lora.safetensors")
    with pytest.raises(UnusableFile, match="'sine'"):
        load_hypernetwork(file(tmp_path, activation_func="sine"))
    half = {"4.0.linear.0.weight": torch.ones(4, 4), "4.1.linear.0.weight": torch.ones(4, 4)}
    save_file(half, tmp_path / "half.safetensors")
    with pytest.raises(UnusableFile, match="not complete"):
        load_hypernetwork(tmp_path / "half.safetensors")
    broken = {f"4.{side}.{name}": value / 0 for side in (0, 1) for name, value in net(4).items()}
    save_file(broken, tmp_path / "broken.safetensors")
    with pytest.raises(UnusableFile, match="not numbers"):
        load_hypernetwork(tmp_path / "broken.safetensors")
