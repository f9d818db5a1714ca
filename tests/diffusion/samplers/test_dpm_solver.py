from __future__ import annotations

import pytest
import torch

from app.diffusion.noise import GaussianNoise
from app.diffusion.samplers.dpm_solver import StepControl, dpm_adaptive, dpm_fast
from app.errors import InvalidRequest


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 10, 15])
def test_fast_spends_exactly_its_evaluations(mixture, karras, final, count):
    seen = []

    def counted(x, sigma):
        seen.append(sigma)
        return mixture(x, sigma)

    final(dpm_fast(counted, mixture.start(10.0), karras(count)))
    assert len(seen) == count


def test_fast_converges(orders):
    coarse, fine = orders.errors(dpm_fast, (16, 128))
    assert fine < coarse / 100


def test_adaptive_keeps_its_tolerance(mixture, orders, final):
    sigmas = torch.tensor([10.0, 0.1, 0.0], dtype=torch.float64)
    errors = []
    for rtol in (0.05, 0.005, 0.0005):
        result = final(dpm_adaptive(mixture, orders.start, sigmas, rtol=rtol, atol=rtol / 10))
        errors.append((result - orders.end).square().mean().sqrt().item())
    assert errors[0] < 0.05
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 5e-4


def test_adaptive_of_second_order_also_arrives(mixture, orders, final):
    sigmas = torch.tensor([10.0, 0.1], dtype=torch.float64)
    result = final(dpm_adaptive(mixture, orders.start, sigmas, order=2, rtol=0.005, atol=0.0005))
    assert (result - orders.end).abs().max() < 0.02


@pytest.mark.parametrize("sampler", [dpm_fast, dpm_adaptive])
def test_noise_on_the_way_ends_at_the_right_level(sampler, final, karras):
    """A clean latent of zeros: what is left at the end is noise of the last positive level."""
    x = 10 * torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    result = final(sampler(lambda x, _: x * 0, x, karras(15), noise=GaussianNoise(x, 2), eta=0.5))
    assert result.std().item() == pytest.approx(0.1, rel=0.03)


def test_control_shrinks_after_errors_and_grows_after_success():
    control = StepControl(0.1, order=3)
    assert not control.accepts(50.0)
    assert control.h < 0.1
    short = control.h
    assert control.accepts(0.01)
    assert control.h > short


def test_answers_that_are_no_numbers_end_the_search(final, karras):
    with pytest.raises(InvalidRequest, match="not numbers"):
        final(dpm_adaptive(lambda x, _: x * float("nan"), torch.ones(3, dtype=torch.float64), karras(5)))
