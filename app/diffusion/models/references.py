"""Pictures that a transformer sees beside the one that it draws, each at places of its own (Flux.1 Kontext, UNO).

Sizes and places are counted in patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

Size = tuple[int, int]


class Start(NamedTuple):
    """Where the first patch of a picture stands: which picture it is, row and column. The canvas is at (0, 0, 0)."""

    number: int
    row: int
    column: int


def _side_by_side(sizes: Sequence[Size], canvas: Size) -> list[Start]:
    """All as one further picture, each beside or below those before, so that it stays as square as can be."""
    starts: list[Start] = []
    height = width = 0
    for rows, columns in sizes:
        beside = rows + height > columns + width
        start = Start(1, 0, width) if beside else Start(1, height, 0)
        height, width = max(height, start.row + rows), max(width, start.column + columns)
        starts.append(start)
    return starts


def _apart(sizes: Sequence[Size], canvas: Size) -> list[Start]:
    """Each as a picture of its own."""
    return [Start(number, 0, 0) for number, _ in enumerate(sizes, 1)]


def _diagonal(sizes: Sequence[Size], canvas: Size) -> list[Start]:
    """Each below and to the right of all before, the canvas too (UNO, arXiv:2504.02160, section 3.3)."""
    starts: list[Start] = []
    row, column = canvas
    for rows, columns in sizes:
        starts.append(Start(0, row, column))
        row, column = row + rows, column + columns
    return starts


METHODS: Mapping[str, Callable[[Sequence[Size], Size], list[Start]]] = MappingProxyType(
    {"offset": _side_by_side, "index": _apart, "uxo/uno": _diagonal}
)


def places(start: Start, size: Size, device: torch.device) -> Tensor:
    """(P, 3): number, row and column of each patch of a picture."""
    rows, columns = (
        torch.arange(first, first + count, device=device)
        for first, count in zip((start.row, start.column), size, strict=True)
    )
    grid = torch.cartesian_prod(rows, columns).reshape(-1, 2)
    return torch.cat([torch.full_like(grid[:, :1], start.number), grid], dim=1)
