"""Tensors in files, named and measured but not read yet; what changes names or values is a function on tables of them.

Reading maps the file into memory, so nothing is copied before it is converted, and pages never used are never read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.diffusion.models.block_formats import BlockFormat
from app.errors import UnusableFile
from app.weights.header import TensorEntry, read_header
from app.weights.mapped import MappedFile, changed_file, stamp_of


def _keep() -> None:
    """What is in memory anyway stays there."""


@dataclass(frozen=True, slots=True)
class StoredBlocks:
    """The blocks that hold a tensor's values in their order; `read` gives them, (N, B) uint8, on the CPU."""

    format: BlockFormat
    read: Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in a file. `read` gives it on the CPU, in the file's own precision.

    `forget` lets go of the file's pages once the values were copied elsewhere; `is_derived` says that they are not
    in a file, but made at each reading. `scaled` are the weight in 8 bits and its scale that they are made of,
    `blocks` those of a few bits. `file` is where values are that are not in memory.
    """

    shape: tuple[int, ...]
    read: Callable[[], Tensor]
    forget: Callable[[], None] = _keep
    is_derived: bool = False
    scaled: tuple[Stored, Stored] | None = None
    blocks: StoredBlocks | None = None
    file: MappedFile | None = None


Tensors = Mapping[str, Stored]
Shapes = Mapping[str, tuple[int, ...]]

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
FP8_SCALE, FP8_SCALES = ".scale_weight", (".scale_weight", ".scale_input", "scaled_fp8")


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file's name for messages, its tensors, and the texts in its header."""

    name: str
    tensors: Tensors
    metadata: Mapping[str, str]


def open_safetensors(path: Path) -> WeightsFile:
    """The tensors of a safetensors file.

    Raises:
        Missing, UnusableFile: no file, a damaged or foreign one, or one that is being exchanged now.
    """
    before = stamp_of(path) if path.is_file() else None
    header = read_header(path)
    file = MappedFile(path)
    if file.stamp != before:  # the header may be another one's
        raise changed_file(path.name)
    begin = header.begin
    tensors = {name: _stored(file, begin, entry, name, path.name) for name, entry in header.tensors.items()}
    return WeightsFile(path.name, dequantised(tensors), header.metadata)


def _stored(file: MappedFile, first: int, entry: TensorEntry, name: str, file_name: str) -> Stored:
    dtype, count = DTYPES.get(entry.dtype), math.prod(entry.shape)
    if dtype is None:
        raise UnusableFile(
            f"In {file_name!r} the tensor {name!r} is stored as {entry.dtype}, which is not read.",
            remedy=f"Read are {', '.join(DTYPES)}.",
        )
    if count * dtype.itemsize != entry.end - entry.begin or min(entry.shape, default=0) < 0:
        raise UnusableFile(
            f"In {file_name!r} the tensor {name!r} of shape {list(entry.shape)} has {entry.end - entry.begin} bytes.",
            remedy="The file is damaged; copy or download it again.",
        )
    begin = first + entry.begin
    return Stored(
        entry.shape,
        lambda: file.flat(begin, count, dtype).view(entry.shape),
        lambda: file.forget(begin, entry.end - entry.begin),
        file=file,
    )


def shapes_of(tensors: Tensors) -> Shapes:
    """The shapes alone."""
    return {name: stored.shape for name, stored in tensors.items()}


def below(prefix: str, tensors: Tensors) -> dict[str, Stored]:
    """The tensors whose names begin with the prefix, without it."""
    return {name[len(prefix) :]: stored for name, stored in tensors.items() if name.startswith(prefix)}


def held(tensors: Mapping[str, Tensor]) -> dict[str, Stored]:
    """Tensors that are in memory already, as if they were in a file."""
    return {name: Stored(tuple(value.shape), lambda value=value: value) for name, value in tensors.items()}


def dequantised(tensors: Tensors) -> dict[str, Stored]:
    """Weights stored as float8 with a scale beside them, multiplied out; without any, the same table."""
    scaled = {name.removesuffix(FP8_SCALE) + ".weight": name for name in tensors if name.endswith(FP8_SCALE)}
    return {
        name: _multiplied(stored, tensors[scaled[name]]) if name in scaled else stored
        for name, stored in tensors.items()
        if not name.endswith(FP8_SCALES)
    }


def _multiplied(weight: Stored, scale: Stored) -> Stored:
    return Stored(
        weight.shape,
        lambda: weight.read().to(torch.float32) * scale.read().to(torch.float32),
        is_derived=True,
        scaled=(weight, scale),
    )
