from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.parameterization import betas
from app.errors import InvalidRequest


def test_the_schedule_called_linear_is_linear_in_the_root():
    levels = betas.linear(1000, 0.00085, 0.012)
    roots = levels.sqrt().diff()
    assert torch.allclose(roots, roots[0].expand(999))
    assert not torch.allclose(levels, betas.sqrt_linear(1000, 0.00085, 0.012))


def test_stable_diffusion_keeps_a_little_signal():
    """alpha-bar ends at 0.00466, not at zero."""
    signal = betas.signal_of(betas.linear(1000, 0.00085, 0.012))
    assert signal[-1].item() == pytest.approx(0.00466, abs=1e-5)


def test_signal_is_the_product():
    levels = torch.tensor([0.1, 0.2, 0.5], dtype=torch.float64)
    assert betas.signal_of(levels).tolist() == pytest.approx([0.9, 0.72, 0.36])


def test_cosine_follows_its_formula():
    signal = betas.signal_of(betas.cosine(1000, 0, 0))
    for t in (1, 500, 900):
        f = [math.cos((s / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for s in (t, 0)]
        assert signal[t - 1].item() == pytest.approx(f[0] / f[1], rel=1e-9)


def test_zero_terminal_keeps_the_first_and_empties_the_last():
    signal = betas.signal_of(betas.linear(1000, 0.00085, 0.012))
    shifted = betas.zero_terminal(signal)
    assert shifted[0].item() == pytest.approx(signal[0].item())
    assert shifted[-1].item() == pytest.approx(betas.TERMINAL_SIGNAL)
    assert bool((shifted.diff() < 0).all())


@pytest.mark.parametrize("wrong", [[0.2, 0.1], [0.0, 0.1], [0.5, 1.5], []])
def test_senseless_betas_are_refused(wrong):
    with pytest.raises(InvalidRequest):
        betas.checked(torch.tensor(wrong))


def test_a_beta_of_one_is_allowed():
    """beta_t = t/T ends at 1, where no signal is left."""
    levels = betas.checked(torch.arange(1, 101) / 100)
    assert betas.signal_of(levels)[-1] == 0
    assert betas.signal_of(levels)[9].item() == pytest.approx(0.565, abs=1e-3)
