"""In pieces a first stage gives what it gives at once."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.first_stage import FirstStage, autoencoder_of
from app.diffusion.models.autoencoder_kl import AutoencoderKL
from app.diffusion.piecewise import FirstStageNetwork, Piece, decoded, encoded, pieces
from app.diffusion.published import FIRST_STAGES
from app.diffusion.tiles import tiled
from app.training.scenes.drawing import draw
from app.training.scenes.judge import exam
from app.weights.checkpoint import load_checkpoint

SHIPPED = Path(__file__).parents[2] / "models" / "checkpoints" / "loom-scenes-64.safetensors"


def narrow(name: str) -> FirstStageNetwork:
    """A published first stage with few channels, and biases and scales that hide nothing."""
    config = FIRST_STAGES[name]
    torch.manual_seed(3)
    model = autoencoder_of(replace(config, channels=16, groups=8, num_res_blocks=1, codes=min(config.codes, 64)))
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.5)
    return model.eval()


@pytest.mark.parametrize("name", FIRST_STAGES)
@pytest.mark.parametrize("side", [3, 8, 1000])
@torch.no_grad()
def test_every_first_stage(name: str, side: int) -> None:
    model = narrow(name)
    factor = model.config.factor
    latent = torch.randn(2, model.config.latent_channels, 3, 4)
    torch.testing.assert_close(decoded(model, latent, side), model.decode(latent), rtol=1e-4, atol=2e-5)
    image = torch.rand(2, 3, 3 * factor, 4 * factor) * 2 - 1
    whole = model.encode(image).mean if isinstance(model, AutoencoderKL) else model.encode(image)
    torch.testing.assert_close(encoded(model, image, max(side, factor)), whole, rtol=1e-4, atol=2e-5)


def scenes() -> Tensor:
    """Sixteen pictures of the kind that the shipped model knows as one, (1, 256, 256, 3)."""
    drawn = draw([scene for scene, _ in exam(16, seed=5)]).clamp(0, 1)
    return drawn.unflatten(0, (4, 4)).permute(2, 0, 3, 1, 4).flatten(1, 2).flatten(2).movedim(0, -1)[None]


def decibels(one: Tensor, other: Tensor) -> float:
    """Peak signal to noise ratio of pictures in 0..1."""
    return -10 * math.log10(float((one - other).square().mean()) + 1e-20)


def test_a_trained_first_stage_shows_no_seams() -> None:
    """Tiles that do not know each other are far from it on the same picture."""
    vae: FirstStage = load_checkpoint(SHIPPED).vae
    picture = scenes()
    latent = vae.encode(picture)
    whole = vae.decode(latent)
    assert decibels(vae.decode(latent, 64), whole) > 100
    assert decibels(vae.decode(vae.encode(picture, 64)), whole) > 100
    apart = tiled(lambda part: vae.decode(part).movedim(-1, 1), latent, 16, 8, 8).movedim(1, -1)  # pyright: ignore
    assert decibels(apart, whole) < 40


def test_half_precision_stays_close() -> None:
    model = narrow("kl-f8").bfloat16()
    latent = torch.randn(1, 4, 4, 6).bfloat16()
    with torch.no_grad():
        one, other = (value.float() for value in (decoded(model, latent, 16), model.decode(latent)))
    assert float((one - other).norm() / other.norm()) < 0.02


def test_pieces_cover_a_map_once() -> None:
    seen = torch.zeros(9, 10)
    for piece in pieces(9, 10, 8):
        piece.of(seen).add_(1)
        assert piece.of(seen).shape in {(5, 5), (4, 5)}
    assert bool((seen == 1).all())


@pytest.mark.parametrize(
    ("piece", "shape", "inner"),
    [
        (Piece(0, 2, 0, 3), (3, 4), Piece(0, 2, 0, 3)),
        (Piece(2, 4, 3, 6), (4, 5), Piece(1, 3, 1, 4)),
        (Piece(5, 6, 5, 8), (2, 4), Piece(1, 2, 1, 4)),
    ],
)
def test_a_piece_sees_the_places_next_to_it(piece: Piece, shape: tuple[int, int], inner: Piece) -> None:
    value = torch.arange(48.0).view(6, 8)
    wider, place = piece.around(value)
    assert (tuple(wider.shape), place) == (shape, inner)
    assert torch.equal(place.of(wider), piece.of(value))
