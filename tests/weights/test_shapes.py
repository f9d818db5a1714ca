"""Every published network is recognised by its names and shapes alone."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from app.diffusion.first_stage import autoencoder_of
from app.diffusion.models.flux import FluxConfig
from app.diffusion.models.mmdit import MMDiTConfig
from app.diffusion.models.unet import UNet, UNetConfig
from app.diffusion.published import FIRST_STAGES, U_NETS
from app.weights.shapes import autoencoder_of_shapes, transformer_of, unet_of
from app.weights.stored import Shapes

MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"


def manifest(name: str) -> Shapes:
    return {key: tuple(shape) for key, shape in json.loads((MANIFESTS / f"{name}.json").read_text()).items()}


def untold(config: UNetConfig) -> UNetConfig:
    """What names and shapes tell of a configuration."""
    return replace(config, heads=None, head_width=None, groups=32)


@pytest.mark.parametrize("name", U_NETS)
def test_a_u_net_is_read_off_its_shapes(name: str) -> None:
    with torch.device("meta"):
        state = UNet(U_NETS[name]).state_dict()
    assert unet_of({key: tuple(value.shape) for key, value in state.items()}) == untold(U_NETS[name])


@pytest.mark.parametrize(("manifest_name", "kind"), [("mmdit_sd3_medium", MMDiTConfig), ("dit_flux1_dev", FluxConfig)])
def test_transformers_are_read_off_their_shapes(manifest_name: str, kind: type) -> None:
    assert isinstance(transformer_of(manifest(manifest_name)), kind)
    assert transformer_of(manifest("unet_sd15")) is None
    assert transformer_of({"joint_blocks.0.context_block.attn.qkv.weight": (1, 1)}) is None


@pytest.mark.parametrize("name", FIRST_STAGES)
def test_a_first_stage_is_read_off_its_shapes(name: str) -> None:
    with torch.device("meta"):
        state = autoencoder_of(FIRST_STAGES[name]).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert autoencoder_of_shapes(shapes) == FIRST_STAGES[name]


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("unet_*.json")), ids=lambda path: path.stem)
def test_each_published_list_of_tensors_has_its_family(path: Path) -> None:
    found = unet_of(manifest(path.stem))
    assert found is not None
    assert [config for config in U_NETS.values() if untold(config) == found]


def test_families_can_be_told_apart() -> None:
    shapes = [untold(config) for config in U_NETS.values()]
    assert all(shapes.count(shape) == 1 for shape in shapes)


def test_no_network_is_no_network() -> None:
    for name in ("clip_l_text_hf", "firststage_kl-f8", "dit_flux1_dev"):
        assert unet_of(manifest(name)) is None
    assert autoencoder_of_shapes(manifest("unet_sd15")) is None
    assert unet_of({}) is None
    assert autoencoder_of_shapes({}) is None


def test_parts_of_a_network_never_break_the_reading() -> None:
    """A file may lack anything: what comes out is a configuration or nothing, never an exception."""
    whole = manifest("unet_sd15")
    for count in range(0, len(whole), 23):
        found = unet_of(dict(list(whole.items())[:count]))
        assert found is None or len(fields(found)) > 0
