"""First stages of both kinds behind one door, with the graph's conventions for images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.diffusion.first_stage import FirstStage, autoencoder_of
from app.diffusion.latent_format import SD, LatentFormat
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.autoencoder_vq import AutoencoderVQ
from app.diffusion.preview import ChannelPreview, LinearPreview, linear_preview
from app.errors import InvalidRequest

GAUSSIAN = AutoencoderConfig(4, 8, (1, 2, 2), 1, groups=4)
CODES = replace(GAUSSIAN, codes=16)


@pytest.mark.parametrize(("config", "kind"), [(GAUSSIAN, AutoencoderKL), (CODES, AutoencoderVQ)])
def test_pictures_go_in_and_come_out(config: AutoencoderConfig, kind: type) -> None:
    vae = FirstStage(autoencoder_of(config).eval())
    assert isinstance(vae.model, kind)
    latent = vae.encode(torch.rand(2, 17, 22, 4))
    assert latent.shape == (2, 4, 4, 5)
    assert latent.dtype == torch.float32
    picture = vae.decode(latent)
    assert picture.shape == (2, 16, 20, 3)
    assert 0 <= float(picture.min()) <= float(picture.max()) <= 1


def test_inpainting_models_have_learnt_on_grey_or_on_black() -> None:
    """scripts/inpaint.py of latent diffusion multiplies the picture in 0..1 by 1 − mask."""
    assert [FirstStage(autoencoder_of(config)).cover for config in (GAUSSIAN, CODES)] == [0.5, 0.0]


@pytest.mark.parametrize("config", [GAUSSIAN, CODES])
def test_what_does_not_fit_is_told(config: AutoencoderConfig) -> None:
    vae = FirstStage(autoencoder_of(config))
    with pytest.raises(InvalidRequest, match="3 × 2 pixels is too small"):
        vae.encode(torch.rand(1, 2, 3, 3))
    with pytest.raises(InvalidRequest, match="7 channels; the VAE decodes 4"):
        vae.decode(torch.zeros(1, 7, 2, 2))


def test_latents_are_scaled_by_one_number_or_by_channel() -> None:
    latent = torch.randn(2, 3, 4, 5)
    for form in (LatentFormat(3, 4, 0.5, 0.1), LatentFormat(3, 4, (0.5, 1.0, 2.0), (0.0, -1.0, 3.0))):
        torch.testing.assert_close(form.from_model(form.to_model(latent)), latent)
    apart = LatentFormat(3, 4, (0.5, 1.0, 2.0), (0.0, -1.0, 3.0)).to_model(torch.ones(1, 3, 1, 1))
    assert apart.flatten().tolist() == [0.5, 2.0, -4.0]


def test_previews_without_a_first_stage() -> None:
    known = linear_preview(SD)
    assert isinstance(known, LinearPreview)
    assert torch.equal(known(torch.zeros(1, 4, 2, 3)), torch.full((2, 3, 3), 0.5))
    red = torch.tensor([3.0, 0.0, -3.0, -2.0]).view(1, 4, 1, 1)
    assert known(red)[0, 0].tolist() == pytest.approx([1.0, 0.5 + (3 * 0.2297 - 3 * 0.1762 + 2 * 0.2616) / 2, 1.0])
    other = linear_preview(LatentFormat(3, 4, 1.0))
    assert isinstance(other, ChannelPreview)
    shown = other(torch.randn(1, 3, 6, 7))
    assert shown.shape == (6, 7, 3)
    assert (float(shown.min()), float(shown.max())) == (0.0, 1.0)
    assert torch.isfinite(other(torch.zeros(1, 1, 2, 2))).all()
