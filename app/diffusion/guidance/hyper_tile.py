"""Self-attention in tiles (HyperTile, github.com/tfernd/HyperTile): in large pictures most of its cost goes away.

B batch, P places, C channels
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import torch
from torch import Tensor

from app.diffusion.guidance.hooks import NetworkAt
from app.diffusion.guidance.perturbed import grid_of
from app.diffusion.models.hooks import Attend, Looking, NetworkHooks, Place

FIRST = Place("input", 0)
SMALLEST = 4  # latent pixels; a tile below that sees nothing


def hyper_tile(size: int, choices: int, deepest: int, *, grows: bool = False) -> NetworkAt:
    """Attention to the picture within tiles of at least `size` places along a side, on the levels down to `deepest`.

    Level 0 has the latent's size, each further one half of it. Which of the `choices` finest tilings is taken differs
    from layer to layer and from step to step, so that no seam stays; the same step always has the same. With `grows`
    tiles keep more places the deeper the level is.
    """

    def at(sigma: float) -> NetworkHooks:
        seen: list[tuple[int, int]] = []

        def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
            if place == FIRST:
                seen[:] = [(x.shape[-2], x.shape[-1])]
            return x, skip

        def attend(looking: Looking, usual: Attend) -> Attend:
            return _tiled(usual, tiling(looking)) if looking.name == "attn1" and seen else usual

        def tiling(looking: Looking) -> Callable[[int], tuple[int, int, int, int]]:
            def of(places: int) -> tuple[int, int, int, int]:
                rows, columns = grid_of(places, *seen[0])
                level = round(math.log2(max(1.0, seen[0][0] / rows)))
                if level > deepest or rows * columns != places:
                    return rows, columns, 1, 1
                least = size * 2**level if grows else size
                draw = random.Random(f"{sigma:.6g} {looking.place} {looking.number}")
                return rows, columns, _parts(rows, least, choices, draw), _parts(columns, least, choices, draw)

            return of

        return NetworkHooks(entering=(entering,), attend=(attend,), of_rows=lambda rows: at(sigma))

    return at


def _parts(length: int, least: int, choices: int, draw: random.Random) -> int:
    """Into how many equal parts of at least `least` a side is cut: one of the largest such numbers."""
    fitting = [length // part for part in range(max(least, 1), length + 1) if length % part == 0]
    return draw.choice(fitting[:choices]) if fitting else 1


def _tiled(usual: Attend, tiling: Callable[[int], tuple[int, int, int, int]]) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows, columns, down, across = tiling(q.shape[1])
        if down * across == 1 or k.shape[1] != q.shape[1]:
            return usual(q, k, v)
        q, k, v = (_cut(part, rows, columns, down, across) for part in (q, k, v))
        return _joined(usual(q, k, v), rows, columns, down, across)

    return attend


def _cut(x: Tensor, rows: int, columns: int, down: int, across: int) -> Tensor:
    """(B, P, C) → (B·tiles, P/tiles, C)."""
    cells = torch.unflatten(torch.unflatten(x, 1, (down, rows // down, columns)), 3, (across, columns // across))
    return cells.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def _joined(x: Tensor, rows: int, columns: int, down: int, across: int) -> Tensor:
    """The inverse of `_cut`."""
    cells = torch.unflatten(torch.unflatten(x, 0, (-1, down, across)), 3, (rows // down, columns // across))
    return cells.transpose(2, 3).flatten(1, 4)
