"""What the engine asks of a node: a spec, and calls on opaque values."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from app.graph.returned import Absent, Blocker, LoopState, Returned
from app.graph.spec import NodeSpec

__all__ = ["Absent", "Blocker", "LoopState", "Node", "Returned", "Specs"]


class Node(Protocol):
    """A node class, whatever style it was written in; `extend` adapts each style to this."""

    spec: NodeSpec

    def call(self, context: Any, inputs: Mapping[str, Any]) -> Returned | Awaitable[Returned]:
        """One call on ready values. `context` comes from the run's context factory."""
        ...

    def fingerprint(self, inputs: Mapping[str, Any]) -> Any:
        """A value that changes when a run with equal inputs would differ; asked if `spec.has_fingerprint`."""

    def validate(self, inputs: Mapping[str, Any], received_types: Mapping[str, str]) -> str | None:
        """A complaint or None; asked if `spec.has_validator`. Linked inputs are None."""

    def needed(self, inputs: Mapping[str, Any], node_id: str = "") -> Sequence[str]:
        """The lazy inputs that this call of a node needs; those not evaluated yet are None in `inputs`."""
        ...


class Specs(Mapping[str, NodeSpec]):
    """The specs of classes, looked up when they are asked for."""

    def __init__(self, nodes: Mapping[str, Node]):
        self._nodes = nodes

    def __getitem__(self, class_type: str) -> NodeSpec:
        return self._nodes[class_type].spec

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)
