"""Families as rows: what they predict, and how they travel in a file's header."""

from __future__ import annotations

import json

import pytest
import torch

from app.diffusion.families import Family, SamplingConfig, family_from_json, family_to_json
from app.diffusion.models.flux import FluxConfig
from app.diffusion.models.mmdit import MMDiTConfig
from app.diffusion.parameterization import EPS, FLOW, V
from app.diffusion.published import FLUX, PUBLISHED, SCHNELL, SD3, transformer_family


@pytest.mark.parametrize("family", [*PUBLISHED.values(), SD3, FLUX, SCHNELL], ids=lambda family: family.name)
def test_every_family_survives_a_header(family: Family) -> None:
    assert family_from_json(json.loads(json.dumps(family_to_json(family)))) == family


@pytest.mark.parametrize(
    ("config", "prediction", "highest"),
    [
        (SamplingConfig("eps"), EPS, 14.6146),
        (SamplingConfig("v"), V, 14.6146),
        (SamplingConfig("v", zero_terminal_snr=True), V, 4518.76),
        (SamplingConfig("eps", linear_start=0.0015, linear_end=0.0195), EPS, 83.82),
        (SamplingConfig("eps", linear_start=0.0015, linear_end=0.0205), EPS, 101.58),
        (SamplingConfig("eps", linear_start=0.0015, linear_end=0.0155), EPS, 38.66),
        (SamplingConfig("v", linear_start=1e-4, linear_end=0.02), V, 36.91),
        (SamplingConfig("v-edm", sigma_min=0.002, sigma_max=120.0), V, 120.0),
        (SamplingConfig("flow", shift=3.0), FLOW, 1.0),
        (SamplingConfig("flux", shift=1.15), FLOW, 1.0),
    ],
)
def test_the_published_noise_levels(config: SamplingConfig, prediction: object, highest: float) -> None:
    sampling = config.build()
    assert sampling.prediction is prediction
    assert sampling.sigma_max == pytest.approx(highest, rel=1e-3)


def test_playground_s_preconditioning_has_its_own_spread() -> None:
    sampling = SamplingConfig("edm").build()
    x = torch.ones(1, 4, 2, 2)
    assert float(sampling.scaled_input(x, torch.tensor(0.5)).max()) == pytest.approx((0.5**2 + 0.5**2) ** -0.5)
    assert (sampling.sigma_min, sampling.sigma_max) == (pytest.approx(0.002), pytest.approx(80.0))


def test_flux_schnell_hears_times_up_to_one() -> None:
    assert float(SCHNELL.sampling.build().timestep(torch.tensor(1.0))) == 1.0
    assert float(SD3.sampling.build().timestep(torch.tensor(1.0))) == 1000.0


def test_an_unknown_prediction_is_named() -> None:
    with pytest.raises(ValueError, match="'x0'; known are eps, v, flow"):
        SamplingConfig("x0").build()


def test_transformers_of_any_size_have_a_family() -> None:
    assert transformer_family(MMDiTConfig(depth=2)).name == "sd3"
    assert transformer_family(FluxConfig(single=1)).name == "flux"
    assert transformer_family(FluxConfig(guidance=False)).name == "flux-schnell"
    assert transformer_family(FluxConfig(in_channels=96)).unet == FluxConfig(in_channels=96)


@pytest.mark.parametrize(
    ("part", "value"), [("unet", {"nonsense": 1}), ("unet", "sd1"), ("latent", 7), ("sampling", {"shift": 1, "x": 2})]
)
def test_a_foreign_description_is_refused(part: str, value: object) -> None:
    data = family_to_json(PUBLISHED["sd1"])
    data[part] = value
    with pytest.raises(ValueError, match="incomplete or foreign"):
        family_from_json(data)
