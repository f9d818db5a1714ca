from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.models.controlnet_flux import FluxControl, FluxControlConfig
from app.diffusion.models.controlnet_flux_misto import MistoControl
from app.diffusion.models.controlnet_sd3 import SD3Control, SD3ControlConfig, SD3ImageControl, SD3ImageControlConfig
from app.diffusion.models.flux import FLUX_DEV
from app.diffusion.models.mmdit import SD3_MEDIUM, SD35_LARGE
from app.errors import Missing, UnknownFamily
from app.weights.blank import blank
from app.weights.controlnet import control_of, load_control
from app.weights.controlnet_transformers import ControlFile, transformer_control
from app.weights.network import precision_of
from app.weights.stored import WeightsFile, held
from tests.nodes.control_files import SORTS, transformer

# As published, with the millions of weights that each has.
PUBLISHED: dict[str, tuple[Any, int]] = {
    "InstantX, SD3": (lambda: SD3Control(SD3ControlConfig(replace(SD3_MEDIUM, depth=6))), 595),
    "Stability": (
        lambda: SD3ImageControl(SD3ImageControlConfig(replace(SD35_LARGE, depth=19, normalised=False))),
        2160,
    ),
    "XLabs": (lambda: FluxControl(FluxControlConfig(replace(FLUX_DEV, double=2, single=0), pictures=True)), 743),
    "MistoLine": (lambda: MistoControl(FluxControlConfig(replace(FLUX_DEV, double=3, single=2), pictures=True)), 1395),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_large_ones_are_held_in_half_precision(name: str) -> None:
    build, millions = PUBLISHED[name]
    with blank():
        network = build()
    count = sum(value.numel() for value in network.parameters())
    assert round(count / 1e6) == pytest.approx(millions, rel=0.02)
    assert precision_of(network, torch.float32) == (torch.bfloat16 if count >= 1e9 else torch.float32)
    assert precision_of(network, torch.float16) == torch.float16


@pytest.mark.parametrize("name", SORTS)
def test_each_layout_is_read_as_it_was_saved(name: str) -> None:
    network = SORTS[name].network
    read: Any = control_of(WeightsFile("some", held(SORTS[name].tensors()), {})).network
    assert type(read) is type(network)
    expected: dict[str, Tensor] = network.state_dict()
    assert read.state_dict().keys() == expected.keys()
    for key, value in read.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_other_files_are_none_of_them() -> None:
    for kind in ("sd3", "flux"):
        whole = held(transformer(kind).state_dict())
        assert transformer_control(ControlFile(whole, "whole", "", torch.float32)) is None
        with pytest.raises(UnknownFamily, match="those of Stable Diffusion 3's and Flux's"):
            control_of(WeightsFile("odd", held({"a": torch.zeros(1)}), {}))


def test_a_network_that_was_cut_in_several_files(tmp_path: Path) -> None:
    tensors = SORTS["Stability, blur"].tensors()
    del tensors["control_type"]
    folder = tmp_path / "controlnet-canny"
    folder.mkdir()
    names = [f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    kept = [dict(list(tensors.items())[number::2]) for number in (0, 1)]
    for name, part in zip(names, kept, strict=True):
        save_file(part, folder / name)
    table = {key: name for name, part in zip(names, kept, strict=True) for key in part}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    for name in names:
        network: Any = load_control(folder / name).network
        assert network.config.kind == "canny", "as the folder is called"
        assert torch.equal(network.state_dict()["controlnet_blocks.1.bias"], tensors["controlnet_blocks.1.bias"])
    (folder / names[1]).unlink()
    with pytest.raises(Missing, match="holds no weights"):
        load_control(folder / names[0])
