"""Weights in another precision or order, in one pass over their memory."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable

import torch
from torch import Tensor

PIECE = 1 << 20  # numbers at a time, so that what one operation writes is in cache when the next one reads it
SMALLEST_ROOM = 4 << 20  # bytes; below, what the allocator gives is as good


def nothing() -> None:
    """What is done where nothing is to be done."""


def converted(
    source: Tensor, dtype: torch.dtype, *, channels_last: bool = False, before: Callable[[], None] = nothing
) -> Tensor:
    """The values in `dtype`, in memory of their own.

    With `channels_last`, a kernel (O, I, H, W) lies in memory as (O, H, W, I); its shape stays. `before` is called
    before each piece is read.
    """
    if channels_last and source.dim() == 4:
        rows = source.flatten(2).transpose(1, 2)  # (O, H·W, I)
        out = _filled(rows, dtype, before)
        return torch.unflatten(out.transpose(1, 2), 2, source.shape[2:])
    return _filled(source, dtype, before)


def room(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Memory for a tensor, not filled; much of it in large pages, which are had and read in a third of the time."""
    count = math.prod(shape)
    if count * dtype.itemsize < SMALLEST_ROOM or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(shape, dtype=dtype)
    memory = mmap.mmap(-1, count * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        memory.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        return torch.empty(shape, dtype=dtype)  # a kernel without them
    return torch.frombuffer(memory, dtype=dtype, count=count).view(shape)


def _filled(source: Tensor, dtype: torch.dtype, before: Callable[[], None]) -> Tensor:
    """A contiguous copy, piece by piece along the first dimension."""
    out = room(tuple(source.shape), dtype)
    before()
    if source.dim() == 0 or source.numel() <= PIECE:
        return out.copy_(source)
    # PyTorch has no quick way between the two halves, but one from either to float32 and back.
    between = torch.float32 if {source.dtype, dtype} == {torch.float16, torch.bfloat16} else None
    rows = max(1, PIECE // source[0].numel())
    for piece, place in zip(torch.split(source, rows), torch.split(out, rows), strict=True):
        before()
        ordered = piece.contiguous()  # in the few bytes of its own precision first
        place.copy_(ordered if between is None else ordered.to(between))
    return out
