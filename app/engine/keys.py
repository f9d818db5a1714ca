"""The keys of a run's nodes: of the submitted ones before it begins, of all others when they come to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from app.engine.dynamic import DynamicPrompt
from app.engine.node import Node
from app.engine.reasons import fingerprint_of
from app.errors import InvalidPrompt
from app.graph.fingerprint import NodeKey, Traits, node_key, node_keys, traits_of, with_values
from app.graph.order import topological
from app.graph.spec import NodeSpec


class RunKeys:
    """Keys by node id, in `keys`.

    Args:
        graph: the run's nodes.
        class_of: the class of a node.
        parents: the nodes that a node may read.
    """

    def __init__(self, graph: DynamicPrompt, class_of: Callable[[str], Node], parents: Callable[[str], Sequence[str]]):
        self.keys: dict[str, NodeKey] = {}
        self._graph = graph
        self._class_of = class_of
        self._parents = parents
        self._traits: dict[str, Traits] = {}
        self._changed: dict[str, Any] = {}  # what the classes of submitted nodes said of them

    def add_submitted(self, order: Sequence[str], specs: Mapping[str, NodeSpec]) -> None:
        """Keys for the nodes of the prompt, parents first; `specs` are those of their classes."""
        if any(spec.has_fingerprint for spec in specs.values()):
            self._changed = self._fingerprints(order)
        self.keys = node_keys(self._graph.prompt, order, specs, self._changed)

    def add(self, roots: Iterable[str]) -> None:
        """Keys for nodes that have come to be, and for submitted ones that nobody needed before.

        Raises:
            InvalidPrompt: they read each other in a circle.
        """

        def parents(node_id: str) -> list[str]:
            return [parent for parent in self._parents(node_id) if parent not in self.keys]

        found = topological([root for root in roots if root not in self.keys], parents)
        if found.cycles:
            raise cycle(found.cycles[0])
        changed = self._fingerprints(node_id for node_id in found.order if node_id not in self._changed)
        for node_id in found.order:
            said = changed.get(node_id, self._changed.get(node_id))
            self.keys[node_id] = node_key(self._graph.node(node_id), self._traits_of(node_id), self.keys, said)

    def begin_round(self, begin: str, body: Sequence[str], outputs: Sequence[Sequence[Any]]) -> None:
        """Keys for the body of a loop in a round whose begin has given `outputs`."""
        self.keys[begin] = with_values(self.keys[begin], outputs)
        self.forget(body)
        self.add(body)

    def forget(self, node_ids: Iterable[str]) -> None:
        """These nodes are no more, or their keys no longer hold."""
        for node_id in node_ids:
            self.keys.pop(node_id, None)

    def _fingerprints(self, order: Iterable[str]) -> dict[str, Any]:
        """What the classes with a fingerprint of their own say; one that fails is never the same."""
        changed: dict[str, Any] = {}
        for node_id in order:
            node = self._class_of(node_id)
            if node.spec.has_fingerprint:
                changed[node_id] = fingerprint_of(node, self._graph.node(node_id))
        return changed

    def _traits_of(self, node_id: str) -> Traits:
        class_type = self._graph.node(node_id).class_type
        known = self._traits.get(class_type)
        if known is None:
            known = self._traits[class_type] = traits_of(self._class_of(node_id).spec)
        return known


def cycle(node_ids: Sequence[str]) -> InvalidPrompt:
    """The error for nodes that wait for each other."""
    told = " ← ".join(node_ids[:20])
    return InvalidPrompt(
        f"Dependency cycle detected: {told}", kind="dependency_cycle", remedy="Remove one of the links of the circle."
    )
