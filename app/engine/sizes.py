"""How many bytes a value holds, without knowing what it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import cast

MAX_ITEMS = 100_000
PLAIN = frozenset({list, tuple})  # most of what there is, and they have no bytes of their own
SCALARS = frozenset({int, float, bool, str, type(None)})


def size_of(value: object) -> int:
    """Bytes held by a value: arrays and tensors say so themselves (`nbytes`), containers are walked once.

    Other objects count as what Python says of them alone; whoever knows models passes a better function to the cache.
    """
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
        if type(item) in PLAIN:
            total += sys.getsizeof(item)
            stack.extend(cast("Iterable[object]", item))
            continue
        held = getattr(item, "nbytes", None)
        if isinstance(held, int):
            total += held
            continue
        total += sys.getsizeof(item, 0)
        if isinstance(item, Mapping):
            stack.extend(cast("Mapping[object, object]", item).values())
        elif isinstance(item, list | tuple | set | frozenset):
            stack.extend(cast("Iterable[object]", item))
    return total
