from __future__ import annotations

import pytest
import torch

from app.diffusion.samplers.euler import euler
from app.diffusion.samplers.multistep import ADAMS_BASHFORTH, deis, ipndm, ipndm_v, lms
from app.diffusion.samplers.quadrature import adams_weights


@pytest.mark.parametrize(
    ("sampler", "at", "order", "tolerance"),
    [(lms, 64, 3.6, 0.4), (ipndm, 128, 2.0, 0.2), (ipndm_v, 64, 3.9, 0.2), (deis, 128, 2.9, 0.3)],
)
def test_order(orders, sampler, at, order, tolerance):
    assert orders.slope(sampler, at) == pytest.approx(order, abs=tolerance)


def test_exact_weights_are_as_good_as_the_published_ones_and_better_in_the_limit(orders):
    published = [2.3e-2, 7.4e-3, 8.0e-4, 1.9e-4, 7.0e-5, 1.9e-5]  # of ipndm_v, measured with its published weights
    ratios = [e / p for e, p in zip(orders.errors(ipndm_v, (8, 16, 32, 64, 128, 256)), published, strict=True)]
    assert max(ratios) < 1.25
    assert all(ratio < 0.4 for ratio in ratios[3:])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_even_grid_weights_are_adams_bashforth(count):
    even = adams_weights([float(-i) for i in range(count)], 0.0, 1.0)
    assert even == pytest.approx(ADAMS_BASHFORTH[count - 1], abs=1e-12)


@pytest.mark.parametrize("sampler", [lms, ipndm, deis])
def test_first_order_is_euler(mixture, karras, final, sampler):
    x, sigmas = mixture.start(10.0), karras(7)
    option = {"order": 1} if sampler is lms else {"max_order": 1}
    assert torch.allclose(final(sampler(mixture, x, sigmas, **option)), final(euler(mixture, x, sigmas)), atol=1e-9)


@pytest.mark.parametrize("sampler", [lms, ipndm, ipndm_v, deis])
def test_one_evaluation_a_step(mixture, karras, final, sampler):
    seen = []

    def counted(x, sigma):
        seen.append(sigma)
        return mixture(x, sigma)

    final(sampler(counted, mixture.start(10.0), karras(9)))
    assert len(seen) == 9


def test_few_steps_beat_euler_clearly(mixture, karras, final):
    """The league: at 20 steps of a Karras schedule the multistep methods are several times closer."""
    x, sigmas = mixture.start(14.6), karras(20, 0.0292, 14.6)
    exact = mixture.reference(x, 14.6, 0.002)
    errors = {s.__name__: (final(s(mixture, x, sigmas)) - exact).norm().item() for s in (euler, lms, ipndm, deis)}
    assert max(errors["lms"], errors["ipndm"], errors["deis"]) < errors["euler"] / 3
