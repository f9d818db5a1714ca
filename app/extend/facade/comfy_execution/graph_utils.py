"""`comfy_execution.graph_utils`: builds the graphs that nodes expand to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from app.engine.node import Blocker as ExecutionBlocker
from app.extend.facade.host import graph_place

__all__ = ["ExecutionBlocker", "GraphBuilder", "Node", "add_graph_prefix", "is_link"]


def is_link(obj: object) -> TypeGuard[list[Any]]:
    """Whether a value is a link: a list of a node's id and the number of its output."""
    return (
        isinstance(obj, list)
        and len(obj) == 2  # pyright: ignore[reportUnknownArgumentType]
        and isinstance(obj[0], str)
        and isinstance(obj[1], int | float)
    )


class Node:
    """A node of a graph that is being built."""

    def __init__(self, id: str, class_type: str, inputs: Mapping[str, Any]) -> None:
        self.id = id
        self.class_type = class_type
        self.inputs = dict(inputs)
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        """A link to an output."""
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Set an input; None takes it away."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        """What an input is set to, None if it is not."""
        return self.inputs.get(key)

    def set_override_display_id(self, override_display_id: str) -> None:
        """Show the node's progress at another node."""
        self.override_display_id = override_display_id

    def serialize(self) -> dict[str, Any]:
        """The node in prompt form."""
        shown = {} if self.override_display_id is None else {"override_display_id": self.override_display_id}
        return {"class_type": self.class_type, "inputs": self.inputs, **shown}


class GraphBuilder:
    """Collects nodes with ids that no other graph has.

    Ids begin with the id of the node that runs and with which of its graphs this is, so that an equal expansion has
    equal ids and its results are found in the cache.
    """

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = GraphBuilder.alloc_prefix() if prefix is None else prefix
        self.nodes: dict[str, Node] = {}
        self.id_gen = 1

    @staticmethod
    def alloc_prefix(root: str | None = None, call_index: int | None = None, graph_index: int | None = None) -> str:
        """A prefix that no other graph of this call has; what is not given is taken from the call that runs."""
        node_id, index, made = graph_place()
        root = node_id if root is None else root
        return f"{root}.{index if call_index is None else call_index}.{made if graph_index is None else graph_index}."

    def node(self, class_type: str, id: str | None = None, **kwargs: Any) -> Node:
        """Add a node, or give the one that has the id already."""
        if id is None:
            id, self.id_gen = str(self.id_gen), self.id_gen + 1
        id = self.prefix + id
        if id not in self.nodes:
            self.nodes[id] = Node(id, class_type, kwargs)
        return self.nodes[id]

    def lookup_node(self, id: str) -> Node | None:
        """The node of that id, given without the prefix; None if there is none."""
        return self.nodes.get(self.prefix + id)

    def finalize(self) -> dict[str, dict[str, Any]]:
        """The graph in prompt form."""
        return {id: node.serialize() for id, node in self.nodes.items()}

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Let all that read an output read another value; None takes those inputs away."""
        old = [self.prefix + node_id, index]
        for node in self.nodes.values():
            for key in [key for key, value in node.inputs.items() if is_link(value) and value == old]:
                node.set_input(key, new_value)

    def remove_node(self, id: str) -> None:
        """Take a node out."""
        del self.nodes[self.prefix + id]


def add_graph_prefix(
    graph: Mapping[str, Mapping[str, Any]], outputs: Sequence[Any], prefix: str
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """A graph, and outputs that link into it, with `prefix` before every id."""

    def moved(value: Any) -> Any:
        return [prefix + value[0], value[1]] if is_link(value) and value[0] in graph else value

    nodes = {
        prefix + id: {
            **node,
            "inputs": {
                key: [prefix + value[0], value[1]] if is_link(value) else value
                for key, value in node.get("inputs", {}).items()
            },
        }
        for id, node in graph.items()
    }
    return nodes, tuple(moved(value) for value in outputs)
