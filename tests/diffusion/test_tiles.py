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

    def __init__(self, room: int, error: Exception | None = None):
        self.room = room
        self.error = error or torch.OutOfMemoryError("full")
        self.calls: list[tuple[int | None, ...]] = []

    def decode(self, latent: Tensor, side: int | None = None) -> Tensor:
        self.calls.append((*latent.shape, side))
        seen = [min(length, side or length) for length in latent.shape[2:]]
        if latent.shape[0] * seen[0] * seen[1] > self.room:
            raise self.error
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
    assert (2, 3, 8, 8, None) in vae.calls
    assert all(call[-1] is None for call in vae.calls)


@pytest.mark.parametrize(("room", "sides"), [(512**2, [512]), (256**2, [512, 256]), (32**2, [512, 256])])
def test_pieces_shrink_until_they_fit_and_tiles_come_last(room: int, sides: list[int]) -> None:
    vae, latent = Small(room), torch.randn(1, 1, 600, 520)
    assert torch.allclose(decoded(vae, latent), decoded(Small(10**6), latent), atol=1e-5)
    assert [call[-1] for call in vae.calls if call[-1]] == sides
    assert ((1, 1, 32, 32, None) in vae.calls) == (room == 32**2)


def test_main_memory_that_does_not_suffice_means_pieces_and_other_errors_are_raised() -> None:
    latent = torch.randn(1, 1, 600, 520)
    vae = Small(512**2, RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert torch.allclose(decoded(vae, latent), decoded(Small(10**6), latent), atol=1e-5)
    assert [call[-1] for call in vae.calls] == [None, 512]
    for room in (512**2, 1):
        vae = Small(room, RuntimeError("shapes do not fit"))
        with pytest.raises(RuntimeError, match="shapes"):
            decoded(vae, latent)
        assert len(vae.calls) == 1


def test_what_never_fits_is_told() -> None:
    with pytest.raises(OutOfMemory, match="70 × 80") as told:
        decoded(Small(1), torch.randn(1, 3, 80, 70))
    assert told.value.remedy
