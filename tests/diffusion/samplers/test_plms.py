from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.samplers.euler import euler, euler_ancestral
from app.diffusion.samplers.plms import plms, with_options
from app.errors import InvalidRequest

LEVELS = torch.linspace(2.0, 0.0, 9)


def even(orders, count):
    """The error on a grid that is even in sigma, for which the weights are made."""
    levels = torch.linspace(10.0, 0.1, count + 1, dtype=torch.float64)
    *_, step = plms(orders.mixture, orders.start, levels)
    return (step.x - orders.end).square().mean().sqrt().item()


def test_plms_is_of_second_order_and_more_where_the_grid_is_even(orders):
    """Its first step is Heun's and its second of second order, so that is what remains at last."""
    assert math.log2(even(orders, 256) / even(orders, 512)) > 1.8


def test_only_the_first_step_calls_twice():
    levels = []

    def denoise(x, sigma):
        levels.append(sigma.item())
        return x * 0

    *_, step = plms(denoise, torch.ones(1), LEVELS)
    assert levels == [2.0, 1.75, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25]
    assert step.x.abs().item() < 1e-5, "with the noise x / sigma the way is straight"


def test_the_last_latent_is_a_row_of_the_codebook():
    *_, step = with_options(euler, quantise=torch.round)(lambda x, s: x * 0 + 0.7, torch.ones(3), LEVELS)
    assert step.x.tolist() == pytest.approx([1.0, 1.0, 1.0])


def units(sigma, sigma_next):
    return torch.tensor([1.0, -1.0])


def test_temperature_scales_the_noise_of_the_steps():
    """With answers of zero, the last but one level holds the noise of its step alone, besides what is left of x."""

    def result(temperature):
        *_, step = with_options(euler_ancestral, temperature=temperature)(
            lambda x, s: x * 0, torch.zeros(2), torch.tensor([2.0, 1.0]), noise=units
        )
        return step.x

    full = math.sqrt(1.0 * (4 - 1) / 4)
    assert result(1.0).tolist() == pytest.approx([full, -full])
    assert result(0.5).tolist() == pytest.approx([full / 2, -full / 2])
    assert result(0.0).tolist() == [0.0, 0.0]


def test_each_step_may_have_a_temperature():
    levels = torch.tensor([4.0, 2.0, 1.0])

    def result(temperature):
        *_, step = with_options(euler_ancestral, temperature=temperature)(
            lambda x, s: x * 0, torch.zeros(2), levels, noise=units
        )
        return step.x

    # With answers of zero, the second step leaves x · (its lower level / sigma) of the first one's noise.
    first = math.sqrt(4 * (16 - 4) / 16) * (1 / 2) / 2
    second = math.sqrt(1 * (4 - 1) / 4)
    assert result((1.0, 0.0)).tolist() == pytest.approx([first, -first])
    assert result((0.0, 0.5)).tolist() == pytest.approx([second / 2, -second / 2])
    assert torch.equal(result((0.5, 0.5)), result(0.5))
    with pytest.raises(InvalidRequest, match="3 temperatures for 2 steps"):
        result((1.0, 1.0, 1.0))


def test_one_noise_may_serve_the_batch():
    def noise(sigma, sigma_next):
        return torch.tensor([[1.0], [5.0]])

    *_, step = with_options(euler_ancestral, repeat_noise=True)(
        lambda x, s: x * 0, torch.zeros(2, 1), torch.tensor([2.0, 1.0]), noise=noise
    )
    assert step.x[0] == step.x[1] != 0


def test_dropped_noise_is_zero_or_raised():
    draws = iter([torch.tensor([1.0, 1.0]), torch.tensor([-9.0, 9.0])])
    *_, step = with_options(euler_ancestral, noise_dropout=0.5)(
        lambda x, s: x * 0, torch.zeros(2), torch.tensor([2.0, 1.0]), noise=lambda a, b: next(draws)
    )
    assert step.x.tolist() == pytest.approx([0.0, 2 * math.sqrt(0.75)])
