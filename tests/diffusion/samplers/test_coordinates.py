from __future__ import annotations

import pytest
import torch

from app.diffusion.process import FLOW, VE
from app.diffusion.samplers.coordinates import away_from_pure_noise, in_ratio
from app.diffusion.samplers.dpmpp_sde import dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde
from app.diffusion.samplers.er_sde import er_sde
from app.diffusion.samplers.euler import euler
from app.diffusion.samplers.few_steps import ddpm
from app.diffusion.samplers.sa_solver import sa_solver
from app.diffusion.samplers.seeds import seeds_2, seeds_3

THROUGH_RATIO = [dpmpp_sde, dpmpp_2m_sde, dpmpp_3m_sde, er_sde, ddpm, sa_solver, seeds_2, seeds_3]


@pytest.mark.parametrize("sampler", THROUGH_RATIO)
def test_a_flow_gives_what_its_exploding_twin_gives(mixture, final, sampler):
    """The same mixture, seen as x0 + ratio·noise and as (1 − t)·x0 + t·noise, must give the same picture."""
    ratios = torch.tensor([9.0, 3.0, 1.0, 0.3, 0.0], dtype=torch.float64)
    times = ratios / (1 + ratios)
    x = mixture.start(9.0)

    def noise(a, b):
        # A fixed pattern, so that both runs get equal noise.
        return torch.ones_like(x) * 0.3

    def flow(x, t):
        return mixture(x / (1 - t), t / (1 - t))

    exploding = final(sampler(mixture, x, ratios, noise=noise))
    assert torch.allclose(final(sampler(flow, x * (1 - times[0]), times, noise=noise, process=FLOW)), exploding)


def test_steps_keep_the_callers_levels(mixture):
    times = torch.tensor([0.9, 0.5, 0.0], dtype=torch.float64)
    steps = list(in_ratio(euler)(lambda x, t: x * 0, mixture.start(1.0), times, process=FLOW))
    assert [s.sigma.item() for s in steps] == [0.9, 0.5]


def test_pure_noise_is_moved_and_nothing_else():
    times = torch.tensor([1.0, 0.5, 0.0])
    moved = away_from_pure_noise(times, FLOW)
    assert 0.999 < moved[0].item() < 1
    assert torch.equal(moved[1:], times[1:])
    assert away_from_pure_noise(times, VE) is times


@pytest.mark.parametrize("sampler", THROUGH_RATIO)
def test_a_constant_answer_is_reached_from_pure_noise(final, sampler):
    times = torch.linspace(1, 0, 7)
    x = torch.randn(32, generator=torch.Generator().manual_seed(0))
    result = final(sampler(lambda x, _: x * 0 + 0.5, x, times, noise=lambda a, b: torch.ones(32), process=FLOW))
    assert torch.allclose(result, torch.full_like(x, 0.5), atol=1e-3)
