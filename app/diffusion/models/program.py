"""Operations that were written down, made ready to be carried out again with other inputs of the same shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, cast

from torch import Tensor

Inputs = Sequence[Tensor | None]
# Numbers in a tensor up to which one that is the same at every call is kept.
MOST_KEPT = 1 << 16


class Departure(Exception):
    """An operation that tells Python something, as whether two tensors are equal, tells something else this time."""


class Written(NamedTuple):
    """One operation as it was recorded: where its arguments lie among the values, and its result or the parts of it.

    `changed` are places that it writes to. A `pure` one does nothing but give the same for the same.
    """

    run: Callable[..., Any]
    taken: tuple[int, ...]
    put: int | None
    parts: tuple[int, ...] = ()
    changed: frozenset[int] = frozenset()
    pure: bool = False

    @property
    def given(self) -> tuple[int, ...]:
        """Where its results lie."""
        return self.parts if self.put is None else (self.put,)


class Operation(NamedTuple):
    """One operation: what it takes of the values, and where its result or the parts of it go."""

    run: Callable[..., Any]
    take: Callable[[list[Any]], tuple[Any, ...]]
    put: int | None
    parts: tuple[int, ...]
    ends: tuple[int, ...]  # values that nothing needs any more


class Program:
    """Computes the value at `answer` from other inputs. What does not depend on them is what it was in the recording.

    The inputs are the first values; `made` are places of those that operations gave.
    """

    def __init__(
        self, written: Sequence[Written], values: Sequence[Any], *, inputs: int, made: set[int], answer: int
    ) -> None:
        varying = set(range(inputs))
        needed = [operation for operation in written if _varies(operation, values, varying, _changed(written))]
        made = made & varying
        kept = {answer, *chain.from_iterable(operation.taken for operation in needed)} - made
        self._constants = [value if place in kept else None for place, value in enumerate(values)][inputs:]
        self._answer = answer
        ends = _ends(needed, made - {answer})
        self._operations = [
            Operation(operation.run, _taking(operation.taken), operation.put, operation.parts, tuple(end))
            for operation, end in zip(needed, ends, strict=True)
        ]

    def __call__(self, inputs: Inputs) -> Tensor:
        """Carry the operations out. Raises Departure."""
        values: list[Any] = [*inputs, *self._constants]
        for run, take, put, parts, ends in self._operations:
            result = run(*take(values))
            if put is not None:
                values[put] = result
            else:
                for place, part in zip(parts, result, strict=True):
                    values[place] = part
            for place in ends:
                values[place] = None
        return values[self._answer]


def _changed(written: Sequence[Written]) -> set[int]:
    return set(chain.from_iterable(operation.changed for operation in written))


def _varies(operation: Written, values: Sequence[Any], varying: set[int], changed: set[int]) -> bool:
    """Whether it must be carried out at every call; what it gives is then added to what varies."""
    same = operation.pure and varying.isdisjoint(operation.taken) and changed.isdisjoint(operation.given)
    if same and all(_is_kept(values[place]) for place in operation.given):
        return False
    varying.update(operation.given)
    return True


def _is_kept(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_kept, cast("Sequence[Any]", value)))
    return not isinstance(value, Tensor) or value.numel() <= MOST_KEPT


def _ends(operations: Sequence[Written], made: set[int]) -> list[list[int]]:
    """For each operation the values among those made that none after it needs."""
    last = {place: n for n, operation in enumerate(operations) for place in (*operation.taken, *operation.given)}
    ends: list[list[int]] = [[] for _ in operations]
    for place in made & last.keys():
        ends[last[place]].append(place)
    return ends


def _taking(places: tuple[int, ...]) -> Callable[[list[Any]], tuple[Any, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)
