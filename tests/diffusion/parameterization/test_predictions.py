from __future__ import annotations

import pytest
import torch

from app.diffusion.parameterization.predictions import (
    COSMOS_FLOW,
    EPS,
    FLOW,
    IMAGE_TO_IMAGE,
    X0,
    EdmPrediction,
    V,
    against,
)

GENERATOR = torch.Generator().manual_seed(0)
CLEAN = torch.randn(2, 4, 3, 3, dtype=torch.float64, generator=GENERATOR)
NOISE = torch.randn(2, 4, 3, 3, dtype=torch.float64, generator=GENERATOR)
SIGMA = torch.tensor([0.4, 0.9], dtype=torch.float64)


def noisy(prediction):
    return prediction.noise_scaling(SIGMA, NOISE, CLEAN, False)


def test_every_parameterisation_finds_the_same_clean_latent():
    """Networks that know the answer, each in its own terms."""
    sigma = against(SIGMA, CLEAN)
    root = (1 + sigma**2).sqrt()
    x = CLEAN + sigma * NOISE
    assert torch.allclose(EPS.denoised(x, SIGMA, NOISE), CLEAN)
    assert torch.allclose(V.denoised(x, SIGMA, (NOISE - sigma * CLEAN) / root), CLEAN)
    assert torch.allclose(X0.denoised(x, SIGMA, CLEAN), CLEAN)
    edm = EdmPrediction(0.5)
    total = sigma**2 + 0.25
    assert torch.allclose(edm.denoised(x, SIGMA, (CLEAN - x * 0.25 / total) * total.sqrt() / (sigma * 0.5)), CLEAN)
    mixed = (1 - sigma) * CLEAN + sigma * NOISE
    assert torch.allclose(FLOW.denoised(mixed, SIGMA, NOISE - CLEAN), CLEAN)


def test_cosmos_is_a_flow_in_other_coordinates():
    sigma = against(SIGMA, CLEAN)
    s = sigma / (1 + sigma)
    x = CLEAN + sigma * NOISE
    assert torch.allclose(COSMOS_FLOW.scaled_input(x, SIGMA), (1 - s) * CLEAN + s * NOISE)
    assert torch.allclose(COSMOS_FLOW.denoised(x, SIGMA, NOISE - CLEAN), CLEAN)


def test_unit_variance_input():
    assert torch.allclose(EPS.scaled_input(CLEAN, SIGMA), CLEAN / (against(SIGMA, CLEAN) ** 2 + 1).sqrt())
    assert torch.equal(FLOW.scaled_input(CLEAN, SIGMA), CLEAN)
    assert torch.equal(IMAGE_TO_IMAGE.scaled_input(CLEAN, SIGMA), CLEAN)


def test_start_noise():
    sigma = torch.tensor(3.0, dtype=torch.float64)
    assert torch.allclose(EPS.noise_scaling(sigma, NOISE, CLEAN, False), CLEAN + 3 * NOISE)
    assert torch.allclose(EPS.noise_scaling(sigma, NOISE, CLEAN, True), CLEAN + 10**0.5 * NOISE)
    whole = torch.tensor(1.0, dtype=torch.float64)
    assert torch.allclose(FLOW.noise_scaling(whole, NOISE, CLEAN, True), NOISE)


@pytest.mark.parametrize("prediction", [EPS, FLOW])
def test_left_over_noise_can_be_taken_up_again(prediction):
    handed_on = prediction.inverse_noise_scaling(SIGMA, noisy(prediction))
    assert torch.allclose(prediction.noise_scaling(SIGMA, NOISE * 0, handed_on, False), noisy(prediction))
