from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.samplers.euler import euler
from app.diffusion.samplers.sa_solver import always_stochastic, sa_solver, sa_solver_pece, stochastic_between


def never(sigma: float) -> float:
    return 0.0


@pytest.mark.parametrize("sampler", [sa_solver, sa_solver_pece])
def test_high_order_without_noise_although_the_list_stops_above_zero(orders, sampler):
    assert orders.slope(sampler, 128, tau=never) > 2.8
    assert orders.errors(sampler, (128,), tau=never)[0] < 1e-6


def test_variance_of_the_sde(probe):
    coarse, fine = (probe.error(sa_solver, n, tau=always_stochastic) for n in (64, 128))
    assert 100 * fine == pytest.approx(0.020, abs=0.003)
    assert math.log2(coarse / fine) == pytest.approx(2.1, abs=0.2)


def test_first_order_without_noise_is_euler(mixture, karras, final):
    x, sigmas = mixture.start(10.0), karras(6)
    ours = final(sa_solver(mixture, x, sigmas, tau=never, predictor_order=1, corrector_order=0))
    assert torch.allclose(ours, final(euler(mixture, x, sigmas)), atol=1e-9)


@pytest.mark.parametrize(("sampler", "calls", "calls_of_a_part"), [(sa_solver, 7, 7), (sa_solver_pece, 13, 12)])
def test_evaluations(mixture, karras, final, sampler, calls, calls_of_a_part):
    seen = []

    def counted(x, sigma):
        seen.append(sigma)
        return mixture(x, sigma)

    final(sampler(counted, mixture.start(10.0), karras(7), tau=never))
    assert len(seen) == calls
    # A part of a schedule ends with an evaluation at its last level, which corrects the state there.
    seen.clear()
    final(sampler(counted, mixture.start(10.0), karras(7)[:-1], tau=never))
    assert len(seen) == calls_of_a_part
    assert seen[-1] == karras(7)[-2]


@pytest.mark.parametrize("sampler", [sa_solver, sa_solver_pece])
def test_the_state_at_the_last_level_is_corrected(orders, sampler):
    """Few steps show it best."""
    alone = orders.errors(sampler, (8,), tau=never, corrector_order=0)[0]
    assert orders.errors(sampler, (8,), tau=never)[0] < 0.7 * alone


def test_tau_acts_between_its_levels_only():
    tau = stochastic_between(5.0, 1.0, eta=0.7)
    assert [tau(s) for s in (6.0, 5.0, 3.0, 1.0, 0.5)] == [0.0, 0.7, 0.7, 0.7, 0.0]
