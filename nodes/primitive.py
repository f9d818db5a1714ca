"""Nodes that hold a value, or show one."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from app.api import Options, Port, Range, Returned, Text, node

LARGEST = 2**63 - 1
LONGEST = 4000


@node("Boolean", category="utils/primitive", id="PrimitiveBoolean")
def primitive_boolean(*, value: bool) -> bool:
    """Yes or no, for several inputs at once."""
    return value


@node("Float", category="utils/primitive", id="PrimitiveFloat")
def primitive_float(*, value: Annotated[float, Range(-LARGEST, LARGEST)]) -> float:
    """A number, for several inputs at once."""
    return value


@node("Int", category="utils/primitive", id="PrimitiveInt")
def primitive_int(*, value: Annotated[int, Range(-LARGEST, LARGEST), Options(control_after_generate=True)]) -> int:
    """A whole number, for several inputs at once."""
    return value


@node("String", category="utils/primitive", id="PrimitiveString")
def primitive_string(*, value: str) -> str:
    """A text, for several inputs at once."""
    return value


@node("String (Multiline)", category="utils/primitive", id="PrimitiveStringMultiline")
def primitive_string_multiline(*, value: Annotated[str, Text(multiline=True)]) -> str:
    """A text of several lines, for several inputs at once."""
    return value


@node("Preview Any", category="utils", id="PreviewAny", output_node=True, aliases=("show", "print", "inspect"))
def preview_any(*, source: Annotated[Any, Port("*")]) -> Returned:
    """Shows any value as text."""
    return Returned(ui={"text": [as_text(source)]})


def as_text(value: object) -> str:
    """A value as people read it; tensors by their shape, and never more than a page."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)}"
    return (value if isinstance(value, str) else str(value))[:LONGEST]
