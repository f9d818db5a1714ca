"""Inputs that depend on what a node is given: those that grow with their links, and choices that bring their own.

In a prompt they are called "images.image0" and "mode.strength"; the class declares how they look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.graph.json_values import is_list, is_object, is_sequence
from app.graph.spec import InputSpec, NodeSpec

GROWING = "COMFY_AUTOGROW_V3"
CHOOSING = "COMFY_DYNAMICCOMBO_V3"
MOST = 100
MOST_DEPTH = 8


def ports_of(spec: NodeSpec, inputs: Mapping[str, Any]) -> tuple[InputSpec, ...]:
    """The inputs of a class as they are on a node with these values: every dynamic one as those that it stands for."""
    if not spec.accepts_any_input:  # whatever has dynamic inputs takes names that it does not declare
        return spec.inputs
    return tuple(each for port in spec.inputs for each in _expanded(port, inputs, 0))


def _expanded(port: InputSpec, inputs: Mapping[str, Any], depth: int) -> Iterator[InputSpec]:
    if port.type == GROWING:
        yield from _grown(port, inputs)
    elif port.type == CHOOSING:
        yield from _chosen(port, inputs, depth)
    else:
        yield port


def _grown(port: InputSpec, inputs: Mapping[str, Any]) -> Iterator[InputSpec]:
    """The first ones are required as far as the class says so; others are there if they are given."""
    template = port.options.get("template")
    if not is_object(template):
        return
    like = next(_declared(template.get("input"), ""), None)
    if like is None:
        return
    fewest = template.get("min", 1)
    for number, name in enumerate(_names(template)):
        full = f"{port.name}.{name}"
        needed = isinstance(fewest, int) and number < fewest and like.section == "required"
        if needed or full in inputs:
            yield InputSpec(full, like.type, "required" if needed else "optional", like.options, like.folder)


def _names(template: Mapping[str, Any]) -> list[str]:
    listed = template.get("names")
    if is_list(listed):
        return [str(name) for name in listed[:MOST]]
    most = template.get("max", 10)
    return [f"{template.get('prefix', '')}{n}" for n in range(min(most if isinstance(most, int) else 10, MOST))]


def _chosen(port: InputSpec, inputs: Mapping[str, Any], depth: int) -> Iterator[InputSpec]:
    """The choice as a combo of its keys, and the inputs of what is chosen."""
    said = port.options.get("options")
    options = {each["key"]: each for each in said if is_object(each) and "key" in each} if is_sequence(said) else {}
    plain = {name: value for name, value in port.options.items() if name not in ("options", "template")}
    yield InputSpec(port.name, tuple(options), port.section, plain)
    value = inputs.get(port.name)
    option = options.get(value) if isinstance(value, str) else None
    if option is not None and depth < MOST_DEPTH:
        for each in _declared(option.get("inputs"), f"{port.name}."):
            yield from _expanded(each, inputs, depth + 1)


def _declared(sections: Any, prefix: str) -> Iterator[InputSpec]:
    """The inputs in {"required": {name: [type, options]}, "optional": …}."""
    for section in ("required", "optional"):
        entries = sections.get(section) if is_object(sections) else None
        for name, entry in entries.items() if is_object(entries) else ():
            parts: list[Any] = list(entry) if is_sequence(entry) and entry else ["*"]
            kind = tuple(parts[0]) if is_sequence(parts[0]) else str(parts[0])
            options: Mapping[str, Any] = parts[1] if len(parts) > 1 and is_object(parts[1]) else {}
            yield InputSpec(f"{prefix}{name}", kind, "required" if section == "required" else "optional", options)
