"""Checkpoints by name, kept in memory, read again when their file has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn

from app.errors import AppError
from app.memory.residency import Residency
from app.memory.sizes import size_of
from app.store.folders import Folders
from app.weights.checkpoint import Checkpoint, load_checkpoint

DEFAULT_BYTES = 32 << 30

Stamp = tuple[Path, int, int]


class LoadedModels:
    """See `protocol.Models`. The least recently used checkpoints leave once `max_bytes` are held."""

    def __init__(
        self,
        folders: Folders,
        residency: Residency,
        *,
        max_bytes: int = DEFAULT_BYTES,
        load: Callable[[Path], Checkpoint] = load_checkpoint,
    ):
        self._folders = folders
        self._residency = residency
        self._max_bytes = max_bytes
        self._load = load
        self._loaded: OrderedDict[Stamp, tuple[Checkpoint, int]] = OrderedDict()

    def checkpoint(self, name: str) -> Checkpoint:
        """See `protocol.Models`."""
        try:
            path = self._folders.model("checkpoints", name)
            stamp = stamp_of(path)
            if stamp not in self._loaded:
                self._keep(stamp, path)
        except AppError as error:
            error.input_name = error.input_name or "ckpt_name"
            raise
        self._loaded.move_to_end(stamp)
        return self._loaded[stamp][0]

    def on_device(self, *modules: nn.Module, working_bytes: int = 0) -> AbstractContextManager[None]:
        """See `protocol.Models`."""
        return self._residency.using(*modules, working_bytes=working_bytes)

    def clear(self) -> None:
        """Forget all checkpoints and empty the device."""
        self._residency.release()
        self._loaded.clear()

    def _keep(self, stamp: Stamp, path: Path) -> None:
        for old in [old for old in self._loaded if old[0] == path]:
            del self._loaded[old]
        with torch.inference_mode(False):  # weights stay usable for training, whoever loads them
            checkpoint = self._load(path)
        self._loaded[stamp] = (checkpoint, size_of(checkpoint))
        while len(self._loaded) > 1 and sum(size for _, size in self._loaded.values()) > self._max_bytes:
            self._loaded.popitem(last=False)


def stamp_of(path: Path) -> Stamp:
    """What differs when a file was replaced."""
    facts = path.stat()
    return path, facts.st_mtime_ns, facts.st_size
