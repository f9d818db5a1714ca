"""Files of `torch.save`: the zip archive of today and the older stream of pickles, as tables of tensors."""

from __future__ import annotations

import mmap
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import torch

from app.errors import UnusableFile
from app.weights.mapped import MappedFile
from app.weights.pickled import Name, Refused, Storage, unpickle
from app.weights.stored import Stored, WeightsFile, dequantised

T = TypeVar("T")

LONGEST_PICKLE = 256 << 20  # bytes; names and shapes of a large checkpoint take one or two MiB
MOST_ENTRIES, DEEPEST = 1_000_000, 16
MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER, the first value of the older format
LOCAL_HEADER = 30  # bytes before an entry's name in a zip file, whose own lengths stand at 26 and 28
WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params", "model", "module")


def open_archive(path: Path) -> WeightsFile:
    """The tensors of a file that `torch.save` has written, mapped into memory; nothing in the file is run.

    Raises:
        UnusableFile: damaged, foreign, or with something else than tensors and plain containers in it.
    """
    return WeightsFile(path.name, dequantised(_read(path, lambda value: dict(_flat(_unwrapped(value))))), {})


def archived_words(path: Path) -> Mapping[str, Any]:
    """The texts, numbers and truths that stand beside the tensors in the outermost table; raises as `open_archive`."""

    def words(value: Any) -> dict[str, Any]:
        table = cast("Mapping[Any, Any]", value if isinstance(value, Mapping) else {})
        return {_label(key): each for key, each in table.items() if isinstance(each, str | int | float | bool)}

    return _read(path, words)


def _read(path: Path, wanted: Callable[[Any], T]) -> T:
    try:
        file = MappedFile(path)
        return wanted(_read_zip(path, file) if file.data[:2] == b"PK" else _read_stream(file))
    except (Refused, zipfile.BadZipFile, ValueError, TypeError, KeyError, OSError, NotImplementedError) as error:
        raise UnusableFile(
            f"The file {path.name!r} is not read: {error}.",
            remedy="Only tensors are taken from such files. Get it in safetensors format, from someone you trust.",
        ) from error


def _read_zip(path: Path, file: MappedFile) -> Any:
    data = file.data
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise Refused("two of its parts have one name")
        roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise Refused("it is a zip archive without a table of tensors")
        root = roots[0]
        if f"{root}constants.pkl" in entries:
            raise Refused("it is a compiled program, not weights")
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise Refused("its numbers are in the order of another kind of processor")
        _, length = _place(entries[f"{root}data.pkl"], data)
        if length > LONGEST_PICKLE:
            raise Refused(f"its table of tensors is {length} bytes long")

        def open_storage(dtype: torch.dtype, key: str, length: int) -> Storage:
            begin, size = _place(entries[f"{root}data/{key}"], data)
            return _mapped(file, begin, size, dtype, length)

        with archive.open(f"{root}data.pkl") as pickle:
            return unpickle(pickle, open_storage)


def _place(info: zipfile.ZipInfo, data: mmap.mmap) -> tuple[int, int]:
    """Where an entry's bytes begin and how many there are; only entries that are not compressed have a place."""
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
        raise Refused("it is compressed, which weights never are")
    begin = info.header_offset
    name, extra = (int.from_bytes(data[begin + at : begin + at + 2], "little") for at in (26, 28))
    begin += LOCAL_HEADER + name + extra
    if begin + info.file_size > len(data):
        raise Refused(f"the part {info.filename!r} would end beyond the end of the file")
    return begin, info.file_size


@dataclass
class _Waiting:
    """Storages of the older format, whose places are only known after the table."""

    file: MappedFile
    lengths: dict[str, tuple[torch.dtype, int]] = field(default_factory=dict[str, tuple[torch.dtype, int]])
    places: dict[str, Storage] = field(default_factory=dict[str, Storage])

    def open(self, dtype: torch.dtype, key: str, length: int) -> Storage:
        """A storage that will find its numbers once it is read."""
        if self.lengths.setdefault(key, (dtype, length)) != (dtype, length):
            raise Refused(f"it tells two sizes of the storage {key!r}")
        return Storage(dtype, length, lambda: self.places[key].load(), self.file)


def _read_stream(file: MappedFile) -> Any:
    """The older format: magic number, version, facts of the machine, value, keys, and the numbers of each key."""
    data = file.data
    stream = cast("IO[bytes]", data)
    waiting = _Waiting(file)
    if unpickle(stream, waiting.open) != MAGIC:
        raise Refused("it is a pickle that holds no weights")
    unpickle(stream, waiting.open)
    unpickle(stream, waiting.open)
    value = unpickle(stream, waiting.open)
    for key in unpickle(stream, waiting.open):
        dtype, length = waiting.lengths[str(key)]
        told = int.from_bytes(data.read(8), "little")
        if told != length:
            raise Refused(f"the storage {key!r} has {told} numbers where {length} were told")
        waiting.places[str(key)] = _mapped(file, data.tell(), len(data) - data.tell(), dtype, length)
        data.seek(length * dtype.itemsize, 1)
    if missing := set(waiting.lengths) - set(waiting.places):
        raise Refused(f"the numbers of the storage {min(missing)!r} are missing")
    return value


def _mapped(file: MappedFile, begin: int, size: int, dtype: torch.dtype, length: int) -> Storage:
    if length * dtype.itemsize > size:
        raise Refused(f"{length * dtype.itemsize} bytes of numbers are told where there are {size}")
    return Storage(dtype, length, lambda: file.flat(begin, length, dtype), file)


def _unwrapped(value: Any) -> Any:
    """The table of weights inside the tables that training writes around it."""
    for _ in range(DEEPEST):
        if not isinstance(value, Mapping):
            break
        table = cast("Mapping[Any, Any]", value)
        inner: list[Any] = [table[key] for key in WRAPPERS if isinstance(table.get(key), Mapping)]
        if not inner:
            break
        value = inner[0]
    return cast("Any", value)


def _flat(value: Any) -> Iterator[tuple[str, Stored]]:
    """Every tensor by its dotted path."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    seen = 0
    while waiting:
        path, item, depth = waiting.pop()
        seen += 1
        if seen > MOST_ENTRIES or depth > DEEPEST:
            raise Refused("its tables are nested too deep")
        if isinstance(item, Stored):
            yield path, item
        elif isinstance(item, Mapping):
            entries = cast("Mapping[Any, Any]", item).items()
            waiting += [(f"{path}.{_label(key)}" if path else _label(key), part, depth + 1) for key, part in entries]
        elif isinstance(item, list | tuple):
            parts = enumerate(cast("list[Any]", item))
            waiting += [(f"{path}.{key}" if path else str(key), part, depth + 1) for key, part in parts]


def _label(key: Any) -> str:
    return key.text if isinstance(key, Name) else str(key)
