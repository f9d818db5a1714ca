from __future__ import annotations

import pytest
import torch

from app.diffusion.process import FLOW, VE

LEVELS = torch.tensor([0.05, 0.3, 0.7, 0.95], dtype=torch.float64)


@pytest.mark.parametrize("process", [VE, FLOW])
def test_ratio_and_sigma_are_inverse(process):
    assert torch.allclose(process.sigma_of(process.ratio(LEVELS)), LEVELS)
    assert torch.allclose(process.ratio(LEVELS), LEVELS / process.alpha(LEVELS))


@pytest.mark.parametrize("process", [VE, FLOW])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_an_ancestral_step_lands_on_the_next_level(process, eta):
    """Noise and clean part after the step are those of sigma_next."""
    sigma, after = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    step = process.ancestral(sigma, after, eta)
    assert ((step.scale * step.down) ** 2 + step.up**2).item() == pytest.approx(after.item() ** 2)
    assert (step.scale * process.alpha(step.down)).item() == pytest.approx(process.alpha(after).item())


@pytest.mark.parametrize("process", [VE, FLOW])
def test_no_eta_no_noise(process):
    step = process.ancestral(torch.tensor(0.8), torch.tensor(0.5), 0.0)
    assert step.up.item() == pytest.approx(0, abs=1e-3)
    assert step.down.item() == pytest.approx(0.5)


def test_full_eta_is_the_posterior_of_ddpm():
    sigma, after = torch.tensor(2.0), torch.tensor(1.0)
    step = VE.ancestral(sigma, after, 1.0)
    assert step.down.item() == pytest.approx(0.5)
    assert step.up.item() == pytest.approx(0.75**0.5)
