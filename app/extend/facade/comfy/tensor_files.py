"""Files of tensors for packs: safetensors, and pickled files through the restricted reader only."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from app.errors import UnusableFile
from app.weights.opening import open_weights
from app.weights.tensor_file import open_tensors, save_tensors

SAFE = (".safetensors", ".sft")


def load_torch_file(ckpt: str, safe_load: bool = False, device: Any = None, return_metadata: bool = False) -> Any:
    """The tensors of a file by name, with `return_metadata` together with its header's texts (None without any).

    A pickled file may hold tensors and plain containers; anything else in it is refused, whatever `safe_load` says.

    Raises:
        UnusableFile: damaged, foreign, or more than tensors.
    """
    path = Path(ckpt)
    if path.suffix.lower() in SAFE:
        tensors, metadata = _safe(path, device)
    else:
        tensors, metadata = _pickled(path, device), None
    return (tensors, metadata) if return_metadata else tensors


def _safe(path: Path, device: Any) -> tuple[dict[str, Tensor], dict[str, str] | None]:
    try:
        with open_tensors(path) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            metadata = file.metadata()
    except (SafetensorError, OSError) as broken:
        raise UnusableFile(f"The file {path.name!r} cannot be read: {broken}.", remedy="Copy it again.") from broken
    if device is not None:
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    return tensors, metadata


def _pickled(path: Path, device: Any) -> dict[str, Tensor]:
    """The tensors of a pickled file, wherever in it they lie; nothing in it is run."""
    tensors = {name: stored.read() for name, stored in open_weights(path).tensors.items()}
    return tensors if device is None else {name: tensor.to(device) for name, tensor in tensors.items()}


def save_torch_file(sd: Mapping[str, Tensor], ckpt: str, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as a safetensors file."""
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sd.items()}
    save_tensors(whole, Path(ckpt), dict(metadata or {}))


def safetensors_header(safetensors_path: str, max_size: int = 100 << 20) -> bytes | None:
    """The header of a safetensors file as JSON, None if it says to be longer than `max_size`."""
    with open(safetensors_path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return None if length > max_size else file.read(length)
