"""Further calls of a small network without the Python of its modules, which takes a third of the time of such a call.

A run calls its network with the same text, shapes and weights at every step. The first call is made as usual, and lets
layers keep what they make of the text; the operations of the second are written down, and those after it carry out what
was written. It is what a CUDA graph is on a graphics card, except that results take memory that is new at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter, contains
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from app.diffusion.models.program import Departure, Inputs, Program, Written
from app.diffusion.models.second_form import is_watched

Layers = list[dict[str, Any]]
# Under this name a network holds the weights that it has for a while in place of its own, given as `Parameter.data`.
WORN = "worn_weights"
# After so many no further record is made: the network looks at values that are others at every call.
MOST_DEPARTURES = 2


class Window(NamedTuple):
    """A view: the place of the tensor in whose memory it lies, its shape, strides and where it begins."""

    onto: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    start: int


class Recording(TorchDispatchMode):
    """Writes down the operations on tensors that are carried out within it.

    Values are what operations take and give, in the order in which they first came: the inputs first. Views are written
    down when an operation takes them, each as one, however many led to it.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """To say so would import PyTorch's compiler, which takes seconds; nothing is recorded while it traces."""
        return False

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._values: list[Any] = []
        self._places: dict[int, int] = {}
        self._written: list[Written] = []
        self._made: set[int] = set()
        self._windows: dict[int, Window] = {}
        self._open: set[int] = set()
        self._inputs = len(inputs)
        for value in inputs:
            self._place(value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Carry out the operation and write it down."""
        named = dict(kwargs or {})
        result: Any = func(*args, **named)
        if func._schema.is_mutable or not self._is_view(result, (*args, *named.values())):
            self._write(func, args, named, result)
        return result

    def program(self, result: Tensor) -> Program:
        """What computes `result` from other inputs of the same shapes. Other tensors are the very ones seen here."""
        answer = self._argument(result)
        return Program(self._written, self._values, inputs=self._inputs, made=self._made, answer=answer)

    def _write(self, func: Any, args: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> None:
        taken = tuple(self._argument(value) for value in (*args, *named.values()))
        run = _with_names(func, len(args), tuple(named)) if named else func
        changed = frozenset(self._changed(func, args, named))
        pure = not func._schema.is_mutable and torch.Tag.nondeterministic_seeded not in func.tags
        if isinstance(result, (bool, int, float)):
            self._written.append(Written(_told(run, result), taken, None))
        elif isinstance(result, (tuple, list)):
            parts = tuple(map(self._result, cast("Sequence[Any]", result)))
            self._written.append(Written(run, taken, None, parts, changed, pure))
        else:
            self._written.append(Written(run, taken, self._result(result), (), changed, pure))

    def _changed(self, func: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> Sequence[int]:
        """The places that the operation writes to, and of the tensors in whose memory they lie."""
        given = {**dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)), **named}
        written = [argument.name for argument in func._schema.arguments if argument.is_write]
        places = [self._place(given[name]) for name in written if isinstance(given.get(name), Tensor)]
        return [*places, *(self._windows[place].onto for place in places if place in self._windows)]

    def _is_view(self, result: Any, values: Sequence[Any]) -> bool:
        """Whether the result is one of the values, or nothing but views of one, which are then known as such."""
        results = cast("Sequence[Any]", result if isinstance(result, (tuple, list)) else (result,))
        source = next((value for value in values if _is_part(results, value)), None)
        if source is None:
            return False
        place = self._place(source)
        for part in results:
            if id(part) not in self._places and (place < self._inputs or place in self._made):
                onto = self._windows[place].onto if place in self._windows else place
                self._windows[self._result(part)] = _window(onto, part)
        return True

    def _argument(self, value: Any) -> int:
        if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in cast("Any", value)):
            parts = tuple(self._argument(part) for part in cast("Sequence[Any]", value))
            place = self._result(value)
            self._written.append(Written(_listed, parts, place, pure=True))
            return place
        place = self._place(value)
        return self._opened(place) if place in self._windows else place

    def _opened(self, place: int) -> int:
        """Where the view lies, which is written down unless it is all of the other tensor."""
        window = self._windows[place]
        if window == _window(window.onto, self._values[window.onto]):
            return window.onto
        if place not in self._open:
            self._open.add(place)
            taken = (window.onto, *map(self._place, window[1:]))
            self._written.append(Written(torch.as_strided, taken, place, pure=True))
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


def _is_part(results: Sequence[Any], value: Any) -> bool:
    """Whether all results are the value or plain views of it."""
    return isinstance(value, Tensor) and bool(results) and all(_shares(result, value) for result in results)


def _shares(result: Any, value: Tensor) -> bool:
    if result is value:
        return True
    plain = (
        isinstance(result, Tensor) and result.dtype == value.dtype and value.layout == result.layout == torch.strided
    )
    return plain and 0 != result.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()


def _window(onto: int, view: Tensor) -> Window:
    return Window(onto, tuple(view.shape), view.stride(), int(view.storage_offset()))


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
        self._guard: Guard | None = None
        self._program: Program | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether there is a record that the next call may repeat."""
        return self._program is not None

    def call(self, network: nn.Module, compute: Callable[..., Tensor], inputs: Inputs) -> Tensor:
        """compute(*inputs), where `compute` reads no other tensors than these, the text and the network's weights."""
        fits = tuple(map(_form, inputs))
        if self._program is not None and self._guard is not None and fits == self._fits and self._guard.holds():
            try:
                return self._program(inputs)
            except Departure:
                self._program = None
                self._departures += 1
        self._calls += 1
        if self._calls == 1 or self._departures == MOST_DEPARTURES or any(map(is_watched, _layers_of(network))):
            return compute(*inputs)
        self._fits, self._guard = fits, Guard(network)
        with (recording := Recording(inputs)):
            result = compute(*inputs)
        self._program = recording.program(result)
        return cast("Any", result)


class Guard:
    """Sees whether a network still has the weights and the layers that it had, without its Python.

    Looking at every tensor and every layer of a network takes a twentieth of its call. So a weight is asked for the
    count of its changes alone, and layers for hooks only when there are new ones anywhere.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network.__dict__
        self._worn = self._network.get(WORN)
        self._weights = [weight for weight in network.parameters() if not weight.is_inference()]
        self._changes = self._count()
        self._layers = _layers_of(network)
        self._hooks = RemovableHandle.next_id

    def holds(self) -> bool:
        """Whether no weight was changed in place, no layer is watched and none was given another way to compute."""
        if self._network.get(WORN) is not self._worn:
            return False
        if self._hooks != RemovableHandle.next_id:
            if any(map(is_watched, self._layers)):
                return False
            self._hooks = RemovableHandle.next_id
        return self._count() == self._changes and not any(map(contains, self._layers, repeat("forward")))

    def _count(self) -> list[int]:
        return list(map(_changes_of, self._weights))


_changes_of = attrgetter("_version")


def can_repeat(x: Tensor) -> bool:
    """Whether calls with x can be recorded: not while gradients are taken or PyTorch traces the network itself."""
    return type(x) is Tensor and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _form(value: Tensor | None) -> tuple[object, ...]:
    return () if value is None else (value.shape, value.stride(), value.storage_offset(), value.dtype)


def _layers_of(network: nn.Module) -> Layers:
    return [module.__dict__ for child in network.children() for module in child.modules()]
