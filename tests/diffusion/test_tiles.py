from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.tiles import decode_within_memory, faded, starts, tiled
from app.errors import OutOfMemory


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(10, 4, 1), (64, 64, 16), (65, 64, 16), (3, 8, 2), (100, 8, 7), (9, 3, 0)]
)
def test_tiles_cover_everything_and_end_at_the_end(length: int, tile: int, overlap: int) -> None:
    covered = [place for start in starts(length, tile, overlap) for place in range(start, min(start + tile, length))]
    assert set(covered) == set(range(length))


@pytest.mark.parametrize("factor", [Fraction(1), Fraction(4), Fraction(1, 2)])
def test_what_works_on_every_place_alone_is_the_same_in_tiles(factor: Fraction) -> None:
    x = torch.randn(2, 3, 20, 28)

    def work(part: Tensor) -> Tensor:
        size = [int(side * factor) for side in part.shape[-2:]]
        return functional.interpolate(part, size=size, mode="nearest") * 2

    assert torch.allclose(tiled(work, x, 8, 4, factor), work(x), atol=1e-5)


def test_a_tile_counts_less_at_its_edges() -> None:
    weight = faded(torch.zeros(1, 1, 8, 8), 3)
    assert weight[0, 0] == pytest.approx(1 / 16)
    assert weight[4, 4] == 1
    assert bool((faded(torch.zeros(1, 1, 8, 8), 0) == 1).all())


class Small:
    """A first stage on a device that holds so many latent pixels."""

    factor = 2

    def __init__(self, room: int):
        self.room = room
        self.calls: list[tuple[int, ...]] = []

    def decode(self, latent: Tensor) -> Tensor:
        self.calls.append(tuple(latent.shape))
        if latent.shape[0] * latent.shape[2] * latent.shape[3] > self.room:
            raise torch.OutOfMemoryError("full")
        return latent.movedim(1, -1).repeat_interleave(2, 1).repeat_interleave(2, 2)


def decoded(vae: Any, latent: Tensor) -> Tensor:
    return decode_within_memory(vae, latent)


def test_enough_memory_means_one_call() -> None:
    vae = Small(10**6)
    decoded(vae, torch.randn(4, 3, 8, 8))
    assert len(vae.calls) == 1


def test_fewer_images_come_before_tiles() -> None:
    vae, latent = Small(128), torch.randn(4, 3, 8, 8)
    assert torch.equal(decoded(vae, latent), decoded(Small(10**6), latent))
    assert (2, 3, 8, 8) in vae.calls
    assert all(call[-1] == 8 for call in vae.calls)


@pytest.mark.parametrize("room", [64 * 64, 32 * 32])
def test_tiles_shrink_until_they_fit(room: int) -> None:
    latent = torch.randn(1, 3, 80, 70)
    assert torch.allclose(decoded(Small(room), latent), decoded(Small(10**6), latent), atol=1e-5)


def test_what_never_fits_is_told() -> None:
    with pytest.raises(OutOfMemory, match="70 × 80") as told:
        decoded(Small(1), torch.randn(1, 3, 80, 70))
    assert told.value.remedy
