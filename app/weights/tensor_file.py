"""Files of named tensors, with the types that the safetensors library leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

from safetensors import safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]  (half of its hints are missing)
from torch import Tensor


class TensorFile(Protocol):
    """An open file; tensors are read from it one by one."""

    def metadata(self) -> dict[str, str] | None:
        """The texts in its header, None without any."""
        ...

    def keys(self) -> list[str]:
        """The names of its tensors."""
        ...

    def get_tensor(self, name: str) -> Tensor:
        """One tensor, on the CPU."""
        ...


def open_tensors(path: Path) -> AbstractContextManager[TensorFile]:
    """The file, open as long as the context lasts.

    Raises:
        SafetensorError, OSError: a damaged or foreign file, or none.
    """
    return cast("AbstractContextManager[TensorFile]", safe_open(path, framework="pt"))


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write contiguous tensors that share no memory, and texts for the header."""
    save_file(dict(tensors), path, dict(metadata))
