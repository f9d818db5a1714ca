from __future__ import annotations

import pytest
import torch

from app.diffusion.samplers.unipc import uni_pc, uni_pc_bh2


@pytest.mark.parametrize("sampler", [uni_pc, uni_pc_bh2])
def test_order(orders, sampler):
    assert orders.slope(sampler, 128) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("sampler", [uni_pc, uni_pc_bh2])
def test_one_evaluation_a_step(mixture, karras, final, sampler):
    seen = []

    def counted(x, sigma):
        seen.append(sigma.item())
        return mixture(x, sigma)

    final(sampler(counted, mixture.start(10.0), karras(9)))
    assert len(seen) == 9
    assert seen == sorted(seen, reverse=True)


def test_twenty_steps_are_close(mixture, karras, final):
    x, sigmas = mixture.start(14.6), karras(20, 0.0292, 14.6)
    exact = mixture.reference(x, 14.6, 0.001)
    assert (final(uni_pc(mixture, x, sigmas)) - exact).square().mean().sqrt() < 0.02


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_very_short_schedules(mixture, karras, final, steps):
    result = final(uni_pc(mixture, mixture.start(10.0), karras(steps)))
    assert torch.isfinite(result).all()


def test_a_constant_answer_is_reached(karras, final):
    x = torch.full((4,), 9.0, dtype=torch.float64)
    assert torch.allclose(final(uni_pc(lambda x, _: x * 0 + 0.25, x, karras(7))), torch.full_like(x, 0.25), atol=1e-3)


def test_no_levels_no_steps(mixture):
    assert list(uni_pc(mixture, mixture.start(1.0), torch.tensor([1.0]))) == []
