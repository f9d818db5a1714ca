"""Posterior algebra against closed forms, and shapes."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL, Posterior, freeze, moments_shape

SMALL = AutoencoderConfig(latent_channels=3, channels=8, channel_mult=(1, 2, 2), num_res_blocks=1, groups=4)


def test_kl_equals_the_closed_form() -> None:
    moments = torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    posterior = Posterior.from_moments(moments)
    normal = Normal(posterior.mean, (0.5 * posterior.logvar).exp())
    expected = kl_divergence(normal, Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(posterior.kl(), expected, atol=1e-4, rtol=1e-5)


def test_the_log_variance_is_clamped() -> None:
    posterior = Posterior.from_moments(torch.full((1, 2, 1, 1), 500.0))
    assert posterior.logvar.item() == 20.0
    assert Posterior.from_moments(torch.full((1, 2, 1, 1), -500.0)).logvar.item() == -30.0


def test_a_sample_is_mean_plus_scaled_noise() -> None:
    posterior = Posterior(torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 4.0).log())
    assert posterior.sample(torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(2.0 + 2.0 * 3.0)


@pytest.mark.parametrize("size", [(16, 24), (4, 4)])
def test_shapes(size: tuple[int, int]) -> None:
    model = AutoencoderKL(SMALL)
    image = torch.rand(2, 3, *size) * 2 - 1
    output, posterior = model(image)
    assert output.shape == image.shape
    assert tuple(posterior.mean.shape[1:]) == moments_shape(SMALL, image.shape)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        AutoencoderKL(SMALL).encode(torch.zeros(1, 3, 18, 16))


def test_a_frozen_stage_gets_no_gradients() -> None:
    model = freeze(AutoencoderKL(SMALL))
    assert not any(value.requires_grad for value in model.parameters())
    assert not model.training
