"""Files mapped into memory.

A mapping shows what others write into the file, and bytes that the file has lost end the process that reads them. So
whoever reads asks first whether the file is as it was when it was opened.
"""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path

import torch
from torch import Tensor

from app.errors import UnusableFile

# Device, number, size and last writing: what tells a file from others and from what it was.
Stamp = tuple[int, int, int, int]


class MappedFile:
    """The bytes of a file as tensors that share its pages; writing into one changes the tensor, never the file."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, ValueError for a file that cannot be mapped, such as an empty one."""
        file = path.open("rb", buffering=0)
        weakref.finalize(self, file.close)
        self.name, self._file = path.name, file
        # Before the mapping: what is written between the two is noticed.
        self.stamp = _stamp_of(os.fstat(file.fileno()))
        self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._address = torch.frombuffer(self.data, dtype=torch.uint8, count=1).data_ptr()

    @property
    def is_changed(self) -> bool:
        """Whether somebody has written into the file since it was opened. Another one in its place does not matter."""
        return _stamp_of(os.fstat(self._file.fileno())) != self.stamp

    def check(self) -> None:
        """Raises UnusableFile if somebody has written into the file since it was opened."""
        if self.is_changed:
            raise changed_file(self.name)

    def holds(self, tensor: Tensor) -> bool:
        """Whether the tensor's values lie in the file's pages."""
        return tensor.device.type == "cpu" and 0 <= tensor.data_ptr() - self._address < len(self.data)

    def flat(self, begin: int, count: int, dtype: torch.dtype) -> Tensor:
        """`count` numbers from a byte on. Raises UnusableFile for a file that has been changed."""
        self.check()
        if not count:
            return torch.empty(0, dtype=dtype)
        raw = torch.frombuffer(self.data, dtype=torch.uint8, count=count * dtype.itemsize, offset=begin)
        return (raw if begin % dtype.itemsize == 0 else raw.clone()).view(dtype)

    def forget(self, begin: int, size: int) -> None:
        """Let go of the whole pages between two bytes that were read and are not needed soon. They can be read again.

        Only for bytes that nobody has written to.
        """
        first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (begin + size) // mmap.PAGESIZE * mmap.PAGESIZE - first
        if length > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self.data.madvise(mmap.MADV_DONTNEED, first, length)


def stamp_of(path: Path) -> Stamp:
    """What a file is now, to be compared with `MappedFile.stamp`. Raises OSError."""
    return _stamp_of(path.stat())


def changed_file(name: str) -> UnusableFile:
    """The error for a file that was written into while it was in use."""
    return UnusableFile(
        f"The file {name!r} was written into while it was in use, so that weights of two versions would be mixed.",
        remedy="Run again: the file is read anew. To exchange a file in use, rename a finished one into its place.",
    )


def _stamp_of(facts: os.stat_result) -> Stamp:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
