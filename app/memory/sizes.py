"""How many bytes a value of the graph holds, models included."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

MAX_ITEMS = 100_000
SCALARS = frozenset({int, float, bool, str, type(None)})


def size_of(value: Any) -> int:
    """Bytes held by a value; what several parts of it share is counted once, memory behind several tensors too."""
    total = 0
    seen: set[int] = set()
    storages: set[int] = set()
    stack = [value]
    while stack and len(seen) < MAX_ITEMS:
        item = stack.pop()
        if type(item) in SCALARS:
            total += sys.getsizeof(item)
            continue
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, nn.Module):
            stack.extend((*item.parameters(), *item.buffers()))
        elif isinstance(item, Tensor):
            total += _new_bytes(item, storages)
        elif isinstance(item, Mapping):
            stack.extend(cast("Mapping[Any, Any]", item).values())
        elif isinstance(item, list | tuple | set | frozenset):
            stack.extend(cast("Iterable[Any]", item))
        elif is_dataclass(item) and not isinstance(item, type):
            stack.extend(getattr(item, field.name) for field in fields(item))
        else:
            total += sys.getsizeof(item, 0)
    return total


def _new_bytes(tensor: Tensor, storages: set[int]) -> int:
    """Bytes of the memory that a tensor keeps, if it was not counted before."""
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        return tensor.nbytes
    storage = tensor.untyped_storage()
    if storage.data_ptr() in storages:
        return 0
    storages.add(storage.data_ptr())
    return storage.nbytes()
