"""Writes the editor's types of what the server tells, from the server's own: python -m tests.web.generate_types"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from app.server import messages

TARGET = Path(__file__).parent.parent.parent / "web" / "core" / "protocol" / "types.d.ts"
_HEAD = "// Made from app/server/messages.py by `python -m tests.web.generate_types`; a test holds the two together.\n"
_PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", NoneType: "null", Any: "any"}


def declarations() -> str:
    """The text of the file."""
    found = [kind for kind in vars(messages).values() if is_typeddict(kind)]
    return _HEAD + "".join(f"\n{line}\n" for kind in found for line in ["\n".join(_interface(kind))])


def _interface(kind: Any) -> Iterator[str]:
    yield f"/** {' '.join((inspect.getdoc(kind) or '').split())} */"
    yield f"export interface {kind.__name__} {{"
    for name, hint in get_type_hints(kind, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        yield f"  {name}{'?' if optional else ''}: {type_text(get_args(hint)[0] if optional else hint)};"
    yield "}"


def type_text(hint: Any) -> str:
    """A Python type as TypeScript writes it.

    Raises:
        TypeError: one that JSON has nothing for.
    """
    origin, given = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        return hint.__name__
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin in (Union, UnionType):
        return " | ".join(type_text(each) for each in given)
    if origin is Literal:
        return " | ".join(f'"{each}"' for each in given)
    if origin is list:
        inner = type_text(given[0])
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if origin is dict:
        return f"Record<string, {type_text(given[1])}>"
    raise TypeError(f"{hint!r} has no counterpart in JSON")


if __name__ == "__main__":
    TARGET.write_text(declarations())
