from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.schedules import curves


def test_karras_in_closed_form():
    levels = curves.karras(10, 0.0292, 14.6)
    for i in range(10):
        expected = (14.6 ** (1 / 7) + i / 9 * (0.0292 ** (1 / 7) - 14.6 ** (1 / 7))) ** 7
        assert levels[i].item() == pytest.approx(expected, rel=1e-4)
    assert levels[-1] == 0


@pytest.mark.parametrize(
    "levels",
    [
        curves.karras(7, 0.1, 10.0),
        curves.exponential(7, 0.1, 10.0),
        curves.polyexponential(7, 0.1, 10.0, rho=2.0),
        curves.kl_optimal(7, 0.1, 10.0),
        curves.laplace(7, 0.1, 10.0),
        curves.variance_preserving(7),
        curves.linear_quadratic(7, 10.0),
    ],
    ids=["karras", "exponential", "polyexponential", "kl_optimal", "laplace", "vp", "linear_quadratic"],
)
def test_curves_fall_to_zero(levels):
    assert levels.shape == (8,)
    assert levels.dtype == torch.float32
    assert bool((levels.diff() < 0).all())
    assert levels[-1] == 0


def test_exponential_is_even_in_the_logarithm():
    steps = curves.exponential(9, 0.1, 10.0)[:-1].log().diff()
    assert torch.allclose(steps, steps[0].expand(8), atol=1e-5)
    assert torch.allclose(curves.polyexponential(9, 0.1, 10.0), curves.exponential(9, 0.1, 10.0), rtol=1e-5)


def test_kl_optimal_is_even_in_the_angle():
    angles = curves.kl_optimal(9, 0.1, 10.0)[:-1].atan().diff()
    assert torch.allclose(angles, angles[0].expand(8), atol=1e-5)


def test_laplace_is_centred_on_mu():
    assert curves.laplace(9, 0.01, 100.0, mu=0.5)[4].item() == pytest.approx(math.exp(0.5), rel=1e-4)


def test_variance_preserving_starts_where_the_process_ends():
    assert curves.variance_preserving(5)[0].item() == pytest.approx(math.sqrt(math.exp(19.9 / 2 + 0.1) - 1), rel=1e-4)


def test_linear_quadratic_has_two_parts_that_meet_smoothly():
    removed = 1 - curves.linear_quadratic(100, 1.0).double()
    assert removed[50].item() == pytest.approx(0.025, abs=1e-6)
    line, curve = removed.diff()[:50], removed.diff()[50:]
    assert torch.allclose(line, line[0].expand(50), atol=1e-6)
    assert curve[0].item() == pytest.approx(line[0].item(), rel=1)
    assert torch.allclose(curve.diff(), curve.diff()[0].expand(49), atol=1e-6)
    assert curves.linear_quadratic(1, 2.0).tolist() == [2.0, 0.0]
