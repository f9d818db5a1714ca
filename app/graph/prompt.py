"""The prompt: the graph in the form that programs submit, read from JSON data and written back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.errors import InvalidPrompt
from app.graph.json_values import is_list, is_object, is_sequence

MAX_NODES = 200_000
MAX_DEPTH = 64  # of one literal value; deeper data is an attack or a mistake
MAX_SLOT = 10_000


class Link(NamedTuple):
    """A reading of output `slot` of the node with id `node`."""

    node: str
    slot: int


@dataclass(frozen=True, slots=True)
class NoLink:
    """A JSON list where a link was expected and that is none; validation refuses it where the input is declared."""

    value: list[Any]


@dataclass(frozen=True, slots=True)
class PromptNode:
    """One node: an input is a `Link`, a `NoLink`, or a literal (a list that was wrapped in `__value__` is a literal).

    `display_id` is where clients show the node, "" for itself; only expansions set it. `round` counts the rounds of
    the loop that the node begins.
    """

    id: str
    class_type: str
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    title: str = ""
    display_id: str = ""
    round: int = 0

    def links(self) -> Iterator[tuple[str, Link]]:
        """The linked inputs, by name."""
        return ((name, value) for name, value in self.inputs.items() if isinstance(value, Link))


@dataclass(frozen=True, slots=True)
class Prompt:
    """Nodes by id, in the order in which they were submitted."""

    nodes: dict[str, PromptNode]


def parse_prompt(data: object) -> Prompt:
    """The prompt that JSON data describes.

    Raises:
        InvalidPrompt: not an object, a node that is not an object or has no class_type, too many nodes, too deep.
    """
    if not is_object(data):
        raise InvalidPrompt(
            f"A prompt is an object of nodes by id, not {_kind(data)}.",
            remedy='Send {"1": {"class_type": …, "inputs": {…}}, …}; in the editor: save as API format.',
        )
    if isinstance(data.get("nodes"), list):
        raise InvalidPrompt(
            "This is a saved workflow, not a prompt: it holds a list of nodes with positions.",
            remedy="Save it in API format, or open it in the editor and run it there.",
        )
    if len(data) > MAX_NODES:
        raise InvalidPrompt(f"The prompt has {len(data)} nodes, more than {MAX_NODES}.", remedy="Split the graph.")
    return Prompt({node_id: parse_node(node_id, node) for node_id, node in data.items()})


def parse_node(node_id: object, data: object) -> PromptNode:
    """One node of a prompt; raises `InvalidPrompt` as `parse_prompt` does."""
    if not isinstance(node_id, str):
        raise InvalidPrompt(
            f"A node id is text, not {_kind(node_id)}.", details=_where(node_id), remedy="Quote the id."
        )
    if not is_object(data):
        raise InvalidPrompt(
            f"Node {_short(node_id)} is {_kind(data)}, not an object.",
            details=_where(node_id),
            remedy='Write a node as {"class_type": …, "inputs": {…}}.',
        )
    class_type = data.get("class_type")
    if not isinstance(class_type, str):
        raise InvalidPrompt(
            "Cannot execute because a node is missing the class_type property.",
            details=_where(node_id),
            extra_info={"node_id": node_id},
            remedy="Every node needs a class_type; if this is a saved workflow, save it in API format.",
        )
    inputs = data.get("inputs", {})
    if not is_object(inputs):
        raise InvalidPrompt(
            f"The inputs of node {_short(node_id)} are {_kind(inputs)}, not an object.",
            details=_where(node_id),
            remedy="Write inputs as an object of values and links by name.",
        )
    meta = data.get("_meta")
    title = meta.get("title") if is_object(meta) else None
    shown = data.get("override_display_id")
    return PromptNode(
        node_id,
        class_type,
        {str(name): _parse_input(node_id, str(name), value) for name, value in inputs.items()},
        title if isinstance(title, str) else "",
        shown if isinstance(shown, str) else "",
    )


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """The prompt as JSON data; `parse_prompt` reads it back as the same."""
    return {node.id: node_to_json(node) for node in prompt.nodes.values()}


def node_to_json(node: PromptNode) -> dict[str, Any]:
    """One node as JSON data."""
    data: dict[str, Any] = {
        "class_type": node.class_type,
        "inputs": {name: _input_to_json(value) for name, value in node.inputs.items()},
    }
    if node.title:
        data["_meta"] = {"title": node.title}
    if node.display_id:
        data["override_display_id"] = node.display_id
    return data


def as_link(value: object) -> Link | None:
    """The link that a JSON pair of id and slot says, None where it says none."""
    if isinstance(value, Link):
        return value
    if not is_list(value) or len(value) != 2:
        return None
    node, slot = value
    if not isinstance(node, str) or isinstance(slot, bool) or not isinstance(slot, int | float):
        return None
    # The comparison also sorts out NaN and the infinities, which int() cannot take.
    if not -1 < slot < MAX_SLOT or slot != int(slot):
        return None
    return Link(node, int(slot))


def depth_exceeds(value: object, limit: int) -> bool:
    """Whether lists and dicts nest deeper than `limit`. Level by level, so that no input exhausts the stack."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, list | tuple | Mapping)
            for child in (item.values() if isinstance(item, Mapping) else item)
            if isinstance(child, list | tuple | Mapping)
        ]
        if not level:
            return False
    return True


def _parse_input(node_id: str, name: str, value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    link = as_link(value)
    if link is not None:
        return link
    if (is_list(value) or is_object(value)) and depth_exceeds(value, MAX_DEPTH):
        raise InvalidPrompt(
            f"Input {_short(name)} of node {_short(node_id)} nests deeper than {MAX_DEPTH} levels.",
            details=_where(node_id),
            remedy="Send flatter data.",
        )
    if is_list(value):
        return NoLink(value)
    return value.get("__value__", value) if is_object(value) else value


def _input_to_json(value: object) -> object:
    if isinstance(value, Link):
        return [value.node, value.slot]
    if isinstance(value, NoLink):
        return value.value
    # Without the wrapper a list would be read back as a link, and an object with this key would lose it.
    ambiguous = is_sequence(value) or (is_object(value) and "__value__" in value)
    return {"__value__": value} if ambiguous else value


def _where(node_id: object) -> str:
    return f"Node ID '#{_short(node_id)}'"


def _kind(value: object) -> str:
    names: dict[type, str] = {
        type(None): "null",
        list: "a list",
        str: "text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _short(value: object) -> str:
    text = str(value) if isinstance(value, str | int | float) else type(value).__name__
    return text if len(text) <= 80 else text[:77] + "…"
