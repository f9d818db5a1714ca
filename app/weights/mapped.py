"""Files mapped into memory."""

from __future__ import annotations

import mmap
from pathlib import Path

import torch
from torch import Tensor


class MappedFile:
    """The bytes of a file as tensors that share its pages; writing into one changes the tensor, never the file."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, ValueError for a file that cannot be mapped, such as an empty one."""
        with path.open("rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def flat(self, begin: int, count: int, dtype: torch.dtype) -> Tensor:
        """`count` numbers from a byte on."""
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
