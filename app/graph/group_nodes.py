"""Group nodes, which old files have in place of subgraphs: several nodes in the guise of one.

They are read as a subgraph of their own, whose inner nodes hold the values that the outer node lists one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.graph.document import OUTSIDE_IN, OUTSIDE_OUT, Document, UiGraph, UiLink, UiNode, parse_ui_node
from app.graph.json_values import is_list, is_object
from app.graph.spec import NodeSpec
from app.graph.widgets import Files, widgets_of

_TYPE = re.compile(r"workflow[>/](.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Group:
    """`links` join (node, output) to (node, input), `external` are outputs that are used outside too."""

    nodes: list[UiNode]
    labels: list[list[str]]  # of each input of each node
    links: list[tuple[int, int, int, int]]
    external: frozenset[tuple[int, int]]
    config: Mapping[str, Any]

    def fed(self) -> set[tuple[int, int]]:
        """The inputs that a link inside feeds."""
        return {(node, slot) for _, _, node, slot in self.links}

    def asked(self, node: int, side: str, name: str) -> Mapping[str, Any]:
        """What the user asked of a socket: its name, or that it is hidden."""
        found: Any = self.config.get(str(node))
        for key in (side, name):
            found = found.get(key) if is_object(found) else None
        return found if is_object(found) else {}


def group_graph(document: Document, outer: UiNode, specs: Mapping[str, NodeSpec], files: Files) -> UiGraph | None:
    """The inside of a group node, whose nodes have their places for ids; None for any other node."""
    match = _TYPE.fullmatch(outer.type)
    name: str = match[1] if match else ""
    data = document.group_nodes.get(name)
    if not is_object(data) or not is_list(data.get("nodes")):
        return None
    group = _parse(data)
    ports = list(_inputs(group))
    joins = [(str(a), b, str(c), d) for a, b, c, d in group.links]
    joins += [(OUTSIDE_IN, slot, str(node), port) for slot, (_, node, port) in enumerate(ports)]
    joins += [(str(node), port, OUTSIDE_OUT, slot) for slot, (node, port) in enumerate(_outputs(group))]
    links = [UiLink(str(index), *join) for index, join in enumerate(joins, 1)]
    into = {(link.target, link.target_slot): link.id for link in links}
    nodes = [
        replace(
            node,
            inputs=tuple(replace(port, link=into.get((node.id, slot))) for slot, port in enumerate(node.inputs)),
        )
        for node in _with_values(group, outer, specs, files)
    ]
    return UiGraph({x.id: x for x in nodes}, {x.id: x for x in links}, tuple(port for port, _, _ in ports), name)


def _parse(data: Mapping[str, Any]) -> _Group:
    nothing: Mapping[str, Any] = {}
    listed: list[Mapping[str, Any]] = [item if is_object(item) else nothing for item in data["nodes"]]
    config = data.get("config")
    links = (_numbers(link, 4) for link in _listed(data.get("links")))
    external = (_numbers(slot, 2) for slot in _listed(data.get("external")))
    return _Group(
        nodes=[replace(parse_ui_node(item), id=str(index)) for index, item in enumerate(listed)],
        labels=[_labels(item.get("inputs")) for item in listed],
        links=[(link[0], link[1], link[2], link[3]) for link in links if link],
        external=frozenset((slot[0], slot[1]) for slot in external if slot),
        config=config if is_object(config) else {},
    )


def _labels(inputs: object) -> list[str]:
    return [str(port.get("label") or "") for port in inputs if is_object(port)] if is_list(inputs) else []


def _listed(data: object) -> list[Any]:
    return data if is_list(data) else []


def _numbers(data: object, count: int) -> list[int] | None:
    if not is_list(data) or len(data) < count:
        return None
    return data[:count] if all(isinstance(item, int) for item in data[:count]) else None


def _inputs(group: _Group) -> Iterator[tuple[str, int, int]]:
    """(name, node, slot) of each input inside that no link inside feeds; names that come twice get the node's name."""
    fed = group.fed()
    seen: dict[str, int] = {}
    for index, node in enumerate(group.nodes):
        for slot, port in enumerate(node.inputs):
            asked = group.asked(index, "input", port.name)
            if (index, slot) in fed or asked.get("visible") is False:
                continue
            plain = asked.get("name") or group.labels[index][slot] or port.name
            key = f"{node.title or node.type} {plain}" if plain in seen else plain
            count = seen.get(key)
            seen[key] = (count or 1) + 1
            yield key if count is None else f"{node.title or node.type} {count} {plain}", index, slot


def _outputs(group: _Group) -> Iterator[tuple[int, int]]:
    used = {(node, slot) for node, slot, _, _ in group.links} - group.external
    for index, node in enumerate(group.nodes):
        for slot in range(len(node.outputs)):
            if (index, slot) not in used and group.asked(index, "output", str(slot)).get("visible") is not False:
                yield index, slot


def _with_values(group: _Group, outer: UiNode, specs: Mapping[str, NodeSpec], files: Files) -> Iterator[UiNode]:
    """The inner nodes with their share of the outer node's values; inputs fed inside have no value outside."""
    fed = group.fed()
    values = iter(outer.values if isinstance(outer.values, list) else ())
    for index, node in enumerate(group.nodes):
        own = node.values if isinstance(node.values, list) else []
        spec = specs.get(node.type)
        owners = [widget.port.name for widget in widgets_of(spec)] if spec else [str(slot) for slot in range(len(own))]
        dealt: list[Any] = []
        for place, owner in enumerate(owners):
            slot = next((slot for slot, port in enumerate(node.inputs) if port.widget and port.name == owner), -1)
            hidden = group.asked(index, "input", owner).get("visible") is False
            given = None if (index, slot) in fed or hidden else next(values, None)
            dealt.append(given if given is not None else _at(own, place))
        yield replace(node, values=dealt) if isinstance(outer.values, list) else node


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None
