from __future__ import annotations

import pytest
import torch

from app.diffusion.samplers.dpmpp_sde import dpmpp_2m_sde
from app.diffusion.samplers.euler import euler
from app.diffusion.samplers.res import gradient_estimation, res_multistep, res_multistep_ancestral, res_weights


def test_order(orders):
    assert orders.slope(res_multistep, 128) == pytest.approx(2.0, abs=0.15)
    assert orders.slope(gradient_estimation, 128) == pytest.approx(0.95, abs=0.1)


def test_it_is_the_heun_form_of_2m_without_noise(mixture, karras, final):
    x, sigmas = mixture.start(10.0), karras(9)
    heun = final(dpmpp_2m_sde(mixture, x, sigmas, eta=0.0, solver_type="heun"))
    assert torch.allclose(final(res_multistep(mixture, x, sigmas)), heun)


def test_ancestral_variance(probe):
    assert [100 * probe.error(res_multistep_ancestral, n) for n in (8, 32, 128)] == pytest.approx(
        [19.474, 2.132, 0.128], abs=2e-3
    )


def test_weights_are_exact_for_answers_linear_in_time():
    h, before = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    newest, older = res_weights(h, before)
    # The integral of e^(t − h) over 0..h, of 1 and of t.
    assert (newest + older).item() == pytest.approx(1 - torch.exp(-h).item())
    assert (-before * older).item() == pytest.approx((h - 1 + torch.exp(-h)).item())


def test_gamma_one_is_euler(mixture, karras, final):
    x, sigmas = mixture.start(10.0), karras(7)
    assert torch.allclose(
        final(gradient_estimation(mixture, x, sigmas, ge_gamma=1.0)), final(euler(mixture, x, sigmas))
    )
