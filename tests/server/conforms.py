"""Does a value have a type? For JSON data and the typed dicts that describe it."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict


def faults(value: object, hint: Any, where: str = "") -> list[str]:
    """Each place at which a value is not what the type says; keys that a typed dict does not name are no fault."""
    if hint is Any:
        return []
    if is_typeddict(hint):
        return _of_dict(value, hint, where)
    origin, given = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [] if any(not faults(value, each) for each in given) else [f"{where} is {value!r}, none of {hint}"]
    if origin is Literal:
        return [] if value in given else [f"{where} is {value!r}, none of {given}"]
    if origin is list and isinstance(value, list):
        return [fault for at, item in enumerate(value) for fault in faults(item, given[0], f"{where}[{at}]")]
    if origin is tuple and isinstance(value, list):
        wrong = [] if len(value) == len(given) else [f"{where} has {len(value)} items, not {len(given)}"]
        for at, (item, each) in enumerate(zip(value, given, strict=False)):
            wrong += faults(item, each, f"{where}[{at}]")
        return wrong
    if origin is dict and isinstance(value, dict):
        return [fault for key, item in value.items() for fault in faults(item, given[1], f"{where}.{key}")]
    accepted = {float: (int, float), int: int}.get(hint, origin or hint)
    truth = isinstance(value, bool) and hint is not bool
    return [] if isinstance(value, accepted) and not truth else [f"{where} is {value!r}, not {hint}"]


def _of_dict(value: object, hint: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is {value!r}, no object"]
    found: list[str] = []
    for name, inner in get_type_hints(hint, include_extras=True).items():
        optional = get_origin(inner) is NotRequired
        if name in value:
            found += faults(value[name], get_args(inner)[0] if optional else inner, f"{where}.{name}")
        elif not optional:
            found.append(f"{where} lacks {name}")
    return found
