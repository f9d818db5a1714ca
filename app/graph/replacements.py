"""Classes that have another name or shape by now: prompts of before are rewritten before they are checked."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from app.errors import InvalidPrompt, InvalidRequest
from app.graph.json_values import is_object, is_sequence
from app.graph.prompt import Link, Prompt, PromptNode

RENAMED = {
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
}


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands in for an old class.

    `input_mapping` lists for each new input {"new_id", "old_id"} or {"new_id", "set_value"}, `output_mapping` the new
    outputs as {"new_idx", "old_idx"}; None keeps names and places as they are. `old_widget_ids` names the old class's
    widgets in their order, for those who read saved workflows.
    """

    old_node_id: str
    new_node_id: str
    old_widget_ids: tuple[str, ...] | None = None
    input_mapping: tuple[Mapping[str, Any], ...] | None = None
    output_mapping: tuple[Mapping[str, int], ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry in the answer of GET /node_replacements; `replacement_from_json` reads it."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: list(value) if is_sequence(value) else value for name, value in said.items()}

    def inputs(self, node: PromptNode) -> dict[str, Any]:
        """The inputs of the new class, from those of the old one."""
        if self.input_mapping is None:
            return node.inputs
        found = {each["new_id"]: each["set_value"] for each in self.input_mapping if "set_value" in each}
        moved = [(each["new_id"], each["old_id"]) for each in self.input_mapping if "old_id" in each]
        return found | {new: node.inputs[old] for new, old in moved if old in node.inputs}

    def slot(self, old: int) -> int | None:
        """The place of an old output among the new ones, None where it has gone."""
        if self.output_mapping is None:
            return old
        return next((each["new_idx"] for each in self.output_mapping if each["old_idx"] == old), None)


Replacements = Mapping[str, Sequence[Replacement]]  # by old class


def renamed() -> tuple[Replacement, ...]:
    """The classes that have only been renamed."""
    return tuple(Replacement(old, new) for old, new in RENAMED.items())


def by_old_class(replacements: Iterable[Replacement]) -> dict[str, list[Replacement]]:
    """Replacements by the class that they replace; the first whose new class is there will count."""
    found: dict[str, list[Replacement]] = {}
    for each in replacements:
        found.setdefault(each.old_node_id, []).append(each)
    return found


def old_widgets(class_type: str, replacements: Replacements, known: Container[str]) -> tuple[str, ...]:
    """The names of the widgets of a class that is not `known` any more, in the order of their saved values."""
    found = None if class_type in known else _standing_in(class_type, replacements, known)
    return (found.old_widget_ids or ()) if found is not None else ()


def replacement_from_json(data: object) -> Replacement:
    """The replacement that JSON data says.

    Raises:
        InvalidRequest: something is missing, or is not what it should be.
    """
    if not is_object(data):
        raise _unreadable(f"it is a {type(data).__name__}, no object")
    for name in ("old_node_id", "new_node_id"):
        if not isinstance(data.get(name), str) or not data[name]:
            raise _unreadable(f"{name} is {str(data.get(name))[:80]!r}, no name of a class")
    widgets = data.get("old_widget_ids")
    if widgets is not None and not is_sequence(widgets):
        raise _unreadable("old_widget_ids is no list of names")
    inputs = _rows(data, "input_mapping")
    for row in inputs or ():
        if not isinstance(row.get("new_id"), str) or not ("set_value" in row or isinstance(row.get("old_id"), str)):
            raise _unreadable(f"{str(dict(row))[:80]} in input_mapping lacks new_id, and old_id or set_value")
    outputs = _rows(data, "output_mapping")
    for row in outputs or ():
        if any(type(row.get(name)) is not int or row[name] < 0 for name in ("new_idx", "old_idx")):
            raise _unreadable(f"{str(dict(row))[:80]} in output_mapping lacks new_idx or old_idx, counted from 0")
    old, new = data["old_node_id"], data["new_node_id"]
    return Replacement(old, new, None if widgets is None else tuple(map(str, widgets)), inputs, outputs)


def with_replacements(prompt: Prompt, replacements: Replacements, known: Container[str]) -> Prompt:
    """The prompt with nodes of classes that are not `known` any more as nodes of what stands in for them.

    Raises:
        InvalidPrompt: something links to an output that the new class does not have.
    """
    chosen = dict(_chosen(prompt.nodes.values(), replacements, known))
    if not chosen:
        return prompt
    nodes: dict[str, PromptNode] = {}
    for node in prompt.nodes.values():
        rewritten = chosen.get(node.id)
        inputs = node.inputs if rewritten is None else rewritten.inputs(node)
        inputs = {name: _relinked(node, name, value, chosen) for name, value in inputs.items()}
        class_type = node.class_type if rewritten is None else rewritten.new_node_id
        nodes[node.id] = replace(node, class_type=class_type, inputs=inputs)
    return Prompt(nodes)


def _chosen(
    nodes: Iterable[PromptNode], replacements: Replacements, known: Container[str]
) -> Iterator[tuple[str, Replacement]]:
    for node in nodes:
        if node.class_type not in known:
            found = _standing_in(node.class_type, replacements, known)
            if found is not None:
                yield node.id, found


def _standing_in(class_type: str, replacements: Replacements, known: Container[str]) -> Replacement | None:
    return next((each for each in replacements.get(class_type, ()) if each.new_node_id in known), None)


def _relinked(node: PromptNode, name: str, value: Any, chosen: Mapping[str, Replacement]) -> Any:
    rewritten = chosen.get(value.node) if isinstance(value, Link) else None
    if rewritten is None:
        return value
    slot = rewritten.slot(value.slot)
    if slot is None:
        raise InvalidPrompt(
            f"Input {name[:80]} of node {node.id[:80]} links to output {value.slot} of node {value.node[:80]}, which "
            f"has gone: its class {rewritten.old_node_id} is {rewritten.new_node_id} by now.",
            remedy=f"Link {name[:80]} to another output, or install the old pack.",
        )
    return Link(value.node, slot)


def _rows(data: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...] | None:
    rows = data.get(name)
    if rows is None:
        return None
    if not is_sequence(rows) or not all(is_object(row) for row in rows):
        raise _unreadable(f"{name} is no list of objects")
    return tuple(rows)


def _unreadable(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"A node replacement cannot be read: {why}.", remedy="The pack that registers it must be mended or updated."
    )
