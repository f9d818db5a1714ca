"""From the editor's workflow to the prompt that runs: frontend-only nodes vanish, subgraphs unfold, links resolve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.errors import InvalidPrompt, InvalidRequest
from app.graph.document import (
    BYPASSED,
    MUTED,
    OUTSIDE_IN,
    OUTSIDE_OUT,
    Document,
    Socket,
    UiGraph,
    UiLink,
    UiNode,
    is_workflow,
    parse_document,
)
from app.graph.dynamic_inputs import ports_of
from app.graph.group_nodes import group_graph
from app.graph.marks import Mark, marks_of
from app.graph.patterns import fill_patterns
from app.graph.prompt import MAX_NODES, Link, Prompt, PromptNode
from app.graph.replacements import RENAMED, Replacements, old_widgets, with_replacements
from app.graph.spec import NodeSpec
from app.graph.types import ANYTHING, compatible
from app.graph.widgets import Files, has_widget, widget_values

__all__ = ["is_workflow", "workflow_to_prompt"]

PRIMITIVE = "PrimitiveNode"
REROUTE = "Reroute"
FRONTEND_ONLY = frozenset({"Note", "MarkdownNote", PRIMITIVE, REROUTE})
MAX_NESTING = 32


@dataclass(frozen=True, slots=True)
class _Literal:
    """A socket that a value feeds instead of a node, None for the one that the node itself holds.

    `marks` are those of the subgraph's instance whose widget it is.
    """

    value: Any
    marks: Sequence[Mark] = ()


@dataclass(slots=True)
class _Scope:
    """One unfolding of a graph: the root, or the inside of a subgraph's instance."""

    graph: UiGraph
    prefix: str = ""
    parent: _Scope | None = None
    instance: UiNode | None = None
    widgets: list[str] = field(default_factory=list[str])  # definition inputs that lead to a widget inside
    promoted: dict[str, Any] = field(default_factory=dict[str, Any])  # of these the values that the instance holds
    results: dict[int, str] = field(default_factory=dict[int, str])  # output → link that leads to it inside
    children: dict[str, _Scope] = field(default_factory=dict[str, "_Scope"])
    depth: int = 0


def workflow_to_prompt(
    data: object,
    specs: Mapping[str, NodeSpec],
    files: Files | None = None,
    now: datetime | None = None,
    replacements: Replacements | None = None,
) -> Prompt:
    """The prompt of a saved workflow (version 0.4 or 1).

    Muted nodes are left out, bypassed ones hand their input on, reroutes and primitives are looked through, and the
    nodes inside a subgraph get ids such as "5:12". `files` are the options of combos that list a folder. Texts such as
    %date:yyyy% and %KSampler.seed% are filled where the moment `now` is given. Nodes of classes of before become nodes
    of what stands in for them by `replacements`.

    Raises:
        InvalidPrompt: no workflow, links that go round in a circle, subgraphs that contain themselves.
    """
    document = parse_document(data)
    known = {**{old: specs[new] for old, new in RENAMED.items() if new in specs}, **specs}
    compiler = _Compiler(known, files or {}, _filler(document, known, files or {}, now), replacements or {})
    nodes: dict[str, PromptNode] = {}
    for scope in _unfold(document, known, files or {}):
        for node in scope.graph.nodes.values():
            if node.type not in FRONTEND_ONLY and node.id not in scope.children and _runs(node):
                built = compiler.node(scope, node)
                nodes[built.id] = built
    prompt = Prompt({node_id: _without_dangling(node, nodes) for node_id, node in nodes.items()})
    return with_replacements(prompt, replacements or {}, specs)


def _runs(node: UiNode) -> bool:
    return node.mode not in (MUTED, BYPASSED)


def _without_dangling(node: PromptNode, nodes: Mapping[str, PromptNode]) -> PromptNode:
    """A link to a muted node is as good as none."""
    kept = {name: value for name, value in node.inputs.items() if not isinstance(value, Link) or value.node in nodes}
    return PromptNode(node.id, node.class_type, kept, node.title)


def _filler(
    document: Document, specs: Mapping[str, NodeSpec], files: Files, now: datetime | None
) -> Callable[[str], str]:
    """What becomes of a text on its way to the prompt."""

    def look_up(name: str, widget: str) -> object:
        for graph in (document.graph, *document.definitions.values()):
            for node in graph.nodes.values():
                if name in (node.search_name, _title(node, specs.get(node.type))):
                    values = list(node.values.values() if isinstance(node.values, dict) else node.values)
                    of_primitive = node.type == PRIMITIVE and widget == "value" and bool(values)
                    value = values[0] if of_primitive else widget_values(node, specs.get(node.type), files).get(widget)
                    if value is not None:
                        return value
        return None

    return lambda text: fill_patterns(text, look_up, now) if now is not None and "%" in text else text


