"""Further calls of a small network without the Python of its modules, which takes a third of the time of such a call.

A run calls its network with the same text, shapes and weights at every step. The first call is made as usual, and lets
layers keep what they make of the text; the operations of the second are written down, and those after it carry out what
was written. It is what a CUDA graph is on a graphics card, except that results take memory that is new at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from app.diffusion.models.second_form import is_watched, version_of

Inputs = Sequence[Tensor | None]
Layers = list[dict[str, Any]]
# After so many no further record is made: the network looks at values that are others at every call.
MOST_DEPARTURES = 2


class Departure(Exception):
    """An operation that tells Python something, as whether two tensors are equal, tells something else this time."""


class Operation(NamedTuple):
    """One operation: where its arguments lie among the values, and where its result or the parts of it go."""

    run: Callable[..., Any]
    take: Callable[[list[Any]], tuple[Any, ...]]
    put: int | None
    parts: tuple[int, ...]
    ends: tuple[int, ...]  # values that nothing needs any more


class Recording(TorchDispatchMode):
    """Writes down the operations on tensors that are carried out within it.

    Values are what operations take and give, in the order in which they first came: the inputs first.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """To say so would import PyTorch's compiler, which takes seconds; nothing is recorded while it traces."""
        return False

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._values: list[Any] = []
        self._places: dict[int, int] = {}
        self._operations: list[tuple[Callable[..., Any], tuple[int, ...], int | None, tuple[int, ...]]] = []
        self._made: set[int] = set()
        self._inputs = len(inputs)
        for value in inputs:
            self._place(value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Carry out the operation and write it down."""
        named = dict(kwargs or {})
        if self._is_settled(func, (*args, *named.values())):
            return func(*args, **named)
        taken = tuple(self._argument(value) for value in (*args, *named.values()))
        result: Any = func(*args, **named)
        run = _with_names(func, len(args), tuple(named)) if named else func
        if isinstance(result, (bool, int, float)):
            self._operations.append((_told(run, result), taken, None, ()))
        elif isinstance(result, (tuple, list)):
            self._operations.append((run, taken, None, tuple(map(self._result, cast("Sequence[Any]", result)))))
        else:
            self._operations.append((run, taken, self._result(result), ()))
        return cast("Any", result)

    def program(self, result: Tensor) -> Callable[[Inputs], Tensor]:
        """What computes `result` from other inputs of the same shapes. Other tensors are the very ones seen here."""
        answer = self._places[id(result)]
        last = {
            place: n
            for n, (_, taken, put, parts) in enumerate(self._operations)
            for place in (*taken, *parts, put)
            if place is not None
        }
        ends: list[list[int]] = [[] for _ in self._operations]
        for place in self._made - {answer}:
            ends[last[place]].append(place)
        operations = [
            Operation(run, _taking(taken), put, parts, tuple(end))
            for (run, taken, put, parts), end in zip(self._operations, ends, strict=True)
        ]
        constants = [None if n in self._made else value for n, value in enumerate(self._values)][self._inputs :]
        return lambda inputs: _carried_out(operations, [*inputs, *constants], answer)

    def _is_settled(self, func: Any, values: Sequence[Any]) -> bool:
        """Whether it is a view of weights, or of what a layer keeps, which is the same at every call."""
        schema = func._schema
        is_view = not schema.is_mutable and any(returned.alias_info is not None for returned in schema.returns)
        places = [self._place(value) for value in values if isinstance(value, Tensor)]
        return is_view and not any(place < self._inputs or place in self._made for place in places)

    def _argument(self, value: Any) -> int:
        if not isinstance(value, (list, tuple)) or not any(isinstance(part, Tensor) for part in cast("Any", value)):
            return self._place(value)
        parts = tuple(self._place(part) for part in cast("Sequence[Any]", value))
        place = self._result(value)
        self._operations.append((_listed, parts, place, ()))
        return place

    def _place(self, value: Any) -> int:
        """Where the value lies. Tensors are told apart by their identity, which none loses while it is kept here."""
        if isinstance(value, Tensor) and id(value) in self._places:
            return self._places[id(value)]
        self._values.append(value)
        if isinstance(value, Tensor):
            self._places[id(value)] = len(self._values) - 1
        return len(self._values) - 1

    def _result(self, value: Any) -> int:
        known = len(self._values)
        place = self._place(value)
        if place == known:  # not one that an operation changed in place
            self._made.add(place)
        return place


def _carried_out(operations: Sequence[Operation], values: list[Any], answer: int) -> Tensor:
    for run, take, put, parts, ends in operations:
        result = run(*take(values))
        if put is not None:
            values[put] = result
        else:
            for place, part in zip(parts, result, strict=True):
                values[place] = part
        for place in ends:
            values[place] = None
    return values[answer]


def _taking(places: tuple[int, ...]) -> Callable[[list[Any]], tuple[Any, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)


def _with_names(func: Callable[..., Any], count: int, names: tuple[str, ...]) -> Callable[..., Any]:
    return lambda *args: func(*args[:count], **dict(zip(names, args[count:], strict=True)))


def _listed(*parts: Any) -> list[Any]:
    return list(parts)


def _told(run: Callable[..., Any], told: object) -> Callable[..., Any]:
    def run_and_compare(*args: Any) -> tuple[()]:
        if run(*args) != told:
            raise Departure
        return ()

    return run_and_compare


class Repeated:
    """Calls of one network with one text: made as usual, recorded or repeated from the record."""

    def __init__(self) -> None:
        self._calls = 0
        self._departures = 0
        self._fits: tuple[object, ...] = ()
        self._weights: tuple[Tensor, ...] = ()
        self._layers: Layers = []
        self._program: Callable[[Inputs], Tensor] | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether there is a record that the next call may repeat."""
        return self._program is not None

    def call(self, network: nn.Module, compute: Callable[..., Tensor], inputs: Inputs) -> Tensor:
        """compute(*inputs), where `compute` reads no other tensors than these, the text and the network's weights."""
        fits = tuple(_form(value) for value in inputs), tuple(map(version_of, self._weights))
        if self._program is not None and fits == self._fits and not any(map(is_watched, self._layers)):
            try:
                return self._program(inputs)
            except Departure:
                self._program = None
                self._departures += 1
        self._calls += 1
        if self._calls == 1 or self._departures == MOST_DEPARTURES or any(map(is_watched, _layers_of(network))):
            return compute(*inputs)
        return self._record(network, compute, inputs)

    def _record(self, network: nn.Module, compute: Callable[..., Tensor], inputs: Inputs) -> Tensor:
        self._weights, self._layers = tuple(network.parameters()), _layers_of(network)
        self._fits = tuple(_form(value) for value in inputs), tuple(map(version_of, self._weights))
        recording = Recording(inputs)
        with recording:
            result = compute(*inputs)
        self._program = recording.program(result)
        return cast("Any", result)


def can_repeat(x: Tensor) -> bool:
    """Whether calls with x can be recorded: not while gradients are taken or PyTorch traces the network itself."""
    return type(x) is Tensor and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _form(value: Tensor | None) -> tuple[object, ...]:
    return () if value is None else (value.shape, value.stride(), value.dtype)


def _layers_of(network: nn.Module) -> Layers:
    return [module.__dict__ for child in network.children() for module in child.modules()]
