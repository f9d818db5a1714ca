"""Tensors in files, named and measured but not read yet; what changes names or values is a function on tables of them.

Reading maps the file into memory, so nothing is copied before it is converted, and pages never used are never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from app.errors import UnusableFile
from app.weights.header import read_header
from app.weights.tensor_file import open_mapped


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in a file. `read` gives it on the CPU, in the file's own precision."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


Tensors = Mapping[str, Stored]
Shapes = Mapping[str, tuple[int, ...]]

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
        Missing, UnusableFile: no file, a damaged or foreign one.
    """
    header = read_header(path)
    try:
        file = open_mapped(path)
    except (SafetensorError, OSError) as error:
        raise UnusableFile(
            f"The file {path.name!r} cannot be read: {error}.", remedy="Copy or download it again."
        ) from error
    tensors = {
        name: Stored(entry.shape, lambda name=name: file.get_tensor(name)) for name, entry in header.tensors.items()
    }
    return WeightsFile(path.name, dequantised(tensors), header.metadata)


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
    return Stored(weight.shape, lambda: weight.read().to(torch.float32) * scale.read().to(torch.float32))
