from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.noise import GaussianNoise
from app.diffusion.process import FLOW
from app.diffusion.samplers.euler import euler, euler_ancestral


def test_euler_is_of_first_order(orders):
    assert orders.slope(euler, 64) == pytest.approx(1.0, abs=0.1)


def test_one_step_to_zero_is_the_denoised_latent(mixture, final):
    x = mixture.start(3.0)
    sigmas = torch.tensor([3.0, 0.0], dtype=torch.float64)
    assert torch.allclose(final(euler(mixture, x, sigmas)), mixture(x, sigmas[0]))


def test_euler_is_ddim_without_noise(mixture, karras):
    """DDIM in its own letters (arXiv:2010.02502, Eq. 12), on the same grid and the same denoiser."""
    sigmas = karras(9)
    x = mixture.start(10.0)
    signal = 1 / (1 + sigmas**2)
    vp = x * signal[0].sqrt()
    for i in range(len(sigmas) - 1):
        denoised = mixture(vp / signal[i].sqrt(), sigmas[i])
        eps = (vp - signal[i].sqrt() * denoised) / (1 - signal[i]).sqrt()
        vp = signal[i + 1].sqrt() * denoised + (1 - signal[i + 1]).sqrt() * eps
    *_, step = euler(mixture, x, sigmas)
    assert torch.allclose(step.x, vp, atol=1e-12)


def test_euler_follows_the_exact_flow_of_a_gaussian(probe, final, karras):
    sigmas = karras(3000)[:-1]
    x = torch.tensor([10.0, -4.0], dtype=torch.float64)
    s = probe.deviation
    exact = x * math.sqrt((s**2 + sigmas[-1].item() ** 2) / (s**2 + sigmas[0].item() ** 2))
    assert torch.allclose(final(euler(probe.denoise, x, sigmas)), exact, rtol=2e-3)


def test_euler_follows_the_exact_rectified_flow(final):
    """x(t) of a Gaussian scales with sqrt(g), g = (1 − t)²·s² + t² (mean zero)."""
    s, times = 0.5, torch.linspace(1, 0.02, 4001, dtype=torch.float64)

    def denoise(x, t):
        return x * (1 - t) * s**2 / ((1 - t) ** 2 * s**2 + t**2)

    x = torch.tensor([1.3, -0.4], dtype=torch.float64)
    g = (1 - times[-1]) ** 2 * s**2 + times[-1] ** 2
    assert torch.allclose(final(euler(denoise, x, times)), x * g.sqrt(), rtol=1e-3)


@pytest.mark.parametrize(("steps", "percent"), [(8, -43.686), (32, -14.696), (128, -3.996)])
def test_ancestral_variance_is_that_of_ddpm(probe, steps, percent):
    assert 100 * probe.error(euler_ancestral, steps) == pytest.approx(percent, abs=2e-3)


def test_ancestral_without_noise_is_euler(mixture, karras, final):
    x, sigmas = mixture.start(10.0), karras(12)
    plain = final(euler(mixture, x, sigmas))
    assert torch.allclose(final(euler_ancestral(mixture, x, sigmas, noise=GaussianNoise(x, 1), eta=0.0)), plain)


def test_ancestral_flow_keeps_the_marginal_variance():
    """On a clean latent of zeros every level's x must have standard deviation sigma, whatever eta."""
    sigmas = torch.linspace(1, 0.1, 19, dtype=torch.float64)
    x = torch.randn(40000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for eta in (0.5, 1.0):
        steps = euler_ancestral(lambda x, _: x * 0, x, sigmas, noise=GaussianNoise(x, 3), process=FLOW, eta=eta)
        for step, level in zip(steps, sigmas[1:], strict=True):
            assert step.x.std().item() == pytest.approx(level.item(), rel=0.02)


def test_same_seed_same_bits_other_seed_other(mixture, karras, final):
    x = mixture.start(10.0).float()
    runs = [final(euler_ancestral(mixture, x, karras(6), noise=GaussianNoise(x, seed))) for seed in (7, 7, 8)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_steps_tell_where_they_were(mixture, karras):
    sigmas = karras(5)
    steps = list(euler(mixture, mixture.start(10.0), sigmas))
    assert [s.index for s in steps] == [0, 1, 2, 3, 4]
    assert torch.equal(torch.stack([s.sigma for s in steps]), sigmas[:-1])
