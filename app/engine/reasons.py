"""What a class says of itself that its inputs do not, and why a node runs again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from app.engine.arguments import constants
from app.engine.node import Node
from app.graph.fingerprint import CHANGED, IDENTITY, NodeKey, change, changed_inputs
from app.graph.prompt import PromptNode

MOST_TOLD = 3  # of a node's own inputs


def fingerprint_of(node: Node, asked: PromptNode) -> Any:
    """What a class with a fingerprint of its own says of a node; NaN, which is never the same, when it fails."""
    try:
        return node.fingerprint(constants(asked, node.spec))
    except Exception as error:  # a pack's own code; NaN makes the node run, which tells what is wrong
        logging.getLogger(__name__).warning("Node %s could not say whether it changed: %s", asked.id, error)
        return float("nan")


class Reasons:
    """Why nodes run although they have run before: the input that changed, and where upstream its change began.

    `earlier` holds the key that each (node id, class) had the last time.
    """

    def __init__(
        self,
        earlier: Mapping[tuple[str, str], NodeKey],
        keys: Mapping[str, NodeKey],
        node: Callable[[str], PromptNode],
    ):
        self._earlier = earlier
        self._keys = keys
        self._node = node
        self._causes: dict[str, str] = {}

    def why(self, node_id: str) -> str:
        """For people; names the inputs, the two values where they are short, and the node where a change began."""
        node = self._node(node_id)
        before = self._earlier.get((node_id, node.class_type))
        if before is None:
            return "it has not run before"
        links = dict(node.links())
        now = self._keys[node_id]
        own, through = _parted(changed_inputs(before, now), links)
        told = [change(before, now, name) for name in own[:MOST_TOLD]]
        if through is not None:
            told.append(f"{through} changed upstream: {self._cause(links[through].node)}")
        return "; ".join(told) or "it has no stored result"

    def _cause(self, node_id: str) -> str:
        """Where the change of a parent began. Each node is looked at once in a run."""
        path: list[str] = []
        at: str | None = node_id
        cause = ""
        while at is not None:
            if at in self._causes:
                cause = self._causes[at]
                break
            path.append(at)
            cause, at = self._step(at)
        self._causes.update(dict.fromkeys(path, cause))
        return cause

    def _step(self, node_id: str) -> tuple[str, str | None]:
        """What changed at a node, or the parent where the change came from."""
        node = self._node(node_id)
        called = f"node {node_id} ({node.class_type})"
        before, now = self._earlier.get((node_id, node.class_type)), self._keys.get(node_id)
        if before is None or now is None:
            return f"{called} is new", None
        links = dict(node.links())
        own, through = _parted(changed_inputs(before, now), links)
        if own:
            told = change(before, now, own[0])
            return (f"{called}: {told}" if own[0] in (CHANGED, IDENTITY) else f"{told} at {called}"), None
        if through is not None:
            return "", links[through].node
        return f"it is linked to {called} now", None


def _parted(names: Sequence[str], links: Container[str]) -> tuple[list[str], str | None]:
    """Those that are a node's own, and the first that is a link."""
    return [name for name in names if name not in links], next((name for name in names if name in links), None)
