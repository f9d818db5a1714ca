"""The editor's saved workflow, read leniently: versions 0.4 and 1 differ in how they write links only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import InvalidPrompt
from app.graph.json_values import is_dict, is_list, is_object
from app.graph.prompt import MAX_DEPTH, MAX_NODES, depth_exceeds
from app.graph.types import ANYTHING, COMBO

OUTSIDE_IN = "-10"  # the node inside a definition that stands for the instance's inputs
OUTSIDE_OUT = "-20"  # and for its outputs
MUTED = 2
BYPASSED = 4


@dataclass(frozen=True, slots=True)
class Socket:
    """An input of a node: `link` is the id of its link, `widget` says that a widget belongs to it."""

    name: str
    type: str
    link: str | None = None
    widget: bool = False


@dataclass(frozen=True, slots=True)
class UiNode:
    """A node as it lies on the canvas.

    `values` is what the file says of its widgets, a list or an object; `named_values` what newer files say beside it.
    `search_name` is the name by which texts such as %Name.width% find it.
    """

    id: str
    type: str
    mode: int = 0
    title: str = ""
    inputs: tuple[Socket, ...] = ()
    outputs: tuple[str, ...] = ()  # types
    values: list[Any] | dict[str, Any] = field(default_factory=list[Any])
    named_values: dict[str, Any] | None = None
    search_name: str = ""
    output_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UiLink:
    """Output `origin_slot` of a node feeds input `target_slot` of another."""

    id: str
    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True)
class UiGraph:
    """Nodes and links by id; for a definition also the names of what leads in and out."""

    nodes: Mapping[str, UiNode]
    links: Mapping[str, UiLink]
    inputs: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A workflow: the graph, the definitions that nodes of it may be instances of, and what group nodes hold."""

    graph: UiGraph
    definitions: Mapping[str, UiGraph] = field(default_factory=dict[str, UiGraph])
    group_nodes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def is_workflow(data: object) -> bool:
    """Whether JSON data is a saved workflow rather than a prompt."""
    return is_object(data) and isinstance(data.get("nodes"), list)


def parse_document(data: object) -> Document:
    """The workflow that JSON data describes; what cannot be understood of a node or link is left out.

    Raises:
        InvalidPrompt: no workflow, or past the limits of size and depth.
    """
    if not is_object(data) or not is_workflow(data):
        raise InvalidPrompt(
            "This is no saved workflow: it has no list of nodes.",
            remedy="Save it from the editor, or submit it as a prompt if it is one.",
        )
    if depth_exceeds(data, 4 * MAX_DEPTH):
        raise InvalidPrompt(f"The workflow nests deeper than {4 * MAX_DEPTH} levels.", remedy="Use fewer subgraphs.")
    definitions: dict[str, UiGraph] = {}
    waiting = [data]
    while waiting:
        inner = waiting.pop().get("definitions")
        for definition in _objects(inner.get("subgraphs") if is_object(inner) else None):
            definitions.setdefault(_text(definition.get("id")), _graph(definition))
            waiting.append(definition)
    extra = data.get("extra")
    groups = extra.get("groupNodes") if is_object(extra) else None
    return Document(_graph(data), definitions, groups if is_object(groups) else {})


def _graph(data: Mapping[str, Any]) -> UiGraph:
    nodes = [parse_ui_node(node) for node in _objects(data.get("nodes"))]
    by_id: dict[str, UiNode] = {}
    for node in nodes:
        if node.id:
            by_id.setdefault(node.id, node)  # of two with one id the first is meant
    if len(nodes) > MAX_NODES:
        raise InvalidPrompt(f"The workflow has {len(nodes)} nodes, more than {MAX_NODES}.", remedy="Split it.")
    listed = data.get("links")
    links = [link for link in map(_link, listed if is_list(listed) else ()) if link is not None]
    return UiGraph(
        by_id,
        {link.id: link for link in links},
        tuple(_text(port.get("name")) for port in _objects(data.get("inputs"))),
        _text(data.get("name")),
    )


def parse_ui_node(data: Mapping[str, Any]) -> UiNode:
    """A node's record, read leniently."""
    values, named = data.get("widgets_values"), data.get("widgets_values_named")
    properties = data.get("properties")
    outputs = list(_objects(data.get("outputs")))
    return UiNode(
        id=_text(data.get("id")),
        type=_text(data.get("type")),
        mode=_whole(data.get("mode")) or 0,
        title=_text(data.get("title")),
        inputs=tuple(_socket(socket) for socket in _objects(data.get("inputs"))),
        outputs=tuple(type_name(socket.get("type")) for socket in outputs),
        values=values if is_list(values) or is_dict(values) else [],
        named_values=named if is_dict(named) else None,
        search_name=_text(properties.get("Node name for S&R")) if is_object(properties) else "",
        output_names=tuple(_text(socket.get("name")) for socket in outputs),
    )


def _socket(data: Mapping[str, Any]) -> Socket:
    link = data.get("link")
    return Socket(
        name=_text(data.get("name")),
        type=type_name(data.get("type")),
        link=None if link is None else _text(link),
        widget=isinstance(data.get("widget"), Mapping),
    )


def _link(data: object) -> UiLink | None:
    """A link from a list (version 0.4) or an object (version 1)."""
    if is_list(data) and len(data) >= 5:
        link_id, origin, origin_slot, target, target_slot = data[:5]
    elif is_object(data):
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        link_id, origin, origin_slot, target, target_slot = (data.get(name) for name in names)
    else:
        return None
    first, second = _whole(origin_slot), _whole(target_slot)
    if first is None or second is None:
        return None
    return UiLink(_text(link_id), _text(origin), first, _text(target), second)


def type_name(value: object) -> str:
    """The type of a socket: a list of options is a combo; nothing, "" and 0 stand for anything."""
    if is_list(value):
        return COMBO
    name = _text(value)
    return ANYTHING if name in ("", "0") else name


def _objects(data: object) -> Iterable[Mapping[str, Any]]:
    return [item for item in data if is_object(item)] if is_list(data) else []


def _text(value: object) -> str:
    """Ids and names; whole numbers are written without a fraction, as `5.0` and `5` are the same id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _whole(value: object) -> int | None:
    """A slot or mode; odd files hold them as text."""
    text = _text(value)
    return int(text) if text.isdecimal() and len(text) < 10 else None
