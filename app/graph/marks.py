"""Marks in titles of nodes, by which a saved graph says what programs may set and what they are given.

`input:prompt` and `output:picture` are marks; `input:seed@seed, steps@steps; output:picture` is three of them. Titles
survive in every editor and in both kinds of file, and everybody sees what is offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from app.errors import InvalidRequest

MarkKind = Literal["input", "output"]

_KINDS: tuple[MarkKind, ...] = ("input", "output")
_NAME = re.compile(r"[\w .-]{1,64}")


@dataclass(frozen=True, slots=True)
class Mark:
    """A name under which something of a node is offered; `widget` says which of its values, "" for the first."""

    kind: MarkKind
    name: str
    widget: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" + (f"@{self.widget}" if self.widget else "")


def marks_of(title: str) -> list[Mark]:
    """The marks in a title; none where it does not begin with one.

    Raises:
        InvalidRequest: a mark without a name, or with one that cannot be used.
    """
    found: list[Mark] = []
    for section in title.split(";"):
        kind, rest = _begun(section.strip())
        if kind is None:
            if not found:
                return []
            raise _nameless(title, found[0].kind)
        for part in rest.split(","):
            name, _, widget = part.strip().partition("@")
            if not _NAME.fullmatch(name):
                raise _nameless(title, kind)
            found.append(Mark(kind, name, widget.strip()))
    return found


def full_names(offers: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A name for each (name, node id), in their order.

    Where copies of a subgraph offer the same, each name begins with its copy's place: `5.prompt` and `6.prompt`.
    """
    places: dict[str, set[str]] = {}
    for name, node_id in offers:
        places.setdefault(name, set()).add(_place(node_id))
    for name, node_id in offers:
        place = _place(node_id)
        yield f"{place}.{name}" if len(places[name]) > 1 and place else name


def given_twice(name: str, first: str, second: str) -> InvalidRequest:
    """Two nodes offer different things under one name."""
    return InvalidRequest(f"Nodes {first} and {second} both offer {name!r}.", remedy="Rename one of them.")


def _place(node_id: str) -> str:
    return node_id.rpartition(":")[0].replace(":", ".")


def _begun(section: str) -> tuple[MarkKind | None, str]:
    for kind in _KINDS:
        if section.lower().startswith(f"{kind}:"):
            return kind, section[len(kind) + 1 :]
    return None, ""


def _nameless(title: str, kind: MarkKind) -> InvalidRequest:
    return InvalidRequest(f"{title[:80]!r} offers no name.", remedy=f"Title the node {kind}:NAME.")
