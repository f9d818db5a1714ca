from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.schedules import curves
from app.errors import InvalidRequest


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


def test_align_your_steps_is_as_published_at_ten_steps():
    levels = curves.align_your_steps("SDXL", 10)
    assert levels[:-1].tolist() == pytest.approx(curves.ALIGN_YOUR_STEPS["SDXL"][:-1], rel=1e-6)
    assert levels[-1] == 0


def test_align_your_steps_interpolates_and_shortens():
    levels = curves.align_your_steps("SD1", 20)
    assert levels[1].item() == pytest.approx(math.sqrt(14.6146412293 * 6.4745760956), rel=1e-6)
    assert torch.equal(curves.align_your_steps("SD1", 20, denoise=0.5), levels[-11:])
    assert len(curves.align_your_steps("SD1", 20, denoise=0.0)) == 0


def test_token_shift():
    levels = curves.shifted_by_tokens(10)
    assert levels[0] == 1
    assert levels[-2].item() == pytest.approx(0.1)
    plain = curves.shifted_by_tokens(10, 1024, stretch=False)
    assert plain[5].item() == pytest.approx(math.exp(0.95) / (math.exp(0.95) + 1))
    assert torch.isfinite(curves.shifted_by_tokens(1)).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: curves.karras(5, 0.1, 10.0, rho=0.0),
        lambda: curves.exponential(5, 0.0, 10.0),
        lambda: curves.polyexponential(5, 0.1, 0.0),
        lambda: curves.align_your_steps("SD9", 5),
    ],
)
def test_senseless_requests_are_refused(call):
    with pytest.raises(InvalidRequest):
        call()
