from __future__ import annotations

from typing import Any

import pytest
import torch

from app.errors import InvalidRequest


@pytest.fixture
def model(bench: Any) -> Any:
    return bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0]


def middle(model: Any) -> float:
    """The noise level at half of the way."""
    return model.sampling.percent_to_sigma(0.5)


@pytest.mark.parametrize("node_id", ["ModelSamplingSD3", "ModelSamplingAuraFlow"])
def test_a_shift_moves_the_levels_up(bench: Any, model: Any, node_id: str) -> None:
    shifted = bench(node_id, model=model, shift=3.0)
    assert middle(shifted) == pytest.approx(0.75, abs=0.01)
    assert middle(bench(node_id, model=model, shift=1.0)) == pytest.approx(0.5, abs=0.01)
    assert middle(model) == pytest.approx(0.5, abs=0.01), "the model that was given stays as it was"
    assert shifted.network is model.network


def test_the_two_differ_in_the_time_that_the_network_is_told(bench: Any, model: Any) -> None:
    level = torch.tensor(0.5)
    assert bench("ModelSamplingSD3", model=model).sampling.timestep(level) == pytest.approx(500, rel=0.01)
    assert bench("ModelSamplingAuraFlow", model=model).sampling.timestep(level) == pytest.approx(0.5, rel=0.01)


def test_larger_pictures_are_shifted_more(bench: Any, model: Any) -> None:
    small, large = (bench("ModelSamplingFlux", model=model, width=side, height=side) for side in (256, 1024))
    assert middle(large) > middle(small) > 0.5


def test_what_a_network_predicts_can_be_said(bench: Any, model: Any) -> None:
    x, out, sigma = torch.full((1, 4, 1, 1), 3.0), torch.full((1, 4, 1, 1), 0.5), torch.tensor(2.0)
    root = 5**0.5
    for sampling, expected in (
        ("eps", 3 - 2 * 0.5),
        ("v_prediction", 3 / 5 - 0.5 * 2 / root),
        ("x0", 0.5),
        ("img_to_img", 0.5),
    ):
        said = bench("ModelSamplingDiscrete", model=model, sampling=sampling).sampling
        assert said.denoised(x, sigma, out).unique().item() == pytest.approx(expected, abs=1e-6)
    assert bench("ModelSamplingDiscrete", model=model, sampling="eps").sampling.sigma_max == pytest.approx(
        14.6146, 1e-4
    )
    assert bench("ModelSamplingDiscrete", model=model, sampling="v_prediction", zsnr=True).sampling.sigma_max > 4000


def test_a_consistency_model_knows_fifty_levels(bench: Any, model: Any) -> None:
    whole = bench("ModelSamplingDiscrete", model=model, sampling="eps").sampling
    few = bench("ModelSamplingDiscrete", model=model, sampling="lcm").sampling
    assert torch.allclose(few.sigmas, whole.sigmas[19::20])
    assert few.timestep(whole.sigmas[[19, 999]]).tolist() == [19, 999]
    assert torch.allclose(few.sigma(torch.tensor([19.0, 999.0])), whole.sigmas[[19, 999]])
    assert few.percent_to_sigma(0.0) > few.percent_to_sigma(0.3) > few.percent_to_sigma(1.0) == 0
    x, out = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    clean = whole.denoised(x, whole.sigmas[999], out)
    assert torch.allclose(few.denoised(x, whole.sigmas[999], out), clean, atol=1e-3)


@pytest.mark.parametrize("sampling", ["v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow"])
def test_continuous_levels_lie_between_those_given(bench: Any, model: Any, sampling: str) -> None:
    said = bench("ModelSamplingContinuousEDM", model=model, sampling=sampling, sigma_max=80.0, sigma_min=0.01).sampling
    assert said.sigma_max == pytest.approx(80, rel=1e-4)
    assert said.sigma_min == pytest.approx(0.01, rel=1e-4)
    time = 0.5 if sampling == "cosmos_rflow" else 0.0
    assert said.timestep(torch.tensor(1.0)).item() == pytest.approx(time)


def test_velocity_is_told_an_angle(bench: Any, model: Any) -> None:
    said = bench("ModelSamplingContinuousV", model=model, sampling="v_prediction").sampling
    assert said.timestep(torch.tensor(1.0)).item() == pytest.approx(0.5)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.0, 1.0)])
def test_levels_that_cannot_be_are_refused(bench: Any, model: Any, low: float, high: float) -> None:
    for node_id in ("ModelSamplingContinuousEDM", "ModelSamplingContinuousV"):
        with pytest.raises(InvalidRequest, match="not possible"):
            bench(node_id, model=model, sampling="v_prediction", sigma_min=low, sigma_max=high)
    with pytest.raises(InvalidRequest, match="above zero"):
        bench("ModelSamplingStableCascade", model=model, shift=0.0)


def test_a_larger_shift_or_latent_spends_more_on_form(bench: Any, model: Any) -> None:
    one, two = (middle(bench("ModelSamplingStableCascade", model=model, shift=shift)) for shift in (1.0, 2.0))
    assert two > one
    sides = [{"samples": torch.zeros(1, 4, side, side)} for side in (32, 64)]
    small, large = (middle(bench("ModelSamplingLTXV", model=model, latent=latent)) for latent in sides)
    assert large > small
    assert middle(bench("ModelSamplingLTXV", model=model)) == large
