"""Pictures as conditions: noise of the right size, strengths, mixtures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.diffusion.inputs import UNetInputs
from app.diffusion.latent_format import SD
from app.diffusion.models.clip_vision import VisionFeatures
from app.diffusion.models.unet import UNetConfig, timestep_embedding
from app.diffusion.parameterization.betas import cosine, signal_of
from app.diffusion.unclip import NoiseAugmentor, UnclipInputs
from app.errors import InvalidRequest

WIDTH = 64
AUGMENTOR = NoiseAugmentor(torch.full((1, WIDTH), 0.5), torch.full((1, WIDTH), 2.0))
PICTURE = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(1))


def shown(embeds: torch.Tensor, strength: float = 1.0, noise: float = 0.0) -> dict[str, object]:
    hidden = torch.zeros(1, 1, 1)
    features = VisionFeatures(hidden, hidden, embeds)
    return {"clip_vision_output": features, "strength": strength, "noise_augmentation": noise}


def test_without_noise_the_picture_stays() -> None:
    said = AUGMENTOR(PICTURE, 0.0)
    assert said.shape == (1, 2 * WIDTH)
    assert float((said[:, :WIDTH] - PICTURE).abs().max()) < 0.1
    torch.testing.assert_close(said[:, WIDTH:], timestep_embedding(torch.tensor([0]), WIDTH))


def test_full_noise_has_the_pictures_spread_and_nothing_else() -> None:
    many = NoiseAugmentor(torch.full((1, 20_000), 0.5), torch.full((1, 20_000), 2.0))
    noisy = many(torch.full((1, 20_000), 9.0), 1.0)[:, :20_000]
    assert float(noisy.mean()) == pytest.approx(0.5, abs=0.06)
    assert float(noisy.std()) == pytest.approx(2.0, rel=0.02)
    torch.testing.assert_close(AUGMENTOR(PICTURE, 1.0)[:, WIDTH:], timestep_embedding(torch.tensor([999]), WIDTH))


def test_a_strength_scales_one_picture() -> None:
    torch.testing.assert_close(AUGMENTOR.vector([shown(PICTURE, 0.5)]), AUGMENTOR(PICTURE, 0.0) * 0.5)


def test_several_pictures_are_added_and_brought_to_one_level() -> None:
    both = AUGMENTOR.vector([shown(PICTURE), shown(PICTURE, 2.0)])
    torch.testing.assert_close(both[:, WIDTH:], timestep_embedding(torch.tensor([50]), WIDTH))
    total = AUGMENTOR(PICTURE, 0.0)[:, :WIDTH] * 3
    torch.testing.assert_close(both[:, :WIDTH], AUGMENTOR(total, 0.05)[:, :WIDTH])
    batch = AUGMENTOR.vector([shown(PICTURE.expand(2, -1))])
    torch.testing.assert_close(batch[:, WIDTH:], both[:, WIDTH:])


def test_the_noise_follows_the_picture_s_seed() -> None:
    signal = float(signal_of(cosine(1000, 0.0, 1.0))[500])
    drawn = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(32))
    expected = (signal**0.5 * (PICTURE - 0.5) / 2 + (1 - signal) ** 0.5 * drawn) * 2 + 0.5
    torch.testing.assert_close(AUGMENTOR(PICTURE, 0.5, 42)[:, :WIDTH], expected)
    each = AUGMENTOR.vector([shown(PICTURE, noise=0.3), shown(-PICTURE, noise=0.1)], [7, 8])
    alone = [AUGMENTOR.vector([shown(PICTURE, noise=0.3), shown(-PICTURE, noise=0.1)], seed) for seed in (7, 8)]
    assert torch.equal(each, torch.cat(alone))
    config = replace(UNetConfig(), vector_width=2 * WIDTH)
    inputs = UnclipInputs(UNetInputs(config, SD), AUGMENTOR)
    heard = inputs(torch.zeros(1, 3, 768), {"unclip_conditioning": [shown(PICTURE, noise=0.5)], "seed": 42}, PICTURE)
    assert torch.equal(heard["vector"], AUGMENTOR(PICTURE, 0.5, 42))


def test_a_picture_of_another_tower_is_named() -> None:
    with pytest.raises(InvalidRequest, match="width of 48; the model takes 64"):
        AUGMENTOR.vector([shown(torch.zeros(1, 48))])


def test_the_network_hears_the_pictures_or_zeros() -> None:
    config = replace(UNetConfig(), vector_width=2 * WIDTH)
    inputs = UnclipInputs(UNetInputs(config, SD), AUGMENTOR)
    features, like = torch.zeros(1, 3, 768), torch.zeros(1, 4, 8, 8)
    assert not inputs(features, {}, like)["vector"].any()
    heard = inputs(features, {"unclip_conditioning": [shown(PICTURE)]}, like)
    torch.testing.assert_close(heard["vector"], AUGMENTOR(PICTURE, 0.0))
    assert heard["context"] is features
