from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.noise import GaussianNoise
from app.diffusion.samplers.churn import Churn
from app.diffusion.samplers.euler import euler


def test_no_churn_changes_nothing():
    x, sigma = torch.ones(3), torch.tensor(2.0)
    raised, level = Churn().raised(x, sigma, 10, GaussianNoise(x, 0))
    assert raised is x
    assert level is sigma


def test_churn_raises_level_and_variance_together():
    x, sigma = torch.zeros(100_000), torch.tensor(2.0)
    raised, level = Churn(s_churn=3.0).raised(x, sigma, 10, GaussianNoise(x, 0))
    assert level.item() == pytest.approx(2.0 * 1.3)
    assert raised.std().item() == pytest.approx(math.sqrt(2.6**2 - 2.0**2), rel=0.01)


def test_churn_is_bounded_and_keeps_its_range():
    x, noise = torch.zeros(4), GaussianNoise(torch.zeros(4), 0)
    churn = Churn(s_churn=100.0, s_tmin=0.5, s_tmax=3.0)
    assert churn.raised(x, torch.tensor(1.0), 10, noise)[1].item() == pytest.approx(math.sqrt(2))
    assert churn.raised(x, torch.tensor(4.0), 10, noise)[1].item() == 4.0
    assert churn.raised(x, torch.tensor(0.4), 10, noise)[1].item() == pytest.approx(0.4)


def test_churned_euler_still_finds_the_target(karras, final):
    x = torch.full((8,), 5.0, dtype=torch.float64)
    result = final(euler(lambda x, _: x * 0 + 0.7, x, karras(10), noise=GaussianNoise(x, 1), s_churn=5.0))
    assert torch.allclose(result, torch.full_like(x, 0.7))
