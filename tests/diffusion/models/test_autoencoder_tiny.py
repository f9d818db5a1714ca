"""The small first stage equals diffusers' with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.first_stage import FirstStage
from app.diffusion.models.autoencoder_tiny import PixelSpace, TinyAutoencoder, TinyConfig
from tests.parity.test_networks import randomise, relative_error


def made(channels: int) -> TinyAutoencoder:
    tiny = TinyAutoencoder(TinyConfig(channels)).eval()
    for half in (tiny.taesd_encoder, tiny.taesd_decoder):
        randomise(half, 3)
    return tiny


def diffusers_tiny(ours: TinyAutoencoder, channels: int) -> Any:
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    theirs = AutoencoderTiny(latent_channels=channels).eval()
    places = {"taesd_encoder": ("encoder.layers", 0), "taesd_decoder": ("decoder.layers", 1)}
    state: dict[str, torch.Tensor] = {}
    for key, value in ours.state_dict().items():
        half, _, rest = key.partition(".")
        if half in places:
            name, uncounted = places[half]
            index, _, rest = rest.partition(".")
            state[f"{name}.{int(index) - uncounted}.{rest}"] = value
    theirs.load_state_dict(state)
    return theirs


@pytest.mark.parametrize("channels", [4, 16])
@torch.no_grad()
def test_it_equals_diffusers(channels: int) -> None:
    ours = made(channels)
    ours.vae_scale.data, ours.vae_shift.data = torch.tensor(0.5), torch.tensor(0.1)
    theirs = diffusers_tiny(ours, channels)
    image = torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    encoded = ours.encode(image)
    assert encoded.shape == (1, channels, 4, 3)
    assert relative_error((encoded - 0.1) * 0.5, theirs.encode(image).latents) <= 1e-4
    latent = torch.randn(1, channels, 4, 3, generator=torch.Generator().manual_seed(2))
    decoded = theirs.decode((latent - 0.1) * 0.5).sample
    assert relative_error(ours.decode(latent), decoded) <= 1e-4


def test_a_side_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        TinyAutoencoder(TinyConfig()).encode(torch.zeros(1, 3, 9, 8))


def test_far_latents_are_held_back() -> None:
    tiny = made(4)
    far = [FirstStage(tiny).decode(torch.full((1, 4, 2, 2), value)) for value in (1e3, 1e6)]
    assert torch.allclose(far[0], far[1])


def test_pixels_stay_pixels() -> None:
    stage = FirstStage(PixelSpace())
    assert stage.factor == 1 and stage.channels == 3
    picture = torch.rand(1, 3, 5, 3)
    assert torch.allclose(stage.decode(stage.encode(picture)), picture, atol=1e-6)
