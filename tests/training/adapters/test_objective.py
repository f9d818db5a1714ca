"""The target of every kind of prediction is the output of a network that knows the clean latent."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.parameterization import EPS, FLOW, X0, ModelSampling, V, continuous_edm, discrete, flow, flux
from app.diffusion.parameterization.model_sampling import consistency
from app.training.adapters.objective import LOSSES, drawn_levels, target

SAMPLINGS = {
    "noise": discrete(EPS),
    "velocity": discrete(V, zero_terminal_snr=True),
    "clean": discrete(X0),
    "flow": flow(3.0),
    "flux": flux(),
    "edm": continuous_edm(),
    "consistency": consistency(),
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
def test_the_target_stands_for_the_clean_latent(sampling: ModelSampling) -> None:
    torch.manual_seed(4)
    clean, noise = torch.randn(64, 4, 2, 2), torch.randn(64, 4, 2, 2)
    sigma = drawn_levels(sampling, 64, torch.Generator().manual_seed(1))
    noisy = sampling.noise_scaling(sigma, noise, clean)
    wanted = target(sampling, noisy, sigma, clean)
    found = sampling.denoised(noisy.double(), sigma.double(), wanted.double())
    torch.testing.assert_close(found, clean.double(), rtol=1e-3, atol=1e-3)
    assert wanted.dtype == torch.float32


@pytest.mark.parametrize(("sampling", "expected"), [(discrete(EPS), 0), (flow(), 1)])
def test_noise_and_flow_are_what_the_papers_say(sampling: ModelSampling, expected: int) -> None:
    torch.manual_seed(4)
    clean, noise = torch.randn(8, 4, 2, 2), torch.randn(8, 4, 2, 2)
    sigma = drawn_levels(sampling, 8, torch.Generator().manual_seed(1))
    wanted = target(sampling, sampling.noise_scaling(sigma, noise, clean), sigma, clean)
    torch.testing.assert_close(wanted, noise - expected * clean, rtol=1e-3, atol=1e-3)
    assert (sampling.prediction is FLOW) == bool(expected)


def test_levels_are_trained_ones_and_repeat_with_the_seed() -> None:
    sampling = discrete(EPS)
    first, again = (drawn_levels(sampling, 2000, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(first, again)
    assert bool(torch.isin(first, sampling.sigmas).all())
    places = torch.searchsorted(sampling.sigmas, first).float()
    assert abs(float(places.mean()) - 500) < 30  # evenly: the mean of 2000 draws deviates by 6.5


@pytest.mark.parametrize("name", list(LOSSES))
def test_losses_are_zero_where_nothing_is_wrong_and_grow(name: str) -> None:
    right = torch.randn(3, 4)
    assert LOSSES[name](right, right) == 0
    assert 0 < LOSSES[name](right + 0.1, right) < LOSSES[name](right + 3, right)
