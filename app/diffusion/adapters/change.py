"""What a change of one weight is, and where in a weight it applies.

A change is arithmetic on tensors alone, in the precision of the weight that it is given: networks are edited in
float32, proofs are run in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Change(Protocol):
    """One weight's change by some adapter."""

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a weight of this shape can be changed by it."""
        ...

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """The changed weight, in the shape and precision of the one given, which stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """The part of a parameter that a change is for.

    `rows` are (first, count) where files hold apart what the network has joined; `halves_swapped` where files have
    the lower half of the rows first.
    """

    name: str
    rows: tuple[int, int] | None = None
    halves_swapped: bool = False

    def shape(self, whole: Sequence[int]) -> tuple[int, ...]:
        """The shape of the part."""
        return tuple(whole) if self.rows is None else (self.rows[1], *whole[1:])

    def part(self, whole: Tensor) -> Tensor:
        """The part as files know it."""
        rows = whole if self.rows is None else whole.narrow(0, *self.rows)
        return _swapped(rows) if self.halves_swapped else rows

    def replaced(self, whole: Tensor, part: Tensor) -> Tensor:
        """The whole with another part."""
        part = _swapped(part) if self.halves_swapped else part
        if self.rows is None:
            return part
        first, count = self.rows
        return torch.cat([whole[:first], part, whole[first + count :]])


@dataclass(frozen=True, slots=True)
class Edit:
    """A change at a place, with a strength; 0 leaves the weight as it is. `grows` where it becomes larger."""

    place: Place
    change: Change
    strength: float = 1.0
    grows: bool = False


def edited(weight: Tensor, edits: Sequence[Edit], precision: torch.dtype = torch.float32) -> Tensor:
    """A parameter after its edits, one after the other, computed in `precision` and given in its own type.

    Those that let it grow come last, as the others know it as it was.
    """
    value = weight.to(precision)
    for edit in sorted(edits, key=lambda edit: edit.grows):
        value = edit.place.replaced(value, edit.change.applied(edit.place.part(value), edit.strength))
    return value.to(weight.dtype)


def _swapped(rows: Tensor) -> Tensor:
    return torch.cat(rows.chunk(2)[::-1])


def scale_of(alpha: float | None, rank: int) -> float:
    """α / r; without α the factors are taken as they are."""
    return 1.0 if alpha is None else alpha / rank


def like(tensor: Tensor, weight: Tensor) -> Tensor:
    """A file's tensor where the weight is, in its precision."""
    return tensor.to(weight.device, weight.dtype)
