"""Levels and predictions that packs put together, against the formulas."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app.extend.facade.bridge import FacadeHost

X, SIGMA, OUT = torch.tensor([[[[3.0]]]]), torch.tensor([2.0]), torch.tensor([[[[0.5]]]])
LEVELS = ("ModelSamplingDiscrete", "ModelSamplingDiscreteFlow", "ModelSamplingFlux", "ModelSamplingContinuousEDM")


@pytest.fixture
def ms(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.model_sampling")


@pytest.mark.parametrize(
    ("kind", "shown", "clean"),
    [
        ("EPS", 3 / 5**0.5, 3 - 2 * 0.5),
        # c_skip x - c_out·output, with sigma_data 1 (Karras et al. 2022)
        ("V_PREDICTION", 3 / 5**0.5, 3 / 5 - 0.5 * 2 / 5**0.5),
        ("CONST", 3.0, 3 - 2 * 0.5),
        ("X0", 3 / 5**0.5, 0.5),
    ],
)
def test_what_an_output_means(ms: Any, kind: str, shown: float, clean: float) -> None:
    said = getattr(ms, kind)()
    assert said.calculate_input(SIGMA, X).item() == pytest.approx(shown)
    assert said.calculate_denoised(SIGMA, OUT, X).item() == pytest.approx(clean)


@pytest.mark.parametrize(
    ("kind", "sigma", "full", "noisy"),
    [
        ("EPS", 2.0, False, 1 + 2 * 3),
        ("EPS", 2.0, True, 1 + 5**0.5 * 3),
        ("CONST", 0.25, False, 0.75 * 1 + 0.25 * 3),
    ],
)
def test_noise_is_put_on(ms: Any, kind: str, sigma: float, full: bool, noisy: float) -> None:
    said = getattr(ms, kind)()
    assert said.noise_scaling(torch.tensor(sigma), X, torch.ones_like(X), full).item() == pytest.approx(noisy)


@pytest.mark.parametrize(("kind", "expected"), [("EPS", 3.0), ("CONST", 3.0 / (1 - 0.25))])
def test_sampling_that_stops_early(ms: Any, kind: str, expected: float) -> None:
    assert getattr(ms, kind)().inverse_noise_scaling(torch.tensor(0.25), X).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_rise_and_times_turn_back(ms: Any, kind: str) -> None:
    levels = getattr(ms, kind)()
    assert bool((levels.sigmas.diff() >= 0).all())
    assert levels.sigma_min == levels.sigmas[0] <= levels.sigmas[-1] == levels.sigma_max
    middle = levels.sigmas[len(levels.sigmas) // 2]
    if kind == "ModelSamplingFlux":  # its network is told the level itself
        assert levels.timestep(middle) == middle
        return
    assert levels.sigma(levels.timestep(middle)).item() == pytest.approx(middle.item(), rel=1e-3)


@pytest.mark.parametrize("kind", LEVELS)
def test_parts_of_the_sampling_fall(ms: Any, kind: str) -> None:
    levels = getattr(ms, kind)()
    found = [float(levels.percent_to_sigma(part)) for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0.0


@pytest.mark.parametrize(
    ("kind", "settings", "largest"),
    [
        ("ModelSamplingDiscrete", {}, 14.6146),
        ("ModelSamplingDiscrete", {"beta_schedule": "linear", "timesteps": 10}, None),
        ("ModelSamplingDiscrete", {"zsnr": True}, None),
        ("ModelSamplingDiscreteFlow", {"shift": 3.0}, 1.0),
        ("ModelSamplingFlux", {"shift": 0.5}, 1.0),
        ("ModelSamplingContinuousEDM", {"sigma_min": 0.1, "sigma_max": 50.0}, 50.0),
    ],
)
def test_settings_of_a_model_count(ms: Any, kind: str, settings: dict[str, Any], largest: float | None) -> None:
    levels = getattr(ms, kind)(SimpleNamespace(sampling_settings=settings))
    usual = getattr(ms, kind)()
    if largest is not None:
        assert levels.sigma_max.item() == pytest.approx(largest, rel=1e-3)
    same = len(levels.sigmas) == len(usual.sigmas) and torch.allclose(levels.sigmas, usual.sigmas)
    assert same is (not settings)


def test_given_levels_are_interpolated_in_their_logarithm(ms: Any) -> None:
    levels = ms.ModelSamplingDiscrete()
    levels.set_sigmas(torch.tensor([1.0, 100.0]))
    assert levels.sigma(torch.tensor(0.5)).item() == pytest.approx(10.0)
    assert levels.sigma(torch.tensor(9.0)).item() == pytest.approx(100.0)
    assert levels.timestep(torch.tensor([1.2, 70.0])).tolist() == [0.0, 1.0]
    assert levels.percent_to_sigma(0.5) == pytest.approx(10.0)
    assert levels.percent_to_sigma(-1.0) > 1e8


def test_the_shift_of_a_flow(ms: Any) -> None:
    flow = ms.ModelSamplingDiscreteFlow()
    flow.set_parameters(shift=3.0, timesteps=4, multiplier=1000)
    # shift·t / (1 + (shift − 1)·t) of Esser et al. 2024, at t = 1/4 … 1
    assert flow.sigmas.tolist() == pytest.approx([3 * t / (1 + 2 * t) for t in (0.25, 0.5, 0.75, 1.0)])
    assert flow.timestep(torch.tensor(0.5)).item() == pytest.approx(500.0)
    assert (flow.shift, flow.multiplier) == (3.0, 1000)


@pytest.mark.parametrize("prediction", ["EPS", "V_PREDICTION", "CONST", "X0"])
def test_our_samplers_take_what_packs_put_together(ms: Any, prediction: str) -> None:
    kind = type("Mine", (ms.ModelSamplingDiscrete, getattr(ms, prediction)), {})
    made = kind()
    native = ms.sampling_of(made)
    assert torch.equal(native.sigmas, made.sigmas)
    level = torch.tensor(2.0)
    assert native.scaled_input(X, level).item() == pytest.approx(made.calculate_input(level, X).item())
    assert native.denoised(X, level, OUT).item() == pytest.approx(made.calculate_denoised(level, OUT, X).item())
    assert native.timestep(level).item() == made.timestep(level).item()
    assert native.percent_to_sigma(0.5) == made.percent_to_sigma(0.5)
    assert native.sigma(torch.tensor(10.0)).item() == made.sigma(torch.tensor(10.0)).item()
    start = torch.ones_like(X)
    assert torch.equal(native.noise_scaling(level, X, start, False), made.noise_scaling(level, X, start))
    assert torch.equal(native.inverse_noise_scaling(level, X), made.inverse_noise_scaling(level, X))


def test_our_levels_are_those_of_the_model_there_and_back(ms: Any) -> None:
    from app.diffusion.parameterization import EPS, ModelSampling, discrete

    native = ModelSampling(EPS, discrete())
    packed = ms.NativeSampling(native)
    assert ms.sampling_of(packed) is native
    assert packed.num_timesteps == 1000
    assert torch.equal(packed.calculate_input(SIGMA, X), native.scaled_input(X, SIGMA))
    assert torch.equal(packed.calculate_denoised(SIGMA, OUT, X), native.denoised(X, SIGMA, OUT))
    assert torch.equal(packed.noise_scaling(SIGMA, X, OUT), native.noise_scaling(SIGMA, X, OUT, False))
    assert torch.equal(packed.inverse_noise_scaling(SIGMA, X), X)
