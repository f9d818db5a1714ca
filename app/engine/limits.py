"""What comes over links, held against what a class declares, as validation does with what stands in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.engine.dynamic import DynamicPrompt
from app.engine.node import Blocker
from app.errors import InvalidPrompt
from app.graph.prompt import Link
from app.graph.spec import InputSpec, NodeSpec
from app.graph.values import is_combo, limits_links, linked


class Limits:
    """Converts and checks what the nodes of a run are given over links; for classes that want it (`checks_links`)."""

    def __init__(self, graph: DynamicPrompt):
        self._graph = graph
        self._ports: dict[str, Sequence[InputSpec]] = {}

    def hold(self, node_id: str, spec: NodeSpec, calls: Sequence[dict[str, Any]]) -> None:
        """Puts converted values into the arguments of a node's calls.

        Raises:
            InvalidPrompt: a value that the input would not take if it stood in the prompt.
        """
        for port, link in self._linked(node_id, spec):
            for arguments in calls:
                if port.name not in arguments:  # all lists were empty
                    continue
                value = arguments[port.name]
                arguments[port.name] = (
                    [self._taken(spec, port, link, each) for each in value]
                    if spec.input_is_list
                    else self._taken(spec, port, link, value)
                )

    def _linked(self, node_id: str, spec: NodeSpec) -> list[tuple[InputSpec, Link]]:
        ports = self._ports.get(spec.id)
        if ports is None:
            ports = self._ports[spec.id] = tuple(port for port in spec.inputs if spec.checks_links and _limited(port))
        if not ports:
            return []
        inputs = self._graph.node(node_id).inputs
        # What an expansion hands on need not be in a list that was made for people.
        lists = self._graph.get_parent_node_id(node_id) is None
        given = ((port, inputs.get(port.name)) for port in ports if lists or not is_combo(port))
        return [(port, value) for port, value in given if isinstance(value, Link)]

    def _taken(self, spec: NodeSpec, port: InputSpec, link: Link, value: Any) -> Any:
        if isinstance(value, Blocker) or (value is None and port.options.get("lazy")):
            return value
        value, problem = linked(spec, port, value)
        if problem is None:
            return value
        raise InvalidPrompt(
            f"{problem.message}: {problem.details}",
            kind=problem.type,
            remedy=f"{problem.extra_info['remedy']}{self._origin(link)}",
            input_name=port.name,
        )

    def _origin(self, link: Link) -> str:
        if not self._graph.has_node(link.node):
            return ""
        source = self._graph.node(link.node)
        return f" The value came over the link from node {self._graph.known_id(source.id)} ({source.class_type})."


def _limited(port: InputSpec) -> bool:
    return limits_links(port) and not port.options.get("rawLink")
