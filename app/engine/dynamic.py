"""The prompt as it grows while it runs: nodes that an expansion made stand beside the submitted ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.errors import InvalidPrompt
from app.graph.prompt import Prompt, PromptNode, node_to_json, prompt_to_json


class DynamicPrompt:
    """Nodes by id, and for those that an expansion made who made them.

    The methods that start with get_, has_ and all_ are what node packs know as DYNPROMPT.
    """

    def __init__(self, prompt: Prompt, original: Mapping[str, Any] | None = None):
        self.prompt = Prompt(dict(prompt.nodes))
        self._submitted = prompt
        self._original = original
        self._parents: dict[str, str] = {}
        self._children: dict[str, list[str]] = {}
        self._copied: dict[str, str] = {}  # copy in a loop's round → the node that clients know
        self._real: dict[str, str] = {}
        self._display: dict[str, str] = {}

    def node(self, node_id: str) -> PromptNode:
        """The node of that id.

        Raises:
            InvalidPrompt: there is none; only a node that expands can ask for one.
        """
        if node_id not in self.prompt.nodes:
            raise InvalidPrompt(f"There is no node {node_id}.", remedy="The pack must link to nodes of the graph only.")
        return self.prompt.nodes[node_id]

    def add_expansion(self, parent_id: str, graph: Prompt) -> list[str]:
        """Adds the nodes that `parent_id` expanded to, and gives their ids.

        Raises:
            InvalidPrompt: an id is already taken.
        """
        added = graph.nodes
        taken = next((node_id for node_id in added if node_id in self.prompt.nodes), None)
        if taken is not None:
            raise InvalidPrompt(
                f"Node {parent_id} expanded to a node with the id {taken}, which is taken.",
                remedy="The pack must make ids unique: begin them with the id of the node that expands.",
            )
        for node in added.values():
            self.prompt.nodes[node.id] = node
            self._parents[node.id] = parent_id
            self._children.setdefault(parent_id, []).append(node.id)
            self._real[node.id] = self.get_real_node_id(parent_id)
            self._display[node.id] = node.display_id or self.get_display_node_id(parent_id)
        return list(added)

    def add_round(self, nodes: Mapping[str, PromptNode], originals: Mapping[str, str]) -> None:
        """Adds the copies of a loop's body for one round; `originals` says what each is a copy of."""
        for node in nodes.values():
            original = originals[node.id]
            self.prompt.nodes[node.id] = node
            self._copied[node.id] = self.known_id(original)
            self._real[node.id] = self.get_real_node_id(original)
            self._display[node.id] = self.get_display_node_id(original)
            parent = self._parents.get(original)
            if parent is not None:
                self._parents[node.id] = parent

    def replace(self, node: PromptNode) -> None:
        """Puts the node in the place of the one with its id."""
        self.prompt.nodes[node.id] = node

    def forget(self, node_ids: Iterable[str]) -> None:
        """Removes nodes that a loop or an expansion has added."""
        for node_id in node_ids:
            for table in (self.prompt.nodes, self._parents, self._children, self._copied, self._real, self._display):
                table.pop(node_id, None)

    def children_of(self, node_id: str) -> Sequence[str]:
        """The nodes that this one expanded to."""
        return self._children.get(node_id, ())

    def known_id(self, node_id: str) -> str:
        """The id under which clients hear of the node: its own, or for a copy in a loop that of the original."""
        return self._copied.get(node_id, node_id)

    def is_copy(self, node_id: str) -> bool:
        """Whether the node is a copy of another one for a later round of a loop."""
        return node_id in self._copied

    def get_node(self, node_id: str) -> dict[str, Any]:
        """The node as JSON data."""
        return node_to_json(self.prompt.nodes[node_id])

    def has_node(self, node_id: str) -> bool:
        """Whether there is such a node by now."""
        return node_id in self.prompt.nodes

    def all_node_ids(self) -> set[str]:
        """All ids so far."""
        return set(self.prompt.nodes)

    def get_original_prompt(self) -> Mapping[str, Any]:
        """The submitted prompt as JSON data."""
        if self._original is None:
            self._original = prompt_to_json(self._submitted)
        return self._original

    def get_parent_node_id(self, node_id: str) -> str | None:
        """Who expanded to this node, None for submitted ones."""
        return self._parents.get(node_id)

    def get_display_node_id(self, node_id: str) -> str:
        """Where clients show this node."""
        return self._display.get(node_id, node_id)

    def get_real_node_id(self, node_id: str) -> str:
        """The submitted node that this one comes from."""
        return self._real.get(node_id, node_id)
