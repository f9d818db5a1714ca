"""What a node is called with: literals, the values of the nodes it links to, and hidden inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from app.engine.dynamic import DynamicPrompt
from app.engine.held import Values
from app.engine.lists import blocker_in, calls
from app.engine.node import Node
from app.engine.site import RunExtras
from app.errors import InvalidPrompt
from app.graph.dynamic_inputs import ports_of
from app.graph.lazy import lazy_inputs
from app.graph.prompt import Link, NoLink, PromptNode
from app.graph.spec import NodeSpec
from app.graph.types import FLOAT


class _Read(NamedTuple):
    """What a node links to: by input, and each node once."""

    links: Sequence[tuple[str, Link]]
    parents: Sequence[str]


class _Marks(NamedTuple):
    """The inputs of a class that are lazy, those that are given their link itself, and those that take real numbers."""

    lazy: frozenset[str]
    raw: frozenset[str]
    real: frozenset[str]


class Arguments:
    """Reads the inputs of a run's nodes."""

    def __init__(self, graph: DynamicPrompt, values: Values, extra: RunExtras):
        self._graph = graph
        self._values = values
        self._extra = extra
        self._marked: dict[str, _Marks] = {}
        self._dynamic: dict[str, _Marks] = {}
        self._linked: dict[str, _Read] = {}
        self.carried: dict[str, Any] = {}  # what the ends of loops keep from round to round

    def parents(self, node_id: str, spec: NodeSpec) -> Sequence[str]:
        """The nodes that may be read, lazily or not, without repeats."""
        return self._read(node_id, spec).parents

    def strong_parents(self, node_id: str, spec: NodeSpec) -> Sequence[str]:
        """The nodes that must have run before this one can be asked anything."""
        read = self._read(node_id, spec)
        lazy = self._marks(node_id, spec).lazy if read.links else ()
        return _unique(link.node for name, link in read.links if name not in lazy) if lazy else read.parents

    def gather(self, node_id: str, spec: NodeSpec) -> dict[str, list[Any]]:
        """The list of values of each input that is set; [None] for lazy ones that have not been evaluated."""
        node = self._graph.node(node_id)
        lazy, raw, real = self._marks(node_id, spec)
        inputs: dict[str, list[Any]] = {}
        for name, value in _declared(node, spec):
            if isinstance(value, Link):
                if name in raw:
                    inputs[name] = [[value.node, value.slot]]
                else:
                    unread = name in lazy and value.node not in self._values
                    inputs[name] = [None] if unread else self._values.read(*value)
                    if name in real:
                        inputs[name] = [_real(each) for each in inputs[name]]
            else:
                inputs[name] = [value]
        for name, kind in spec.hidden.items():
            inputs[name] = [self._hidden(kind, node_id)]
        return inputs

    def lacking(self, node_id: str, node: Node, inputs: Mapping[str, list[Any]]) -> list[str]:
        """The nodes behind those lazy inputs that the node now says it needs.

        Raises:
            InvalidPrompt: it asks for an input that is not set, or that is null and not a link.
        """
        lazy = self._marks(node_id, node.spec).lazy
        if not lazy:
            return []
        links = dict(self._read(node_id, node.spec).links)
        open_links = {name: link for name, link in links.items() if name in lazy and link.node not in self._values}
        if not open_links:
            return []
        wanted: dict[str, None] = {}
        for arguments in calls(inputs, node.spec):
            if blocker_in(arguments, node.spec) is None:
                wanted.update(dict.fromkeys(node.needed(arguments, self._graph.known_id(node_id))))
        absent = next((name for name in wanted if name not in inputs), None)
        if absent is not None:
            raise InvalidPrompt(
                f"Node {node_id} ({node.spec.id}) needs its input {absent}, which is not set.",
                remedy=f"Link {absent}, or change what makes the node ask for it.",
                input_name=absent,
            )
        null = next((name for name in wanted if name not in links and inputs[name] == [None]), None)
        if null is not None:
            raise InvalidPrompt(
                f"Node {node_id} ({node.spec.id}) waits for its input {null}, which is the constant null.",
                remedy=f"Link {null} to a node that gives it, set a value, or leave it out.",
                input_name=null,
            )
        return list(dict.fromkeys(open_links[name].node for name in wanted if name in open_links))

    def _marks(self, node_id: str, spec: NodeSpec) -> _Marks:
        """Read once for a class, or once for a node of those classes whose inputs depend on what the node is given."""
        known = self._marked.get(spec.id) or self._dynamic.get(node_id)
        if known is None:
            inputs = self._graph.node(node_id).inputs
            ports = ports_of(spec, inputs)
            known = _Marks(
                frozenset(lazy_inputs(spec, inputs)),
                frozenset(port.name for port in ports if port.options.get("rawLink")),
                frozenset(port.name for port in ports if port.type == FLOAT),
            )
            if spec.accepts_any_input:
                self._dynamic[node_id] = known
            else:
                self._marked[spec.id] = known
        return known

    def forget(self, node_ids: Iterable[str]) -> None:
        """These nodes are done, or are replaced by others."""
        for node_id in node_ids:
            self._linked.pop(node_id, None)
            self._dynamic.pop(node_id, None)

    def _read(self, node_id: str, spec: NodeSpec) -> _Read:
        """The links of the declared inputs; looked at once, for they are asked for often."""
        known = self._linked.get(node_id)
        if known is None:
            declared = _declared(self._graph.node(node_id), spec)
            links = [(name, value) for name, value in declared if isinstance(value, Link)]
            known = self._linked[node_id] = _Read(links, _unique(link.node for _, link in links))
            for name, link in links:
                if not self._graph.has_node(link.node):
                    raise InvalidPrompt(
                        f"Input {name} of node {node_id} links to node {link.node}, which does not exist.",
                        remedy="Link it to a node of the graph.",
                        input_name=name,
                    )
        return known

    def _hidden(self, kind: str, node_id: str) -> Any:
        if kind == "PROMPT":
            return self._graph.get_original_prompt()
        if kind == "EXTRA_PNGINFO":
            return self._extra.extra_pnginfo
        if kind == "DYNPROMPT":
            return self._graph
        if kind == "ROUND":
            return self._graph.node(node_id).round
        if kind == "CARRIED":
            return self.carried.get(node_id)
        return node_id if kind == "UNIQUE_ID" else self._extra.secrets.get(kind)


def constants(node: PromptNode, spec: NodeSpec) -> dict[str, Any]:
    """The inputs as they are known before anything runs: None for linked ones, and an empty prompt."""
    known = {name: None if isinstance(value, Link) else value for name, value in _declared(node, spec)}
    hidden: dict[str, Any] = {"PROMPT": {}, "UNIQUE_ID": node.id}
    known.update((name, hidden.get(kind)) for name, kind in spec.hidden.items())
    return {name: [value] for name, value in known.items()} if spec.input_is_list else known


def _real(value: Any) -> Any:
    """Whole numbers as real ones; those that are too large for it stay as they are, for the node to refuse."""
    if type(value) is not int:
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def _unique(names: Iterable[str]) -> Sequence[str]:
    """The names without repeats, in their order."""
    return tuple(dict.fromkeys(names))


def _declared(node: PromptNode, spec: NodeSpec) -> Iterator[tuple[str, Any]]:
    """The inputs that the class declares; a list that is no link is a value here, as expansions may send it."""
    names = node.inputs if spec.accepts_any_input else [port.name for port in spec.inputs if port.name in node.inputs]
    for name in names:
        value = node.inputs[name]
        yield name, value.value if isinstance(value, NoLink) else value
