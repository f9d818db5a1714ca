"""Reads what `torch.save` writes (.ckpt, .pt, .pth, .bin) without running any of it.

A pickle is a program. This machine for it knows numbers, texts, plain containers and tensors, and nothing else: a name
that it does not know may be mentioned (training leaves such traces) but never called. Tensors stay in the file.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import torch
from torch import Tensor

from app.weights.mapped import MappedFile
from app.weights.stored import Stored

LIMIT = 20_000_000  # steps of the machine; a full checkpoint of Stable Diffusion takes about a hundred thousand


class Refused(Exception):
    """A pickle that is damaged, or asks for more than tensors and plain containers."""


@dataclass(frozen=True, slots=True)
class Name:
    """Something that the file mentions by module and name."""

    text: str


@dataclass(frozen=True, slots=True)
class Inert:
    """What would have come of a harmless call that no weights need."""

    name: Name


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of numbers of one type: `load` gives them as a flat tensor, of a `file` if they are in one."""

    dtype: torch.dtype
    length: int
    load: Callable[[], Tensor]
    file: MappedFile | None = None


_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
    "Float8_e4m3fnStorage": torch.float8_e4m3fn,
    "Float8_e5m2Storage": torch.float8_e5m2,
}
_CONTAINERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": dict,
    "builtins.dict": dict,
    "builtins.list": list,
    "builtins.tuple": tuple,
    "builtins.set": set,
    "torch.Size": tuple,
}
# Numbers that training has left in numpy's form; no weights depend on them.
_INERT = {
    "torch.device",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
}
_MARK = object()
Opener = Callable[[torch.dtype, str, int], Storage]


def storage_type(name: Name) -> torch.dtype:
    """The number type of a storage class. Raises Refused for any other class."""
    module, _, kind = name.text.rpartition(".")
    if module not in ("torch", "torch.storage", "torch.cuda") or kind not in _STORAGES:
        raise Refused(f"it keeps numbers in {name.text!r}")
    return _STORAGES[kind]


def unpickle(file: IO[bytes], open_storage: Opener) -> Any:
    """The value that the next pickle in the file describes; tensors in it are `Stored`.

    `open_storage(dtype, key, length)` finds a storage.

    Raises:
        Refused: see there.
    """
    machine = _Machine(open_storage)
    try:
        for steps, (opcode, argument, _) in enumerate(cast("Iterable[Any]", pickletools.genops(file))):
            if steps > LIMIT:
                raise Refused("it is endless")
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except Refused:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise Refused(f"it is damaged ({error})") from error
    raise Refused("it ends too early")


