"""Files mapped into memory, and memory for what is converted from them."""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

ALIGNMENT = 64  # bytes; what vector instructions like best
LARGE = 32 << 20  # bytes from which on large pages are worth asking for
LARGE_PAGE = 2 << 20  # bytes


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


class Block:
    """One piece of memory that tensors are cut from, in large pages where the system has them.

    Fresh memory in small pages costs three times as much as the conversion that fills it. Where no large ones are
    free, the system would spend seconds on making some, so small ones are taken.
    """

    def __init__(self, size: int) -> None:
        self._raw = self._reserve(size)
        self._used = 0

    @staticmethod
    def room(count: int, dtype: torch.dtype) -> int:
        """The bytes that a tensor of so many numbers takes in a block."""
        return -(-count * dtype.itemsize // ALIGNMENT) * ALIGNMENT

    def tensor(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """The next tensor, not filled. Raises ValueError when the block is used up."""
        count = int(torch.Size(shape).numel())
        end = self._used + self.room(count, dtype)
        if end > len(self._raw):
            raise ValueError(f"a block of {len(self._raw)} bytes is used up")
        part = self._raw[self._used : self._used + count * dtype.itemsize].view(dtype).view(shape)
        self._used = end
        return part

    @staticmethod
    def _reserve(size: int) -> Tensor:
        if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE") or large_pages_free() < size:
            return torch.empty(size, dtype=torch.uint8)
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without large pages; small ones do as well
            memory.madvise(mmap.MADV_HUGEPAGE)
        return torch.frombuffer(memory, dtype=torch.uint8)


def large_pages_free(table: Path = Path("/proc/buddyinfo")) -> int:
    """Bytes that Linux has free in pieces of two MiB and more; 0 where it does not tell."""
    try:
        lines = table.read_text("ascii").splitlines()
        pieces = [[int(count) for count in line.split()[4:]] for line in lines]
    except (OSError, ValueError):
        return 0
    # Each column counts pieces of twice as many pages as the one before.
    return sum(
        count * mmap.PAGESIZE << order
        for counts in pieces
        for order, count in enumerate(counts)
        if mmap.PAGESIZE << order >= LARGE_PAGE
    )
