from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.samplers.er_sde import er_sde, er_sde_5, scaler_named
from app.diffusion.samplers.euler import euler, euler_ancestral
from app.errors import InvalidRequest


def test_variance_falls_with_second_order(probe):
    coarse, fine = (abs(probe.error(er_sde, n)) for n in (64, 128))
    assert math.log2(coarse / fine) == pytest.approx(2.0, abs=0.2)
    assert 100 * fine < 0.03


def test_first_stage_is_of_first_order(probe):
    coarse, fine = (probe.error(er_sde, n, max_stage=1) for n in (64, 128))
    assert 100 * fine == pytest.approx(-2.0, abs=0.05)
    assert math.log2(coarse / fine) == pytest.approx(1.0, abs=0.1)


def test_the_linear_scale_is_the_flow(mixture, karras, final):
    """With phi(sigma) = sigma no noise is added and the first stage is Euler."""
    x, sigmas = mixture.start(10.0), karras(6)
    result = final(er_sde(mixture, x, sigmas, max_stage=1, noise_scaler=lambda s: s))
    assert torch.allclose(result, final(euler(mixture, x, sigmas)))


def test_the_square_scale_is_ancestral(probe):
    """phi(sigma) = sigma² is the reverse SDE: DDPM's step."""
    ours = probe.error(er_sde, 16, max_stage=1, noise_scaler=lambda s: s * s)
    assert ours == pytest.approx(probe.error(euler_ancestral, 16), abs=1e-9)


def test_scaler_rises():
    assert er_sde_5(0.0) == 0
    assert er_sde_5(1.0) == pytest.approx(math.e + 10)


def test_scalers_by_name():
    assert scaler_named("ER-SDE")(0.7) == er_sde_5(0.7)
    assert scaler_named("Reverse-time SDE", 1.0)(3.0) == 9.0
    assert scaler_named("Reverse-time SDE", 0.0)(3.0) == 3.0
    assert scaler_named("ODE")(3.0) == 3.0
    with pytest.raises(InvalidRequest, match="SDE"):
        scaler_named("SDE")
