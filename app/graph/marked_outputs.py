"""Outputs that a saved graph gives to programs by name: nodes titled `output:NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.errors import InvalidRequest
from app.graph.marks import full_names, given_twice, marks_of
from app.graph.prompt import Prompt
from app.graph.spec import NodeSpec


@dataclass(frozen=True, slots=True)
class MarkedOutput:
    """What a node shows, under a name."""

    name: str
    node_id: str
    class_type: str
    description: str = ""


def marked_outputs(prompt: Prompt, specs: Mapping[str, NodeSpec]) -> tuple[MarkedOutput, ...]:
    """What the graph gives, in the order of its nodes.

    Raises:
        InvalidRequest: a mark on a node that shows nothing, or a name that is given twice.
    """
    found: list[MarkedOutput] = []
    for node in prompt.nodes.values():
        for mark in marks_of(node.title):
            if mark.kind != "output":
                continue
            spec = specs.get(node.class_type)
            if spec is None or not spec.output_node:
                raise InvalidRequest(
                    f"Node {node.id} ({node.class_type}) is to give {mark.name!r}, but shows nothing.",
                    remedy="Put the mark on a node that saves or shows, such as Save Image.",
                )
            found.append(MarkedOutput(mark.name, node.id, node.class_type, spec.help.partition("\n")[0]))
    named: dict[str, MarkedOutput] = {}
    for name, each in zip(full_names([(each.name, each.node_id) for each in found]), found, strict=True):
        if name in named:
            raise given_twice(name, named[name].node_id, each.node_id)
        named[name] = replace(each, name=name)
    return tuple(named.values())
