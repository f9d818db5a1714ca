"""What the rest of the program knows of a node: frozen data that travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Section = Literal["required", "optional"]
Options = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a node.

    `type` is a type name ("INT", "MODEL", "IMAGE,MASK", "*") or the tuple of a combo's options.
    `folder` names a models folder, or "input", whose files are the options of a combo; whoever answers for the file
    system fills them in, because they change while the program runs. `also` are options beside the files.
    `options` are the wire options of the reference: default, min, max, step, round, multiline, tooltip, lazy …
    """

    name: str
    type: str | Options
    section: Section = "required"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    folder: str | None = None
    also: Options = ()

    def choices(self, files: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
        """The options of a combo that lists a folder; `files` are the names by folder."""
        there = files.get(self.folder or "", ())
        return (*there, *self.also) if self.also else there


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output of a node; `type` as in `InputSpec`."""

    name: str
    type: str | Options
    is_list: bool = False
    tooltip: str = ""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node class as data. The id is stable and is the reference's class name where one exists."""

    id: str
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    hidden: Mapping[str, str] = field(default_factory=dict[str, str])  # argument → PROMPT, UNIQUE_ID …
    display_name: str = ""
    category: str = ""
    help: str = ""
    module: str = "nodes"
    search_aliases: tuple[str, ...] = ()
    essentials_category: str = ""  # where a list of the most usual nodes shows it
    output_node: bool = False  # runs even when nobody reads its outputs
    input_is_list: bool = False
    not_idempotent: bool = False  # two equal nodes do not share a result
    is_async: bool = False  # its body waits for others, so it is begun before those that compute
    deprecated: bool = False
    experimental: bool = False
    has_validator: bool = False  # the class brings its own; asked in the worker
    has_fingerprint: bool = False  # the class says itself when it changed; asked in the worker
    validator_inputs: tuple[str, ...] = ()  # inputs that its validator answers for; "*" all, "input_types" link types
    accepts_any_input: bool = False  # inputs that it does not declare are passed too
    checks_links: bool = False  # values that come over links are held against the limits, as literals are
    loop: Literal["", "begin", "end"] = ""  # what stands between the two runs once in each round

    def input(self, name: str) -> InputSpec | None:
        """The input of that name, or None."""
        return next((port for port in self.inputs if port.name == name), None)


def spec_to_json(spec: NodeSpec) -> dict[str, Any]:
    """A spec as JSON data; `spec_from_json` is the inverse."""
    return {
        **{name: getattr(spec, name) for name in _PLAIN_FIELDS},
        "hidden": dict(spec.hidden),
        "search_aliases": list(spec.search_aliases),
        "validator_inputs": list(spec.validator_inputs),
        "inputs": [
            {
                "name": port.name,
                "type": _type_to_json(port.type),
                "section": port.section,
                "options": dict(port.options),
                "folder": port.folder,
                "also": list(port.also),
            }
            for port in spec.inputs
        ],
        "outputs": [
            {"name": port.name, "type": _type_to_json(port.type), "is_list": port.is_list, "tooltip": port.tooltip}
            for port in spec.outputs
        ],
    }


def spec_from_json(data: Mapping[str, Any]) -> NodeSpec:
    """The spec that `spec_to_json` wrote."""
    inputs = tuple(InputSpec(**_input_from_json(port)) for port in data["inputs"])
    outputs = tuple(OutputSpec(**_port_from_json(port)) for port in data["outputs"])
    rest: dict[str, Any] = {name: value for name, value in data.items() if name not in {"inputs", "outputs"}}
    rest |= {name: tuple(data.get(name, ())) for name in ("search_aliases", "validator_inputs")}
    return NodeSpec(**rest, inputs=inputs, outputs=outputs)


def object_info(spec: NodeSpec, files: Mapping[str, Options]) -> dict[str, Any]:
    """The entry of `GET /object_info` for a node.

    `files` maps a folder's name to the file names in it, for the combos that list a folder.
    """
    inputs: dict[str, dict[str, Any]] = {"required": {}}
    for port in spec.inputs:
        kind = tuple(port.choices(files)) if port.folder else port.type
        inputs.setdefault(port.section, {})[port.name] = [_type_to_json(kind), dict(port.options)]
    if spec.hidden:
        inputs["hidden"] = dict(spec.hidden)
    return {
        "input": inputs,
        "input_order": {section: list(ports) for section, ports in inputs.items()},
        "is_input_list": spec.input_is_list,
        "output": [_type_to_json(port.type) for port in spec.outputs],
        "output_is_list": [port.is_list for port in spec.outputs],
        "output_name": [port.name for port in spec.outputs],
        "output_tooltips": [port.tooltip for port in spec.outputs],
        "name": spec.id,
        "display_name": spec.display_name or spec.id,
        "description": spec.help,
        "python_module": spec.module,
        "category": spec.category,
        "output_node": spec.output_node,
        "deprecated": spec.deprecated,
        "experimental": spec.experimental,
        "search_aliases": list(spec.search_aliases),
        **({"essentials_category": spec.essentials_category} if spec.essentials_category else {}),
    }


_PLAIN_FIELDS = (
    "id",
    "display_name",
    "category",
    "help",
    "module",
    "essentials_category",
    "output_node",
    "input_is_list",
    "not_idempotent",
    "is_async",
    "deprecated",
    "experimental",
    "has_validator",
    "has_fingerprint",
    "accepts_any_input",
    "checks_links",
    "loop",
)


def _type_to_json(kind: str | Options) -> str | list[Any]:
    return kind if isinstance(kind, str) else list(kind)


def _input_from_json(port: Mapping[str, Any]) -> dict[str, Any]:
    return {**_port_from_json(port), "also": tuple(port.get("also", ()))}


def _port_from_json(port: Mapping[str, Any]) -> dict[str, Any]:
    return {**port, "type": _type_from_json(port["type"])}


def _type_from_json(kind: str | list[Any]) -> str | Options:
    return kind if isinstance(kind, str) else tuple(kind)
