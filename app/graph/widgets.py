"""Which widget of a node a saved list of values belongs to: the order is that of the declared inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.graph.document import UiNode
from app.graph.spec import InputSpec, NodeSpec
from app.graph.types import COMBO

WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COLOR", COMBO})
CONTROLS = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
UPLOADS = ("image", "video", "audio", "upload", "file", None)

_EMPTY = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}


def widget_values(
    node: UiNode, spec: NodeSpec | None, files: Mapping[str, Sequence[Any]] | None = None
) -> dict[str, Any]:
    """The values of a node's widgets by input name; what the file leaves out or says null of is the default.

    A node of unknown class keeps what is named in the file. `files` are the options of combos that list a folder.
    """
    if spec is None:
        return _unknown(node)
    ports = widget_ports(spec)
    if isinstance(node.values, dict):
        given = {port.name: node.values.get(port.name) for port in ports}
    else:
        given = dict(_in_order(ports, node.values))
    values: dict[str, Any] = {}
    for port in ports:
        value = node.named_values.get(port.name, given.get(port.name))
        value = default_of(port, files or {}) if value is None else _mended(port, value)
        if value is not None:
            values[port.name] = value
    return values


def widget_ports(spec: NodeSpec) -> list[InputSpec]:
    """The inputs that have a widget, in its order: required ones first."""
    made = [port for port in spec.inputs if _has_widget(port)]
    return sorted(made, key=lambda port: port.section != "required")


def default_of(port: InputSpec, files: Mapping[str, Sequence[Any]]) -> Any:
    """What a fresh widget shows; None where nothing can be chosen."""
    if "default" in port.options:
        return port.options["default"]
    if port.folder or not isinstance(port.type, str) or port.type == COMBO:
        options = files.get(port.folder, ()) if port.folder else port.type
        options = port.options.get("options", ()) if options == COMBO else options
        return options[0] if options else None
    return port.options.get("min", _EMPTY.get(port.type)) if port.type in ("INT", "FLOAT") else _EMPTY.get(port.type)


def _has_widget(port: InputSpec) -> bool:
    if port.options.get("forceInput"):
        return False
    return port.folder is not None or not isinstance(port.type, str) or port.type in WIDGET_TYPES


def _in_order(ports: Sequence[InputSpec], values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Each widget with its value, past the values of the extra widgets that stand behind some of them."""
    position = 0
    for index, port in enumerate(ports):
        if position >= len(values):
            return
        yield port.name, values[position]
        position += 1
        following = ports[index + 1] if index + 1 < len(ports) else None
        rest = values[position : position + 2]
        position += _extras(port, following, rest)


def _extras(port: InputSpec, following: InputSpec | None, rest: Sequence[Any]) -> int:
    """How many of the next values belong to extra widgets of this one."""
    if not rest:
        return 0
    if _is_controlled(port) and (rest[0] in CONTROLS or isinstance(rest[0], bool)):
        combo = port.type == COMBO or not isinstance(port.type, str)
        filtered = combo and len(rest) > 1 and isinstance(rest[1], str) and not _fits(following, rest[1])
        return 2 if filtered else 1
    if any(name.endswith("_upload") for name, value in port.options.items() if value):
        return 1 if rest[0] in UPLOADS and not _fits(following, rest[0]) else 0
    return 0


def _is_controlled(port: InputSpec) -> bool:
    named = port.type == "INT" and port.name in ("seed", "noise_seed")
    return named or bool(port.options.get("control_after_generate"))


def _fits(port: InputSpec | None, value: object) -> bool:
    """Whether the value could be that widget's own."""
    if port is None:
        return False
    if not isinstance(port.type, str):
        return bool(port.folder) or value in port.type
    if port.type == COMBO:
        return value in port.options.get("options", (value,))
    return isinstance(value, str) and port.type == "STRING"


def _mended(port: InputSpec, value: Any) -> Any:
    """Old files wrote sampler names with a prefix."""
    if port.name == "sampler_name" and isinstance(value, str):
        return value.removeprefix("sample_")
    return value


def _unknown(node: UiNode) -> dict[str, Any]:
    if isinstance(node.values, dict):
        return dict(node.values)
    names = [socket.name for socket in node.inputs if socket.widget]
    return {**dict(zip(names, node.values, strict=False)), **node.named_values}
