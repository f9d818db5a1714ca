"""One server per user directory: a second one would take the first one's running jobs for lost."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType

from app.errors import Unavailable


class InstanceLock:
    """A lock on a file, held by the process and gone with it however it ends.

    Raises:
        Unavailable: on entering, when another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> InstanceLock:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock(self._descriptor)
        except OSError as held:
            os.close(self._descriptor)
            raise Unavailable(
                f"Another Latent Loom uses {self._path.parent}.", remedy="Close it, or use another --user-directory."
            ) from held
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
