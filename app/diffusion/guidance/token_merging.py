"""Token merging (Bolya & Hoffman 2023, arXiv:2303.17604): places that look alike go through self-attention as one.

B batch, P places, C channels, S sources, D destinations, R merged
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.guidance.hooks import NetworkAt
from app.diffusion.models.hooks import Looking, NetworkHooks, Place, Sources

FIRST = Place("input", 0)
CELL = 2  # one place of each square of so many by so many stays, and takes in the others (the paper's sx and sy)
MOST = 1 - 1 / CELL**2

Merging = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def token_merging(ratio: float) -> NetworkAt:
    """A share of the places, at most `MOST`, merged before the self-attention of the largest level, parted after it."""

    def at(sigma: float) -> NetworkHooks:
        size: list[tuple[int, int]] = []
        waiting: dict[Looking, Callable[[Tensor], Tensor]] = {}

        def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
            if place == FIRST:
                size[:] = [(x.shape[-2], x.shape[-1])]
            return x, skip

        def sources(looking: Looking, given: Sources) -> Sources:
            x, keys, values = given
            if looking.name != "attn1" or not size or x.shape[1] != size[0][0] * size[0][1]:
                return given
            count = int(x.shape[1] * min(ratio, MOST))
            merge, waiting[looking] = merging(x, *size[0], count, _seed(sigma, looking))
            if keys.shape[1] != x.shape[1]:
                return merge(x), keys, values
            return merge(x), merge(keys), merge(values)

        def attended(looking: Looking, x: Tensor) -> Tensor:
            return waiting.pop(looking)(x) if looking in waiting else x

        return NetworkHooks(
            entering=(entering,), sources=(sources,), attended=(attended,), of_rows=lambda rows: at(sigma)
        )

    return at


def _seed(sigma: float, looking: Looking) -> int:
    return zlib.crc32(f"{sigma:.6g} {looking.place} {looking.number}".encode())


def merging(x: Tensor, rows: int, columns: int, count: int, seed: int = 0) -> Merging:
    """(merge, part): `merge` (B, P, C) → (B, P − R, C) averages `count` places into those they resemble most.

    `part` gives every place what the one that it went into has. The destinations, one of each square, are drawn from
    the seed; likeness is the cosine of the features x.
    """
    sources, destinations = (part.to(x.device) for part in divided(rows, columns, seed))
    count = min(count, len(sources))
    if count <= 0:
        return (lambda value: value), (lambda value: value)
    features = functional.normalize(x, dim=-1)
    likeness, nearest = (features[:, sources] @ features[:, destinations].transpose(1, 2)).max(dim=-1)  # (B, S)
    order = likeness.argsort(dim=-1, descending=True)
    merged, kept = order[:, :count, None], order[:, count:, None]  # places among the sources
    goal = nearest[:, :, None].gather(1, merged)  # (B, R, 1)

    def merge(value: Tensor) -> Tensor:
        ours, theirs, width = value[:, sources], value[:, destinations], value.shape[-1]
        gone = ours.gather(1, merged.expand(-1, -1, width))
        theirs = theirs.scatter_reduce(1, goal.expand(-1, -1, width), gone, reduce="mean")
        return torch.cat([ours.gather(1, kept.expand(-1, -1, width)), theirs], dim=1)

    def part(value: Tensor) -> Tensor:
        width, staying = value.shape[-1], kept.shape[1]
        alone, theirs = value[:, :staying], value[:, staying:]
        whole = value.new_empty(len(value), rows * columns, width)
        ours = value.new_empty(len(value), len(sources), width)
        ours.scatter_(1, kept.expand(-1, -1, width), alone)
        ours.scatter_(1, merged.expand(-1, -1, width), theirs.gather(1, goal.expand(-1, -1, width)))
        whole[:, sources], whole[:, destinations] = ours, theirs
        return whole

    return merge, part


def divided(rows: int, columns: int, seed: int) -> tuple[Tensor, Tensor]:
    """(sources, destinations): the places of a grid; of each square of `CELL` × `CELL` one is a destination."""
    down, across = max(1, rows // CELL), max(1, columns // CELL)
    drawn = torch.randint(CELL**2, (down, across), generator=torch.Generator().manual_seed(seed))
    place_y = torch.arange(down)[:, None] * CELL + drawn // CELL
    place_x = torch.arange(across)[None] * CELL + drawn % CELL
    chosen = torch.zeros(rows, columns, dtype=torch.bool)
    chosen[place_y.clamp(max=rows - 1), place_x.clamp(max=columns - 1)] = True
    return (~chosen).flatten().nonzero().flatten(), chosen.flatten().nonzero().flatten()