class _Machine:
    """The stack and the memory of a pickle's program."""

    def __init__(self, open_storage: Opener) -> None:
        self.stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self._open_storage = open_storage
        self._actions: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self.stack.append(_MARK),
            "POP": lambda _: self._pop_one(),
            "POP_MARK": lambda _: self._drop(),
            "DUP": lambda _: self.stack.append(self.stack[-1]),
            "NONE": lambda _: self.stack.append(None),
            "NEWTRUE": lambda _: self.stack.append(True),
            "NEWFALSE": lambda _: self.stack.append(False),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_TUPLE": lambda _: self.stack.append(()),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_SET": lambda _: self.stack.append(set()),
            "LIST": lambda _: self.stack.append(self._take()),
            "TUPLE": lambda _: self.stack.append(tuple(self._take())),
            "DICT": lambda _: self.stack.append(dict(_pairs(self._take()))),
            "FROZENSET": lambda _: self.stack.append(frozenset(self._take())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "APPEND": lambda _: self._extend([self.stack.pop()]),
            "APPENDS": lambda _: self._extend(self._take()),
            "ADDITEMS": lambda _: self._add(self._take()),
            "SETITEM": lambda _: self._set([*self._pop(2)]),
            "SETITEMS": lambda _: self._set(self._take()),
            "GLOBAL": lambda name: self.stack.append(Name(name.replace(" ", ".", 1))),
            "STACK_GLOBAL": lambda _: self.stack.append(Name(".".join(str(part) for part in self._pop(2)))),
            "REDUCE": lambda _: self.stack.append(self._call(*self._pop(2))),
            "NEWOBJ": lambda _: self.stack.append(self._call(*self._pop(2))),
            "BUILD": lambda _: self._build(),
            "BINPERSID": lambda _: self.stack.append(self._storage(self.stack.pop())),
            "MEMOIZE": lambda _: self._memory.__setitem__(len(self._memory), self.stack[-1]),
        }
        for name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._actions[name] = lambda key: self._memory.__setitem__(int(key), self.stack[-1])
        for name in ("GET", "BINGET", "LONG_BINGET"):
            self._actions[name] = lambda key: self.stack.append(self._memory[int(key)])

    def step(self, name: str, argument: Any) -> None:
        """Do one thing."""
        if name in ("PROTO", "FRAME"):
            return
        if action := self._actions.get(name):
            action(argument)
        elif isinstance(argument, int | float | str | bytes) and not name.startswith(("EXT", "PERSID", "INST")):
            self.stack.append(argument)
        else:
            raise Refused(f"it uses the instruction {name}")

    def _pop_one(self) -> None:
        self.stack.pop()

    def _drop(self) -> None:
        self._take()

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise Refused("it is damaged (an empty stack)")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _take(self) -> list[Any]:
        """Everything above the last mark, and the mark away."""
        taken: list[Any] = []
        while (top := self.stack.pop()) is not _MARK:
            taken.append(top)
        return taken[::-1]

    def _tuple(self, count: int) -> None:
        self.stack.append(tuple(self._pop(count)))

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            cast("list[Any]", self.stack[-1]).extend(items)
        elif not isinstance(self.stack[-1], Inert):
            raise Refused("it appends to what is no list")

    def _add(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], set):
            raise Refused("it adds to what is no set")
        cast("set[Any]", self.stack[-1]).update(items)

    def _set(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            cast("dict[Any, Any]", self.stack[-1]).update(_pairs(items))
        elif not isinstance(self.stack[-1], Inert):
            raise Refused("it sets entries of what is no table")

    def _build(self) -> None:
        """Attributes of objects: of a table they are torch's notes on versions, of the rest nothing is wanted."""
        target, _ = self._pop(2)
        if not isinstance(target, dict | Inert | Stored):
            raise Refused(f"it changes a {type(target).__name__}")
        self.stack.append(target)

    def _call(self, name: Any, arguments: Any) -> Any:
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise Refused("it calls what is no name")
        given = cast("tuple[Any, ...]", arguments)
        if name.text in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return _tensor(*given[:4])
        if name.text == "torch._utils._rebuild_parameter":
            return given[0]
        if name.text == "torch._tensor._rebuild_from_type_v2":
            return self._call(given[0], given[2])
        plain = name.text.replace("__builtin__.", "builtins.")
        if plain == "collections.defaultdict":
            return {}
        if plain in _CONTAINERS:
            return _CONTAINERS[plain](*given[:1])
        if plain in _INERT:
            return Inert(name)
        raise Refused(f"it would run {name.text!r}")

    def _storage(self, told: Any) -> Storage:
        kind, name, key, _, length = told[:5]
        if kind != "storage" or not isinstance(name, Name) or not isinstance(length, int) or length < 0:
            raise Refused("it is damaged (an unknown kind of storage)")
        return self._open_storage(storage_type(name), str(key), length)


def _pairs(items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    if len(items) % 2:
        raise Refused("it is damaged (a key without a value)")
    return zip(items[::2], items[1::2], strict=True)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Stored:
    """A view of a storage, once it is certain that it lies inside and is no larger."""
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, Storage) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise Refused("it is damaged (a tensor without numbers)")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    count = math.prod(shape)
    if count and (last >= storage.length or count > storage.length):
        raise Refused(f"it has a tensor of {count} numbers in a storage of {storage.length}")

    def read() -> Tensor:
        if not count:
            return torch.empty(shape, dtype=storage.dtype)
        return torch.as_strided(storage.load(), shape, strides, offset)

    return Stored(tuple(shape), read, file=storage.file)
