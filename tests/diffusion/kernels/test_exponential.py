"""Powers of two by their bits against those that are computed."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.kernels.exponential import REACH, STEPS, powers_of_two


@pytest.mark.parametrize("shape", [(1,), (7, 33), (256, 4096)])
def test_they_are_powers_of_two_within_a_straight_line(shape: tuple[int, ...]) -> None:
    exponents = ((torch.rand(shape) * 2 - 1) * REACH).bfloat16()
    steps = exponents * STEPS
    found = powers_of_two(steps.clone()).double() / torch.exp2(exponents.double())
    assert found.min() > 0.99 and found.max() < 1.07  # up to 6.15 % above, and what the bits leave out


def test_whole_exponents_are_exact() -> None:
    whole = torch.arange(-REACH, REACH + 1)
    assert torch.equal(powers_of_two((whole * STEPS).bfloat16()).float(), torch.exp2(whole))


def test_they_are_written_over_what_they_are_made_of() -> None:
    steps = torch.zeros(3, 5, dtype=torch.bfloat16)
    assert powers_of_two(steps) is steps and torch.equal(steps, torch.ones_like(steps))


def test_larger_exponents_have_larger_powers() -> None:
    steps = torch.arange(-1000.0, 1000.0).bfloat16()
    assert (powers_of_two(steps).diff() >= 0).all()