def _title(node: UiNode, spec: NodeSpec | None) -> str:
    return node.title or (spec.display_name if spec else "") or (spec.id if spec else node.type)


def _marks_of_instances(scope: _Scope) -> list[Mark]:
    """The outputs that the titles of the subgraphs around a node mark."""
    marks: list[Mark] = []
    around: _Scope | None = scope
    while around is not None:
        marks += [mark for mark in _marks(around.instance) if mark.kind == "output"]
        around = around.parent
    return marks


def _marks(instance: UiNode | None) -> list[Mark]:
    """The marks in the title of a subgraph's instance. One that offers no name is just a title."""
    with suppress(InvalidRequest):
        return marks_of(instance.title if instance is not None else "")
    return []


def _with_marks(title: str, marks: Sequence[Mark]) -> str:
    """A node's title with the marks that it takes over from the subgraphs around it, which vanish."""
    if not marks:
        return title
    own = [title] if title.lower().startswith(("input:", "output:")) else []
    return "; ".join([*own, *map(str, marks)])


def _unfold(document: Document, specs: Mapping[str, NodeSpec], files: Files) -> list[_Scope]:
    """The root's scope and those of all instances in it, outer ones first."""
    scopes = [_Scope(document.graph)]
    count = len(document.graph.nodes)
    for scope in scopes:  # grows while it is walked
        for node in scope.graph.nodes.values():
            definition = document.definitions.get(node.type)
            instance = node
            if definition is None and _runs(node):
                definition = group_graph(document, node, specs, files)
                instance = replace(node, values=[], named_values=None)  # the nodes inside have them
            if definition is not None and _runs(node):
                count += len(definition.nodes)
                if scope.depth >= MAX_NESTING or count > MAX_NODES:
                    raise InvalidPrompt(
                        f"Subgraph {definition.name} is nested too deeply, or contains itself.",
                        remedy="Open it in the editor and take the inner copy out.",
                    )
                inner = _Scope(definition, f"{scope.prefix}{node.id}:", scope, instance, depth=scope.depth + 1)
                inner.widgets = _widgets(definition)
                inner.promoted = _promoted(inner.widgets, instance)
                outward = (link for link in definition.links.values() if link.target == OUTSIDE_OUT)
                for link in outward:
                    inner.results.setdefault(link.target_slot, link.id)
                scope.children[node.id] = inner
                scopes.append(inner)
    return scopes


def _widgets(definition: UiGraph) -> list[str]:
    """Those inputs of a definition that lead to a widget inside; they are the widgets of its instances, in order."""
    inward: set[int] = set()
    for link in definition.links.values():
        target = definition.nodes.get(link.target)
        reached = target.inputs[link.target_slot : link.target_slot + 1] if target else ()
        if link.origin == OUTSIDE_IN and any(socket.widget for socket in reached):
            inward.add(link.origin_slot)
    return [name for index, name in enumerate(definition.inputs) if index in inward]


def _promoted(widgets: Sequence[str], instance: UiNode) -> dict[str, Any]:
    """The values of an instance's widgets."""
    values = instance.values
    given = values if isinstance(values, dict) else dict(zip(widgets, values, strict=False))
    named = {**(instance.named_values or {}), **{name: value for name, value in given.items() if value is not None}}
    return {name: named[name] for name in widgets if named.get(name) is not None}


