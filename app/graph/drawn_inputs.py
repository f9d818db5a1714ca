"""The inputs of a class as they are on one node of a saved workflow: its record says how far the dynamic ones grew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from app.graph.document import UiNode
from app.graph.dynamic_inputs import (
    CHOOSING,
    DYNAMIC,
    GROWING,
    MOST,
    MOST_DEPTH,
    OPENING,
    REPEATING,
    chosen_option,
    declared_inputs,
    grown_names,
    opening_socket,
    row_inputs,
    rows_of,
)
from app.graph.json_values import is_object
from app.graph.spec import InputSpec, NodeSpec


def drawn_spec(spec: NodeSpec, node: UiNode, widgets: Callable[[InputSpec], int]) -> NodeSpec:
    """The class with every dynamic input as those that it stands for on this node, in the order of their values.

    `widgets` says how many values an input has in the file. The input of rows stays, for the file has their number.
    """
    if not any(port.type in DYNAMIC for port in spec.inputs):
        return spec
    reader = _Reader(node, widgets)
    ordered = sorted(spec.inputs, key=lambda port: port.section != "required")
    return replace(spec, inputs=tuple(each for port in ordered for each in reader.read(port, port, 0)))


class _Reader:
    """Goes through a node's values; `at` is the place of the next one in the list."""

    def __init__(self, node: UiNode, widgets: Callable[[InputSpec], int]):
        self.node = node
        self.widgets = widgets
        self.at = 0
        self.linked = {socket.name for socket in node.inputs if socket.link is not None}

    def read(self, port: InputSpec, owner: InputSpec, depth: int) -> Iterator[InputSpec]:
        """What one input stands for; all of it has its place where the class declares `owner`."""
        if port.type == GROWING:
            template = port.options.get("template")
            names = grown_names(template) if is_object(template) else []
            like = next(declared_inputs(template.get("input"), ""), None) if is_object(template) else None
            for name in names if like is not None else ():
                if f"{port.name}.{name}" in self.linked and like is not None:
                    yield replace(like, name=f"{port.name}.{name}", options={**like.options, "forceInput": True})
        elif port.type == REPEATING:
            yield from self._rows(port, owner, depth)
        elif port.type in (CHOOSING, OPENING):
            yield from self._opened(port, owner, depth)
        else:
            self.at += self.widgets(port)
            yield replace(port, section=owner.section)

    def _opened(self, port: InputSpec, owner: InputSpec, depth: int) -> Iterator[InputSpec]:
        """A choice or a socket, and what it brings."""
        if port.type == OPENING:
            yield replace(opening_socket(port), section=owner.section)
            option = port.options if port.name in self.linked else None
        else:
            combo, option = chosen_option(port, self._stored(port.name))
            if option is None and isinstance(combo.type, tuple):
                first = port.options.get("default", combo.type[0] if combo.type else None)
                option = chosen_option(port, first)[1]
            self.at += 1
            yield replace(combo, section=owner.section)
        if option is not None and depth < MOST_DEPTH:
            for each in declared_inputs(option.get("inputs"), f"{port.name}."):
                yield from self.read(each, owner, depth + 1)

    def _rows(self, port: InputSpec, owner: InputSpec, depth: int) -> Iterator[InputSpec]:
        """The number of rows, and their inputs."""
        count = self._stored(port.name)
        self.at += 1
        yield replace(port, section=owner.section)
        fewest, _ = rows_of(port)
        given = int(count) if isinstance(count, int | float) and 0 <= count <= MOST else fewest
        for row in range(max(fewest, given)):
            for each in row_inputs(port, row):
                yield from self.read(each, owner, depth + 1)

    def _stored(self, name: str) -> Any:
        named, values = self.node.named_values, self.node.values
        if named is not None and name in named:
            return named[name]
        if isinstance(values, dict):
            return values.get(name)
        return values[self.at] if self.at < len(values) else None
