"""Which output may be linked to which input."""

from __future__ import annotations

from app.graph.spec import Options

ANYTHING = "*"
COMBO = "COMBO"
INT, FLOAT = "INT", "FLOAT"
MATCH = "COMFY_MATCHTYPE_V3"  # a type that several ports of a node share; the editor checks it


def compatible(received: str | Options, expected: str | Options) -> bool:
    """Whether an output of type `received` may feed an input of type `expected`.

    Equal types match; "*" matches everything; types that list several names with commas match if they share one;
    a list of options matches the same list, and feeds any input that takes a combo by name.
    """
    if received == expected or ANYTHING in (received, expected):
        return True
    if isinstance(received, str) and isinstance(expected, str):
        given, wanted = type_names(received), type_names(expected)
        return not given.isdisjoint(wanted) or bool({ANYTHING, MATCH} & (given | wanted))
    return not isinstance(received, str) and expected == COMBO


def feeds(received: str | Options, expected: str | Options) -> bool:
    """Whether a link may join the two: they match, or a whole number goes where a real one is taken."""
    if compatible(received, expected):
        return True
    if not isinstance(received, str) or not isinstance(expected, str):
        return False
    return INT in type_names(received) and FLOAT in type_names(expected)


def type_names(kind: str) -> frozenset[str]:
    """The names in a type such as "IMAGE,MASK"."""
    return frozenset(name.strip() for name in kind.split(","))


def type_text(kind: str | Options) -> str:
    """A type as users read it."""
    return kind if isinstance(kind, str) else COMBO
