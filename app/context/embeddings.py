"""Embeddings by the names that prompts call them by."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from app.errors import AppError
from app.store.folders import Folders
from app.weights.fill import check_values
from app.weights.opening import open_weights

log = logging.getLogger(__name__)

ENDINGS = (".safetensors", ".pt", ".bin")
LARGEST = 256 << 20  # bytes; an embedding of a hundred vectors for every tower has one or two million


@dataclass(frozen=True, slots=True)
class EmbeddingFolder:
    """See `EmbeddingFiles`: called with a name, with or without its ending, gives the tensors of that file.

    The name may tell the folder below models/embeddings, or leave it out. Raises UnusableFile for a damaged file, and
    for values that are not numbers.
    """

    folders: Folders

    def __call__(self, name: str) -> Mapping[str, Tensor] | None:
        path = self.path(name)
        if path is None:
            return None
        if path.stat().st_size > LARGEST:
            log.warning("The file %r is too large for an embedding; it is left out of the prompt.", path.name)
            return None
        tensors = {key: stored.read() for key, stored in open_weights(path).tensors.items()}
        for key, value in tensors.items():
            check_values(value, torch.float32, path.name, key)
        return tensors

    def path(self, name: str) -> Path | None:
        """The file of that name, None where there is none."""
        known = self.folders.names("embeddings")
        wanted = name.replace("\\", "/")
        candidates = [wanted, *(wanted + ending for ending in ENDINGS)]
        found = next((each for each in candidates if each in known), None) or next(
            (each for each in known if PurePosixPath(each).name in candidates), None
        )
        try:
            return self.folders.model("embeddings", found) if found and wanted else None
        except AppError:
            return None  # it went away since the list was made
