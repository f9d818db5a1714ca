from __future__ import annotations

import pytest
import torch

from app.diffusion.noise import BrownianNoise
from app.diffusion.samplers.dpmpp import dpmpp_2m
from app.diffusion.samplers.dpmpp_sde import dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde, with_noise

VARIANCES = [
    (dpmpp_sde, {}, [-8.478, -0.497, -0.025]),
    (dpmpp_2m_sde, {}, [2.462, 1.032, 0.067]),
    (dpmpp_2m_sde, {"solver_type": "heun"}, [19.474, 2.132, 0.128]),
    (dpmpp_3m_sde, {}, [43.922, 0.865, 0.043]),
]


@pytest.mark.parametrize(("sampler", "options", "percent"), VARIANCES)
def test_exact_variance(probe, sampler, options, percent):
    found = [100 * probe.error(sampler, n, brownian=True, **options) for n in (8, 32, 128)]
    assert found == pytest.approx(percent, abs=2e-3)


@pytest.mark.parametrize("sampler", [dpmpp_sde, dpmpp_2m_sde])
def test_second_order_without_noise(orders, sampler):
    assert orders.slope(sampler, 128, noise=None, eta=0.0) == pytest.approx(2.0, abs=0.15)


def test_three_steps_are_better_than_two(orders):
    three, two = (orders.errors(s, (64,), eta=0.0)[0] for s in (dpmpp_3m_sde, dpmpp_2m_sde))
    assert three < two / 2


def test_midpoint_without_noise_is_dpmpp_2m(mixture, karras, final):
    x, sigmas = mixture.start(10.0), karras(9)
    assert torch.allclose(final(dpmpp_2m_sde(mixture, x, sigmas, eta=0.0)), final(dpmpp_2m(mixture, x, sigmas)))


def test_a_brownian_seed_gives_the_same_bits(mixture, karras, final):
    x, sigmas = mixture.start(10.0).float(), karras(6)
    runs = [final(dpmpp_sde(mixture, x, sigmas, noise=BrownianNoise(x, seed, 0.1, 10.0))) for seed in (3, 3, 4)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_gathered_noise_has_the_variance_of_the_sde():
    x, sigma, end = torch.zeros(1), torch.tensor(2.0), torch.tensor(1.0)
    result = with_noise(x, sigma, end, eta=1.0, s_noise=1.0, noise=lambda a, b: torch.ones(1))
    assert result.item() == pytest.approx((1 - 0.25) ** 0.5)
    assert with_noise(x, sigma, end, eta=0.0, s_noise=1.0, noise=lambda a, b: torch.ones(1)) is x
