from __future__ import annotations

import pytest
import torch

from app.diffusion.parameterization import continuous_edm, discrete, flow, flux
from app.diffusion.schedules import SCHEDULES, sigmas
from app.errors import InvalidRequest

SD = discrete()


def test_names_and_order_are_those_that_workflows_use():
    assert list(SCHEDULES) == [
        "simple",
        "sgm_uniform",
        "karras",
        "exponential",
        "ddim_uniform",
        "beta",
        "normal",
        "linear_quadratic",
        "kl_optimal",
    ]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("sampling", [SD, flow(3.0), flux(), continuous_edm()], ids=["sd", "sd3", "flux", "edm"])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_every_schedule_falls_to_zero_for_every_model(name, sampling, steps):
    levels = sigmas(name, sampling, steps)
    assert levels.dtype == torch.float32
    assert bool((levels.diff() < 0).all())
    assert levels[-1] == 0
    assert torch.isfinite(levels).all()
    assert levels[0] <= sampling.sigma_max * 1.001


def test_strength_keeps_the_end_of_a_longer_schedule():
    assert torch.equal(sigmas("normal", SD, 10, denoise=0.5), sigmas("normal", SD, 20)[-11:])
    assert torch.equal(sigmas("karras", SD, 3, denoise=0.7), sigmas("karras", SD, 4)[-4:])
    assert torch.equal(sigmas("normal", SD, 10, denoise=0.99995), sigmas("normal", SD, 10))
    assert len(sigmas("normal", SD, 10, denoise=0.0)) == 0


def test_discarding_the_last_but_one():
    whole = sigmas("karras", SD, 6)
    assert torch.equal(sigmas("karras", SD, 5, discard_penultimate=True), torch.cat([whole[:-2], whole[-1:]]))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(InvalidRequest, match="karras"):
        sigmas("caras", SD, 5)
