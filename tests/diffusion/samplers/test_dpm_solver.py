from __future__ import annotations

import pytest
import torch

from app.diffusion.noise import GaussianNoise, step_noise
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


class InPlaces:
    """A mixture that moves x by an offset of each place in the batch (a mask does that); refuses another batch."""

    def __init__(self, mixture, count):
        self.mixture, self.offsets = mixture, torch.linspace(0, 2, count, dtype=torch.float64)[:, None]

    def __call__(self, x, sigma):
        assert len(x) == len(self.offsets)
        return self.mixture(x - self.offsets, sigma) + self.offsets

    def alone(self, place):
        offset = self.offsets[place]
        return lambda x, sigma: self.mixture(x - offset, sigma) + offset


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_images_with_noise_of_their_own_take_the_steps_that_they_take_alone(mixture, karras, final, eta):
    x, sigmas = mixture.start(10.0, 3) * torch.tensor([[1.0], [0.1], [2.0]]), karras(5)
    places = InPlaces(mixture, 3)
    steps = list(dpm_adaptive(places, x, sigmas, noise=step_noise(x, [11, 12, 13]), eta=eta))
    assert [step.index for step in steps] == list(range(len(steps)))
    assert all(step.x.shape == step.denoised.shape == x.shape for step in steps)
    counts = []
    for place in range(3):
        own = x[place : place + 1]
        walk = list(dpm_adaptive(places.alone(place), own, sigmas, noise=step_noise(own, 11 + place), eta=eta))
        assert torch.allclose(steps[-1].x[place], walk[-1].x[0], atol=1e-10)
        assert torch.allclose(steps[-1].denoised[place], walk[-1].denoised[0], atol=1e-10)
        counts.append(len(walk))
    assert sum(counts) == len(steps)
    assert len(set(counts)) > 1, "each needs other steps"


def test_images_that_share_a_seed_share_their_steps(mixture, karras):
    x, sigmas = mixture.start(10.0, 3), karras(5)
    shared = list(dpm_adaptive(mixture, x, sigmas, noise=step_noise(x, 11)))
    assert torch.equal(shared[-1].x, list(dpm_adaptive(mixture, x, sigmas))[-1].x)
    assert len(shared) < len(list(dpm_adaptive(mixture, x, sigmas, noise=step_noise(x, [1, 2, 3]))))
