"""Inputs that depend on what a node is given: those that grow, and those that bring inputs of their own.

In a prompt they are called "images.image0" where each link makes room for one more, "mode.strength" where a choice or
a linked socket brings its own, and "loras.2.strength" in the third of several equal rows. The class declares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.graph.json_values import is_list, is_object, is_sequence
from app.graph.spec import InputSpec, NodeSpec

GROWING = "COMFY_AUTOGROW_V3"
CHOOSING = "COMFY_DYNAMICCOMBO_V3"
OPENING = "COMFY_DYNAMICSLOT_V3"  # a socket that brings its own inputs once it is linked
REPEATING = "COMFY_DYNAMICGROUP_V3"  # rows of inputs
DYNAMIC = frozenset({GROWING, CHOOSING, OPENING, REPEATING})
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
    elif port.type == REPEATING:
        yield from _repeated(port, inputs)
    elif port.type == CHOOSING:
        choice, option = chosen_option(port, inputs.get(port.name))
        yield choice
        yield from _brought(port, option, inputs, depth)
    elif port.type == OPENING:
        yield opening_socket(port)
        yield from _brought(port, port.options if port.name in inputs else None, inputs, depth)
    else:
        yield port


def _brought(
    port: InputSpec, owner: Mapping[str, Any] | None, inputs: Mapping[str, Any], depth: int
) -> Iterator[InputSpec]:
    """The inputs that a choice or an open socket declares."""
    if owner is not None and depth < MOST_DEPTH:
        for each in declared_inputs(owner.get("inputs"), f"{port.name}."):
            yield from _expanded(each, inputs, depth + 1)


def _grown(port: InputSpec, inputs: Mapping[str, Any]) -> Iterator[InputSpec]:
    """The first ones are required as far as the class says so; others are there if they are given."""
    template = port.options.get("template")
    if not is_object(template):
        return
    like = next(declared_inputs(template.get("input"), ""), None)
    if like is None:
        return
    fewest = template.get("min", 1)
    for number, name in enumerate(grown_names(template)):
        full = f"{port.name}.{name}"
        needed = isinstance(fewest, int) and number < fewest and like.section == "required"
        if needed or full in inputs:
            yield InputSpec(full, like.type, "required" if needed else "optional", like.options, like.folder)


def grown_names(template: Mapping[str, Any]) -> list[str]:
    """What the inputs that a template may grow to are called, behind the dot."""
    listed = template.get("names")
    if is_list(listed):
        return [str(name) for name in listed[:MOST]]
    most = template.get("max", 10)
    return [f"{template.get('prefix', '')}{n}" for n in range(min(most if isinstance(most, int) else 10, MOST))]


def chosen_option(port: InputSpec, value: object) -> tuple[InputSpec, Mapping[str, Any] | None]:
    """The choice as a combo of its keys, and the option that `value` means, None where it means none."""
    said = port.options.get("options")
    options = {each["key"]: each for each in said if is_object(each) and "key" in each} if is_sequence(said) else {}
    plain = {name: value for name, value in port.options.items() if name not in ("options", "template")}
    combo = InputSpec(port.name, tuple(options), port.section, plain)
    return combo, options.get(value) if isinstance(value, str) else None


def opening_socket(port: InputSpec) -> InputSpec:
    """The socket itself of an input that brings others once it is linked."""
    plain = {name: value for name, value in port.options.items() if name not in ("inputs", "slotType")}
    return InputSpec(port.name, str(port.options.get("slotType") or "*"), port.section, plain)


def rows_of(port: InputSpec) -> tuple[int, int]:
    """(fewest, most) rows of an input that repeats; the limits are for people, a prompt may have more rows."""
    fewest, most = port.options.get("min", 0), port.options.get("max", 50)
    least = fewest if isinstance(fewest, int) else 0
    return max(0, min(least, MOST)), max(0, min(most if isinstance(most, int) else 50, MOST))


def row_inputs(port: InputSpec, row: int) -> Iterator[InputSpec]:
    """The inputs of one row."""
    return declared_inputs(port.options.get("template"), f"{port.name}.{row}.")


def _repeated(port: InputSpec, inputs: Mapping[str, Any]) -> Iterator[InputSpec]:
    """The rows that must be there, and all of which something is given."""
    begin = f"{port.name}."
    given = {name[len(begin) :].partition(".")[0] for name in inputs if name.startswith(begin)}
    rows = {int(each) for each in given if each.isascii() and each.isdecimal() and len(each) < 4}
    for row in sorted({*range(rows_of(port)[0]), *(row for row in rows if row < MOST)}):
        yield from row_inputs(port, row)


def declared_inputs(sections: Any, prefix: str) -> Iterator[InputSpec]:
    """The inputs, with a prefix to their names, in {"required": {name: [type, options]}, "optional": …}."""
    for section in ("required", "optional"):
        entries = sections.get(section) if is_object(sections) else None
        for name, entry in entries.items() if is_object(entries) else ():
            parts: list[Any] = list(entry) if is_sequence(entry) and entry else ["*"]
            kind = tuple(parts[0]) if is_sequence(parts[0]) else str(parts[0])
            options: Mapping[str, Any] = parts[1] if len(parts) > 1 and is_object(parts[1]) else {}
            yield InputSpec(f"{prefix}{name}", kind, "required" if section == "required" else "optional", options)
