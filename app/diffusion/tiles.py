"""Work on parts of a picture where the whole does not fit into memory.

B items, C channels, h × w places of the input; the result is `factor` times as large (a fraction for smaller ones).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor

from app.diffusion.first_stage import FirstStage
from app.errors import OutOfMemory, is_out_of_memory

Work = Callable[[Tensor], Tensor]

SIDES = (512, 256)  # pixels along a side of a piece, the first that fits
OVERLAP, TILE = 16, 32  # latent pixels that tiles share, and along their side, where even pieces do not fit


def tiled(work: Work, x: Tensor, tile: int, overlap: int, factor: Fraction) -> Tensor:
    """`work` on tiles of (B, C, h, w), put together again; tiles of `tile` places that share `overlap` of them.

    `work` gives results `factor` times as large. They are weighted by the distance from the tile's edges, so that
    tiles, which know nothing of each other, fade into each other.
    """
    height, width = x.shape[-2:]
    total: Tensor | None = None
    weights = torch.zeros(())
    for top in starts(height, tile, overlap):
        for left in starts(width, tile, overlap):
            part = work(x[..., top : top + tile, left : left + tile])
            if total is None:
                total = part.new_zeros(*part.shape[:-2], int(height * factor), int(width * factor))
                weights = total.new_zeros(total.shape[-2:])
            rows = slice(int(top * factor), int(top * factor) + part.shape[-2])
            columns = slice(int(left * factor), int(left * factor) + part.shape[-1])
            weight = faded(part, int(overlap * factor))
            total[..., rows, columns] += part * weight
            weights[rows, columns] += weight
    assert total is not None
    return total / weights


def starts(length: int, tile: int, overlap: int) -> Iterator[int]:
    """Where tiles begin along a side, evenly enough that the last one ends at its end."""
    step = max(1, tile - overlap)
    yield from range(0, max(length - tile, 0), step)
    yield max(length - tile, 0)


def faded(part: Tensor, overlap: int) -> Tensor:
    """Weights (h, w) that rise linearly from the edges over the overlap."""
    sides: list[Tensor] = []
    for length in part.shape[-2:]:
        place = torch.arange(length, dtype=part.dtype, device=part.device)
        sides.append(((torch.minimum(place, length - 1 - place) + 1) / (overlap + 1)).clamp(max=1))
    return sides[0][:, None] * sides[1]


def decode_within_memory(vae: FirstStage, latent: Tensor) -> Tensor:
    """As `vae.decode`; where memory does not suffice, first fewer images at once, then pieces, at last tiles.

    Pieces give what the whole gives; tiles differ a little from each other.

    Raises:
        OutOfMemory: not even a tile fits.
    """
    try:
        return vae.decode(latent)
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error):
            raise
    if len(latent) > 1:
        half = len(latent) // 2
        return torch.cat([decode_within_memory(vae, part) for part in (latent[:half], latent[half:])])
    for attempt in (*(partial(vae.decode, latent, side) for side in SIDES), partial(_decode_tiled, vae, latent)):
        try:
            return attempt()
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            if not is_out_of_memory(error):
                raise
    raise OutOfMemory(
        f"There is not enough memory to decode a latent of {latent.shape[-1]} × {latent.shape[-2]}, even in tiles.",
        remedy="Close other programs, draw a smaller picture, or start with --device cpu.",
    )


def _decode_tiled(vae: FirstStage, latent: Tensor) -> Tensor:
    image = tiled(lambda part: vae.decode(part).movedim(-1, 1), latent, TILE, OVERLAP, Fraction(vae.factor))
    return image.movedim(1, -1)
