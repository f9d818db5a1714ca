from __future__ import annotations

import pytest
import torch

from app.diffusion.noise import GaussianNoise
from app.diffusion.process import FLOW, VE
from app.diffusion.samplers.dpmpp import dpmpp_2m, dpmpp_2s_ancestral, halfway
from app.diffusion.samplers.seeds import seeds_2


def test_2m_is_of_second_order(orders):
    assert orders.slope(dpmpp_2m, 128) == pytest.approx(2.0, abs=0.15)


def test_2s_without_noise_is_of_second_order(orders):
    assert orders.slope(dpmpp_2s_ancestral, 128, noise=None, eta=0.0) == pytest.approx(2.0, abs=0.15)


def test_2s_ancestral_variance(probe):
    assert [100 * probe.error(dpmpp_2s_ancestral, n) for n in (8, 32, 128)] == pytest.approx(
        [-14.848, -1.299, -0.087], abs=2e-3
    )


def test_2s_without_noise_is_seeds_2_without_noise(mixture, karras, final):
    x, sigmas = mixture.start(10.0), karras(6)
    first = final(dpmpp_2s_ancestral(mixture, x, sigmas, noise=GaussianNoise(x, 0), eta=0.0))
    assert torch.allclose(first, final(seeds_2(mixture, x, sigmas, eta=0.0)), atol=1e-12)


def test_2m_reaches_a_constant_target_exactly(karras, final):
    x = torch.full((4,), 9.0, dtype=torch.float64)
    assert torch.allclose(final(dpmpp_2m(lambda x, _: x * 0 + 0.25, x, karras(7))), torch.full_like(x, 0.25))


def test_halfway_is_geometric_in_the_ratio():
    a, b = torch.tensor(4.0), torch.tensor(1.0)
    assert halfway(VE, a, b).item() == pytest.approx(2.0)
    middle = halfway(FLOW, torch.tensor(0.8), torch.tensor(0.2))
    assert middle.item() == pytest.approx(0.5)
    assert 0.99 < halfway(FLOW, torch.tensor(1.0), torch.tensor(0.9)).item() < 1


def test_2s_runs_on_a_flow_from_pure_noise(final):
    sigmas = torch.linspace(1, 0, 9, dtype=torch.float64)
    x = torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    result = final(dpmpp_2s_ancestral(lambda x, _: x * 0 + 0.5, x, sigmas, noise=GaussianNoise(x, 2), process=FLOW))
    assert torch.allclose(result, torch.full_like(x, 0.5))
