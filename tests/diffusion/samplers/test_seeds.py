from __future__ import annotations

import pytest
import torch

from app.diffusion.samplers.seeds import exp_heun_2_x0, exp_heun_2_x0_sde, seeds_2, seeds_3


@pytest.mark.parametrize(
    ("sampler", "at", "order", "tolerance"),
    [(seeds_2, 128, 2.0, 0.15), (exp_heun_2_x0, 128, 2.0, 0.15), (seeds_3, 128, 2.95, 0.2)],
)
def test_order_without_noise(orders, sampler, at, order, tolerance):
    assert orders.slope(sampler, at, eta=0.0) == pytest.approx(order, abs=tolerance)


@pytest.mark.parametrize(
    ("sampler", "percent"),
    [
        (seeds_2, [-14.777, -1.311, -0.087]),
        (seeds_3, [0.320, 0.097, 0.009]),
        (exp_heun_2_x0_sde, [-16.487, -1.660, -0.117]),
    ],
)
def test_exact_variance(probe, sampler, percent):
    assert [100 * probe.error(sampler, n) for n in (8, 32, 128)] == pytest.approx(percent, abs=2e-3)


def test_phi_2_is_exact_for_answers_linear_in_time(final):
    """denoised = a + b·lambda: one exponential step is the exact solution, however long."""
    a, b = 0.4, 0.7
    sigmas = torch.tensor([5.0, 0.3], dtype=torch.float64)
    x = torch.tensor([2.0], dtype=torch.float64)

    def denoise(x, sigma):
        return x * 0 + a - b * sigma.log()

    start, end = -sigmas.log()
    exact = (sigmas[1] / sigmas[0]) * (x - (a + b * (start - 1))) + a + b * (end - 1)
    assert torch.allclose(final(exp_heun_2_x0(denoise, x, sigmas)), exact)


@pytest.mark.parametrize(("sampler", "stages"), [(seeds_2, 2), (seeds_3, 3), (exp_heun_2_x0_sde, 1)])
def test_all_stages_share_one_noise_path(sampler, stages):
    """The variance over a whole step is that of the SDE, however many stages it was gathered in."""
    sigmas = torch.tensor([2.0, 1.0], dtype=torch.float64)
    x, units = torch.zeros(4, dtype=torch.float64), iter(torch.eye(4, dtype=torch.float64))
    *_, step = sampler(lambda x, _: x * 0, x, sigmas, noise=lambda a, b: next(units))
    assert (step.x**2).sum().item() == pytest.approx(1 - 0.25)
    assert (step.x != 0).sum().item() == stages