class _Compiler:
    """Makes prompt nodes of canvas nodes."""

    def __init__(
        self, specs: Mapping[str, NodeSpec], files: Files, fill: Callable[[str], str], replacements: Replacements
    ):
        self.specs = specs
        self.files = files
        self.fill = fill
        self.replacements = replacements

    def node(self, scope: _Scope, node: UiNode) -> PromptNode:
        """One node with widget values, overruled by what its sockets are fed with."""
        spec = self.specs.get(node.type)
        inputs = widget_values(node, spec, self.files)
        if isinstance(node.values, list):
            inputs |= zip(old_widgets(node.type, self.replacements, self.specs), node.values, strict=False)
        marks = _marks_of_instances(scope) if spec is not None and spec.output_node else []
        for socket in node.inputs:
            fed = self.resolve(scope, socket)
            if isinstance(fed, _Literal):
                marks += [replace(mark, widget=socket.name) for mark in fed.marks]
                fed = fed.value
            if fed is not None:
                inputs[socket.name] = fed
        for port in ports_of(spec, inputs) if spec else ():
            value = inputs.get(port.name)
            if port.type == "STRING" and has_widget(port) and isinstance(value, str):
                inputs[port.name] = self.fill(value)
        title = _with_marks(_title(node, spec), marks)
        return PromptNode(scope.prefix + node.id, spec.id if spec else node.type, inputs, title)

    def resolve(self, scope: _Scope, socket: Socket) -> Link | _Literal | None:
        """What feeds a socket in the end: a node that runs (or a muted one), a value, or nothing."""
        seen: set[tuple[str, str]] = set()
        while socket.link is not None:
            link = scope.graph.links.get(socket.link)
            if link is None:
                return None
            if (scope.prefix, link.id) in seen:
                raise InvalidPrompt(
                    f"The links around node {scope.prefix}{link.target} go round in a circle.",
                    kind="dependency_cycle",
                    remedy="Remove one of the links of the circle.",
                )
            seen.add((scope.prefix, link.id))
            step = self._enter(scope, link, socket)
            if step is None or isinstance(step, Link | _Literal):
                return step
            scope, socket = step
        return None

    def _enter(self, scope: _Scope, link: UiLink, socket: Socket) -> tuple[_Scope, Socket] | Link | _Literal | None:
        """One step towards the source: the result, or the socket to look at next."""
        if link.origin == OUTSIDE_IN:
            return _outward(scope, link)
        source = scope.graph.nodes.get(link.origin)
        if source is None:
            return None
        if source.type == PRIMITIVE:
            values = source.values if isinstance(source.values, list) else list(source.values.values())
            return _Literal(values[0]) if values and values[0] is not None else None
        if source.mode == BYPASSED:
            return _next(scope, _bypass(source, link.origin_slot, socket.type))
        if source.id in scope.children:
            return _inward(scope.children[source.id], link.origin_slot, socket.type)
        if source.type in FRONTEND_ONLY:
            return _next(scope, source.inputs[0] if source.inputs else None)
        return Link(scope.prefix + source.id, link.origin_slot)


def _next(scope: _Scope, socket: Socket | None) -> tuple[_Scope, Socket] | None:
    return None if socket is None else (scope, socket)


def _outward(scope: _Scope, link: UiLink) -> tuple[_Scope, Socket] | _Literal | None:
    """From inside a subgraph to what feeds the instance."""
    if scope.parent is None or scope.instance is None or link.origin_slot >= len(scope.graph.inputs):
        return None
    name = scope.graph.inputs[link.origin_slot]
    socket = next((socket for socket in scope.instance.inputs if socket.name == name), None)
    if socket is not None and socket.link is not None:
        return scope.parent, socket
    if name not in scope.widgets:
        return None
    meant = ("", name) if name == scope.widgets[0] else (name,)
    marks = [mark for mark in _marks(scope.instance) if mark.kind == "input" and mark.widget in meant]
    return _Literal(scope.promoted.get(name), marks)


def _inward(inner: _Scope, slot: int, kind: str) -> tuple[_Scope, Socket] | None:
    """From an instance's output to what feeds it inside."""
    return (inner, Socket("", kind, inner.results[slot])) if slot in inner.results else None


def _bypass(node: UiNode, slot: int, wanted: str) -> Socket | None:
    """The input that a bypassed node hands on for its output `slot`, to a target of type `wanted`."""
    same = node.inputs[slot] if slot < len(node.inputs) else None
    if wanted == ANYTHING:
        return same or next(iter(node.inputs), None)
    given = node.outputs[slot] if slot < len(node.outputs) else ANYTHING
    return next(_candidates(node, same, given, wanted), None)


def _candidates(node: UiNode, same: Socket | None, given: str, wanted: str) -> Iterator[Socket]:
    if same is not None and _feeds(same, given, wanted):
        yield same
    yield from (socket for socket in node.inputs if socket.type.lower() == wanted.lower())
    yield from (socket for socket in node.inputs if _feeds(socket, given, wanted))


def _feeds(socket: Socket, given: str, wanted: str) -> bool:
    kind = socket.type.upper()
    return compatible(kind, given.upper()) and compatible(kind, wanted.upper())
