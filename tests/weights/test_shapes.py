"""Every published network is recognised by its names and shapes alone."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from app.diffusion.families import Family
from app.diffusion.first_stage import autoencoder_of
from app.diffusion.models.unet import UNet, UNetConfig
from app.diffusion.published import FIRST_STAGES, PUBLISHED
from app.weights.shapes import autoencoder_of_shapes, unet_of
from app.weights.stored import Shapes

MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"


def manifest(name: str) -> Shapes:
    return {key: tuple(shape) for key, shape in json.loads((MANIFESTS / f"{name}.json").read_text()).items()}


def untold(config: UNetConfig) -> UNetConfig:
    """What names and shapes tell of a configuration."""
    return replace(config, heads=None, head_width=None, groups=32)


@pytest.mark.parametrize("family", PUBLISHED.values(), ids=lambda family: family.name)
def test_a_u_net_is_read_off_its_shapes(family: Family) -> None:
    with torch.device("meta"):
        state = UNet(family.unet).state_dict()
    assert unet_of({key: tuple(value.shape) for key, value in state.items()}) == untold(family.unet)


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
    assert [family.name for family in PUBLISHED.values() if untold(family.unet) == found]


def test_families_can_be_told_apart() -> None:
    shapes = [untold(family.unet) for family in PUBLISHED.values()]
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
