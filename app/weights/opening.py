"""Any file of weights, told by its first bytes rather than its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import Missing
from app.weights.archive import archived_words, open_archive
from app.weights.gguf_file import open_gguf
from app.weights.stored import WeightsFile, open_safetensors


def open_weights(path: Path) -> WeightsFile:
    """The tensors of a safetensors or GGUF file, or of one that `torch.save` has written; nothing in it is run.

    Raises:
        Missing, UnusableFile: no file, a damaged or foreign one.
    """
    if not path.is_file():
        raise Missing(f"There is no file {path.name!r}.", remedy="Choose one of the files that the list offers.")
    with path.open("rb") as file:
        begin = file.read(9)
    if begin[:4] == b"GGUF":
        return open_gguf(path)
    return open_archive(path) if _is_archive(begin) else open_safetensors(path)


def words_of(path: Path) -> Mapping[str, Any]:
    """What a file says beside its tensors: texts of a header, or what `torch.save` was given besides.

    Raises:
        UnusableFile: a damaged or foreign file.
    """
    with path.open("rb") as file:
        begin = file.read(9)
    return archived_words(path) if _is_archive(begin) else open_safetensors(path).metadata


def _is_archive(begin: bytes) -> bool:
    # A safetensors file begins with a length, which may look like anything; its table begins after eight bytes.
    return begin[:2] == b"PK" or (begin[:1] == b"\x80" and begin[8:] != b"{")
