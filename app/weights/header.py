"""A safetensors header, read and checked before anything is mapped. No tensor library is needed for it.

The format: eight bytes little-endian length, that many bytes of JSON, then the tensors' bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import Missing, UnusableFile

LONGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """What the header says of one tensor; `begin` and `end` count from the first byte after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """The tensors by name, the file's free-form metadata, and the byte at which the tensors begin."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    begin: int = 0


def read_header(path: Path) -> Header:
    """The checked header of a safetensors file.

    Raises:
        Missing: no such file.
        UnusableFile: not safetensors, or cut short.
    """
    if not path.is_file():
        raise Missing(f"There is no file {path.name!r}.", remedy="Choose one of the files that the list offers.")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            raise _foreign(path, f"its header would be {length} bytes long in a file of {size}")
        try:
            data = json.loads(file.read(length))
            metadata = {str(k): str(v) for k, v in data.pop("__metadata__", {}).items()}
            tensors = {name: _entry(entry) for name, entry in data.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _foreign(path, "its header is not a table of tensors") from error
    missing = max((entry.end for entry in tensors.values()), default=0) - (size - 8 - length)
    if missing > 0:
        raise UnusableFile(
            f"The file {path.name!r} is cut short: {missing} bytes are missing.",
            remedy="Copy or download it again; compare its size with the original.",
        )
    return Header(tensors, metadata, 8 + length)


def _entry(data: Mapping[str, Any]) -> TensorEntry:
    begin, end = (int(offset) for offset in data["data_offsets"])
    if begin < 0 or end < begin:
        raise ValueError("offsets out of order")
    return TensorEntry(str(data["dtype"]), tuple(int(side) for side in data["shape"]), begin, end)


def _foreign(path: Path, why: str) -> UnusableFile:
    return UnusableFile(
        f"The file {path.name!r} is no safetensors file: {why}.",
        remedy="Choose a checkpoint in safetensors format.",
    )
