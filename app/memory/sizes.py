"""How many bytes a value of the graph holds, models included."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

from torch import Tensor, nn

from app.memory.residency import module_bytes

MAX_ITEMS = 100_000
SCALARS = frozenset({int, float, bool, str, type(None)})


def size_of(value: Any) -> int:
    """Bytes held by a value; what several parts of it share is counted once."""
    total = 0
    seen: set[int] = set()
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
            total += module_bytes(item)
        elif isinstance(item, Tensor):
            total += item.nbytes
        elif isinstance(item, Mapping):
            stack.extend(cast("Mapping[Any, Any]", item).values())
        elif isinstance(item, list | tuple | set | frozenset):
            stack.extend(cast("Iterable[Any]", item))
        elif is_dataclass(item) and not isinstance(item, type):
            stack.extend(getattr(item, field.name) for field in fields(item))
        else:
            total += sys.getsizeof(item, 0)
    return total
