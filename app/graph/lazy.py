"""Inputs that are evaluated only when their node asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.graph.dynamic_inputs import ports_of
from app.graph.json_values import is_list
from app.graph.spec import NodeSpec


def lazy_inputs(spec: NodeSpec, inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """The lazy inputs of a node with these inputs, as they are declared; dynamic ones by their full names."""
    return tuple(port.name for port in ports_of(spec, inputs) if port.options.get("lazy"))


def still_open(spec: NodeSpec, inputs: Mapping[str, Any], names: Iterable[str] | None = None) -> tuple[str, ...]:
    """Those of `names`, or of all lazy inputs, that a call has no value for yet: None, or [None] among lists."""
    wanted = lazy_inputs(spec, inputs) if names is None else names
    return tuple(name for name in wanted if _is_open(inputs.get(name), spec.input_is_list))


def _is_open(value: object, lists: bool) -> bool:
    return value is None or (lists and is_list(value) and len(value) == 1 and value[0] is None)
