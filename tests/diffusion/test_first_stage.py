"""First stages of both kinds behind one door, with the graph's conventions for images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.diffusion.first_stage import FirstStage, autoencoder_of
from app.diffusion.latent_format import SD, LatentFormat
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.autoencoder_vq import AutoencoderVQ
from app.diffusion.preview import ChannelPreview, DecodedPreview, LinearPreview, linear_preview
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


def sound_vae(config: AutoencoderConfig = GAUSSIAN) -> FirstStage:
    return FirstStage(autoencoder_of(config).eval())


@pytest.mark.parametrize("side", [None, 8])
def test_the_vae_is_told_apart_from_what_it_was_given(side: int | None) -> None:
    """A VAE whose own computation overflows is to blame where what it was given is sound."""
    for part in ("encoder", "decoder"):
        vae = sound_vae()
        getattr(vae.model, part).conv_out.weight.data.fill_(3e38)
        work = vae.encode if part == "encoder" else vae.decode
        given = torch.rand(1, 16, 16, 3) if part == "encoder" else torch.randn(1, 4, 4, 4)
        with pytest.raises(InvalidRequest, match=r"The VAE computed values .* in float32") as caught:
            work(given, side)
        assert "another VAE" in caught.value.remedy and caught.value.input_name == "vae"
        with pytest.raises(InvalidRequest, match=r"holds values up to 1e\+38") as caught:
            work(torch.full_like(given, 1e38), side)
        assert "the node that made it" in caught.value.remedy and caught.value.input_name is None


def test_a_vae_in_half_precision_that_overflows_can_be_widened() -> None:
    vae = sound_vae()
    assert isinstance(vae.model, AutoencoderKL)
    vae.model.half()
    vae.model.decoder.conv_out.weight.data.fill_(60000.0)
    with pytest.raises(InvalidRequest, match="in float16") as caught:
        vae.decode(torch.randn(1, 4, 4, 4))
    assert "--precision bfloat16 or float32" in caught.value.remedy


def test_pictures_on_the_way_stop_nothing() -> None:
    """What is not right about them shows in the result, which is looked at."""
    vae = sound_vae()
    latent = torch.randn(1, 4, 4, 4)
    assert torch.equal(DecodedPreview(vae, SD)(latent), vae.decode(SD.from_model(latent))[0])
    assert DecodedPreview(vae, SD)(latent * float("nan")).shape == (16, 16, 3)
