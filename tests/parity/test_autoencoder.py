"""First stages, with and without a codebook, equal diffusers' with the same random weights (float32)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.diffusion.models.autoencoder_kl import AutoencoderConfig
from app.diffusion.published import FIRST_STAGES, PUBLISHED
from tests.parity.diffusers_networks import TOLERANCE, first_stages, relative_error


def image(config: AutoencoderConfig) -> torch.Tensor:
    """Two latent rows and three columns of noise."""
    size = (2, 3, 2 * config.factor, 3 * config.factor)
    return torch.rand(size, generator=torch.Generator().manual_seed(6)) * 2 - 1


def shallow(name: str) -> AutoencoderConfig:
    """The published width, levels and codebook, with one block where there are two."""
    return replace(UPSCALER if name == "x4-upscaler" else FIRST_STAGES[name], num_res_blocks=1)


UPSCALER = PUBLISHED["sd2-x4-upscaler"].first_stage


@pytest.mark.parametrize("name", ["kl-f4", "kl-f16", "kl-f32", "kl-f8-16", "x4-upscaler"])
def test_gaussian_first_stages(name: str) -> None:
    check_gaussian(shallow(name))


def test_stable_diffusion_s_first_stage_at_full_size() -> None:
    check_gaussian(FIRST_STAGES["kl-f8"])


def check_gaussian(config: AutoencoderConfig) -> None:
    """Encoding and decoding agree."""
    ours, theirs = first_stages(config)
    with torch.inference_mode():
        posterior, expected = ours.encode(image(config)), theirs.encode(image(config)).latent_dist
        assert relative_error(posterior.mean, expected.mean) < TOLERANCE
        assert relative_error(posterior.logvar, expected.logvar) < TOLERANCE
        assert relative_error(ours.decode(expected.mean), theirs.decode(expected.mean).sample) < TOLERANCE


@pytest.mark.parametrize("name", ["vq-f4", "vq-f4-noattn", "vq-f8", "vq-f8-n256", "vq-f16"])
def test_first_stages_with_a_codebook(name: str) -> None:
    config = shallow(name)
    ours, theirs = first_stages(config)
    with torch.inference_mode():
        latent, expected = ours.encode(image(config)), theirs.encode(image(config)).latents
        assert relative_error(latent, expected) < TOLERANCE
        quantised, _, (_, _, indices) = theirs.quantize(expected)
        assert torch.equal(ours.quantize.indices(expected).flatten(), indices.flatten())
        torch.testing.assert_close(ours.quantize(expected), quantised)
        assert relative_error(ours.decode(expected), theirs.decode(expected).sample) < TOLERANCE
