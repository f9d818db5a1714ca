from __future__ import annotations

import pytest
import torch

from app.diffusion.noise import GaussianNoise
from app.diffusion.samplers.heun import dpm_2, dpm_2_ancestral, heun, heunpp2


@pytest.mark.parametrize(("sampler", "order"), [(heun, 2.0), (dpm_2, 2.0), (heunpp2, 1.0)])
def test_order(orders, sampler, order):
    assert orders.slope(sampler, 128) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("sampler", "calls"), [(heun, 2 * 6 - 1), (dpm_2, 2 * 6 - 1), (heunpp2, 3 * 6 - 3)])
def test_evaluations(mixture, karras, final, sampler, calls):
    seen = []

    def counted(x, sigma):
        seen.append(sigma)
        return mixture(x, sigma)

    final(sampler(counted, mixture.start(10.0), karras(6)))
    assert len(seen) == calls


def test_dpm_2_ancestral_variance(probe):
    assert [100 * probe.error(dpm_2_ancestral, n) for n in (8, 32, 128)] == pytest.approx(
        [28.208, 1.479, 0.089], abs=2e-3
    )


def test_dpm_2_ancestral_without_noise_is_dpm_2(mixture, karras, final):
    x, sigmas = mixture.start(10.0), karras(7)
    with_noise = final(dpm_2_ancestral(mixture, x, sigmas, noise=GaussianNoise(x, 1), eta=0.0))
    assert torch.allclose(with_noise, final(dpm_2(mixture, x, sigmas)))
