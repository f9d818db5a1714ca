"""Inputs that a saved graph offers to programs: nodes whose title says so (see `marks`).

A node titled `input:prompt` offers its first widget under the name prompt; `input:seed@seed, steps@steps` offers two by
their own names. Several nodes may offer the same name: a value is then given to all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.errors import InvalidRequest
from app.graph.marks import Mark, full_names, given_twice, marks_of
from app.graph.prompt import Link, NoLink, Prompt, PromptNode
from app.graph.spec import InputSpec, NodeSpec
from app.graph.widgets import Files, choices_of, has_widget

_JSON_TYPES: Mapping[str, str] = {"INT": "integer", "FLOAT": "number", "STRING": "string", "BOOLEAN": "boolean"}


@dataclass(frozen=True, slots=True)
class MarkedInput:
    """A value of a node that is offered under a name; `default` is what the saved graph holds.

    `also` are further (node id, input) that take the same value.
    """

    name: str
    node_id: str
    port: InputSpec
    default: Any
    choices: Sequence[Any] | None = None
    also: tuple[tuple[str, str], ...] = ()

    def takes(self) -> dict[str, Any]:
        """What values it takes: inputs that take the same may share a name."""
        return {key: value for key, value in self.schema().items() if key not in ("default", "description", "examples")}

    def schema(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        options = self.port.options
        told: dict[str, Any] = {"default": self.default}
        if options.get("tooltip"):
            told["description"] = options["tooltip"]
        if self.port.folder:  # files come and go: which there are is asked when the graph is checked
            return {"type": "string", **told, "examples": list(self.choices or ())[:20]}
        if self.choices is not None:
            return {"enum": list(self.choices), **told}
        kind = _JSON_TYPES.get(str(self.port.type))
        if kind is None:
            return told
        limits = {"min": "minimum", "max": "maximum"} if kind in ("integer", "number") else {}
        return {"type": kind, **told, **{word: options[key] for key, word in limits.items() if key in options}}

    def checked(self, value: object) -> Any:
        """The value, if the input takes it.

        Raises:
            InvalidRequest: it does not; the message names the input and what it takes.
        """
        schema = self.schema()
        wrong = _wrong(schema, value)
        if wrong:
            told = f"{value!r:.80}"
            raise InvalidRequest(f"Input {self.name!r} cannot be {told}: {wrong}.", remedy=_remedy(self.name, schema))
        return value


def marked_inputs(prompt: Prompt, specs: Mapping[str, NodeSpec], files: Files) -> tuple[MarkedInput, ...]:
    """What the graph offers, in the order of its nodes.

    Raises:
        InvalidRequest: a mark that cannot be followed, or a name for inputs that take different things.
    """
    found: list[MarkedInput] = []
    for node in prompt.nodes.values():
        spec = specs.get(node.class_type)
        for mark in marks_of(node.title):
            if mark.kind == "input":
                port = _port(node, spec, mark)
                found.append(MarkedInput(mark.name, node.id, port, node.inputs.get(port.name), choices_of(port, files)))
    named: dict[str, MarkedInput] = {}
    for name, each in zip(full_names([(each.name, each.node_id) for each in found]), found, strict=True):
        first = named.setdefault(name, replace(each, name=name))
        if first.takes() != each.takes():
            raise given_twice(name, first.node_id, each.node_id)
        if (first.node_id, first.port) != (each.node_id, each.port):
            named[name] = replace(first, also=(*first.also, (each.node_id, each.port.name)))
    return tuple(named.values())


def inputs_schema(marked: Iterable[MarkedInput]) -> dict[str, Any]:
    """The JSON schema of an object of values by name; all may be left out."""
    return {
        "type": "object",
        "properties": {each.name: each.schema() for each in marked},
        "additionalProperties": False,
    }


def with_inputs(prompt: Prompt, marked: Sequence[MarkedInput], values: Mapping[str, Any]) -> Prompt:
    """The graph with these values in it.

    Raises:
        InvalidRequest: a name that is not offered, or a value that its input does not take.
    """
    known = {each.name: each for each in marked}
    nodes = dict(prompt.nodes)
    for name, value in values.items():
        if name not in known:
            there = ", ".join(known) or "none; title a node input:NAME"
            raise InvalidRequest(f"There is no input {name[:80]!r}.", remedy=f"The inputs are: {there}.")
        each = known[name]
        good = each.checked(value)
        for node_id, port in ((each.node_id, each.port.name), *each.also):
            nodes[node_id] = replace(nodes[node_id], inputs={**nodes[node_id].inputs, port: good})
    return Prompt(nodes)


def _port(node: PromptNode, spec: NodeSpec | None, mark: Mark) -> InputSpec:
    """The value that a mark means."""
    ports = [port for port in spec.inputs if has_widget(port)] if spec else []
    free = [port for port in ports if not isinstance(node.inputs.get(port.name), Link | NoLink)]
    port = next((port for port in free if mark.widget in ("", port.name)), None)
    if port is None:
        there = ", ".join(port.name for port in free) or "none"
        raise InvalidRequest(
            f"Node {node.id} ({node.class_type}) is to offer {mark.name!r}, but has no free value {mark.widget!r}.",
            remedy=f"Its free values are: {there}. Title it input:NAME@VALUE.",
        )
    return port


def _wrong(schema: Mapping[str, Any], value: object) -> str:
    """What is wrong with a value, "" for nothing."""
    if "enum" in schema:
        return "" if value in schema["enum"] else "it is none of the choices"
    kind = schema.get("type")
    if kind is None:
        return ""
    if kind in ("integer", "number"):
        number = isinstance(value, int) or (kind == "number" and isinstance(value, float) and math.isfinite(value))
        if isinstance(value, bool) or not number or not isinstance(value, int | float):
            return f"it must be {'a whole number' if kind == 'integer' else 'a number'}"
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            return "it is out of range"
        return ""
    wanted = str if kind == "string" else bool
    return "" if isinstance(value, wanted) else f"it must be {'text' if wanted is str else 'true or false'}"


def _remedy(name: str, schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        choices = ", ".join(str(choice) for choice in schema["enum"][:20])
        return f"Choose one of: {choices}."
    if "minimum" in schema or "maximum" in schema:
        return f"Send a {schema['type']} from {schema.get('minimum', '-∞')} to {schema.get('maximum', '∞')}."
    return f"Send {name} as {schema['type']}, or leave it out."
