"""Which widget of a node a saved value belongs to: the order is that of the declared inputs.

The editor reads files by the same rules (web/core/nodes/values.js), and both pass the same examples.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.graph.document import UiNode
from app.graph.drawn_inputs import drawn_spec
from app.graph.dynamic_inputs import CHOOSING, OPENING, REPEATING
from app.graph.spec import InputSpec, NodeSpec
from app.graph.types import COMBO

WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COLOR", COMBO})
CONTROLS = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
UPLOADS = ("image", "video", "audio", "upload", "file")
EDITORS_OWN = frozenset({"control_after_generate", "control_filter_list", "upload", "refresh"})

Files = Mapping[str, Sequence[Any]]
_EMPTY = {"BOOLEAN": False, "STRING": "", "COLOR": ""}


@dataclass(frozen=True, slots=True)
class Widget:
    """A widget in its order. `extra` names the kind of those that the editor adds behind the one of input `port`."""

    name: str
    port: InputSpec
    extra: Literal["control", "filter", "upload"] | None = None


def widget_values(node: UiNode, spec: NodeSpec | None, files: Files | None = None) -> dict[str, Any]:
    """The values of a node's widgets by input name; what the file leaves out or says null of is the default.

    A node of unknown class keeps what is named in the file. `files` are the options of combos that list a folder.
    """
    if spec is None:
        return stated_values(node)
    values: dict[str, Any] = {}
    drawn = drawn_spec(spec, node, lambda port: len(_widgets_of_input(port)))
    for port, given in own_values(node, drawn, files or {}):
        value = default_of(port, files or {}) if given is None else _mended(port, given)
        if value is not None and port.type != REPEATING:
            values[port.name] = value
    return values | _grown(node, spec, {port.name for port in drawn.inputs})


def own_values(node: UiNode, spec: NodeSpec, files: Files) -> list[tuple[InputSpec, Any]]:
    """Each input that has a widget with the value in the file, None where there is none."""
    widgets = widgets_of(spec)
    if isinstance(node.values, dict):
        return [(widget.port, node.values.get(widget.name)) for widget in widgets if widget.extra is None]
    places = value_places(node, widgets, files)
    listed = node.values
    return [
        (widget.port, listed[place] if 0 <= place < len(listed) else None)
        for widget, place in zip(widgets, places, strict=True)
        if widget.extra is None
    ]


def widgets_of(spec: NodeSpec) -> list[Widget]:
    """The widgets of a class in the order of their values: required inputs first, extra ones behind their owner."""
    ordered = sorted(spec.inputs, key=lambda port: port.section != "required")
    return [widget for port in ordered for widget in _widgets_of_input(port)]


def value_places(node: UiNode, widgets: Sequence[Widget], files: Files) -> list[int]:
    """The index of each widget's value in the node's list; -1 where the list has none for it."""
    names = _names(node)
    if names is not None and any(widget.name in names for widget in widgets):
        return [names.index(widget.name) if widget.name in names else -1 for widget in widgets]
    values = node.values if isinstance(node.values, list) else []
    places: list[int] = []
    position, controlled = 0, True
    for index, widget in enumerate(widgets):
        present = widget.extra is None or position >= len(values)
        if not present:
            # Old files and other programs leave the editor's own widgets out.
            following = next((other.port for other in widgets[index + 1 :] if other.extra is None), None)
            present = _is_extra(widget, values[position], following, files)
            present = present and (controlled or widget.extra != "filter")
            controlled = present if widget.extra == "control" else controlled
        places.append(position if present else -1)
        position += present
    return places


def default_of(port: InputSpec, files: Files) -> Any:
    """What a fresh widget shows; None where nothing can be chosen."""
    given = port.options.get("default")
    options = choices_of(port, files)
    if options is not None:
        if given is not None and (not options or given in options):
            return given
        return options[0] if options else None
    if given is not None:
        return given
    if port.type in ("INT", "FLOAT"):
        least: float = max(0, port.options.get("min", 0))
        return min(least, port.options.get("max", least))
    return _EMPTY.get(str(port.type))


def choices_of(port: InputSpec, files: Files) -> Sequence[Any] | None:
    """The options of a combo, None for any other input."""
    if port.folder:
        return port.choices(files)
    if not isinstance(port.type, str):
        return port.type
    return port.options.get("options", ()) if port.type == COMBO else None


def stated_values(node: UiNode) -> dict[str, Any]:
    """What the file itself says of the values of a node whose class nobody knows, by input name."""
    names = _names(node)
    if isinstance(node.values, dict):
        stated: Mapping[str, Any] = node.values
    elif names is not None:
        stated = dict(zip(names, node.values, strict=True))
    elif node.named_values is not None:
        stated = node.named_values
    else:
        stated = _by_sockets(node, node.values)
    return {name: value for name, value in stated.items() if name not in EDITORS_OWN and value is not None}


def _by_sockets(node: UiNode, values: Sequence[Any]) -> dict[str, Any]:
    """The values in the order of the sockets of widgets, past the words of controls."""
    found: dict[str, Any] = {}
    position = 0
    for name in (socket.name for socket in node.inputs if socket.widget):
        if 0 < position < len(values) and _is_number(values[position - 1]) and values[position] in CONTROLS:
            position += 1
        found[name] = values[position] if position < len(values) else None
        position += 1
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(node: UiNode) -> list[str] | None:
    """The names of the listed values, None where the file does not say them one by one."""
    if node.named_values is None or not isinstance(node.values, list) or len(node.named_values) != len(node.values):
        return None
    # The editor's reader loses the place of a key such as "3".
    return None if any(name.isdecimal() for name in node.named_values) else list(node.named_values)


def _grown(node: UiNode, spec: NodeSpec, known: Collection[str]) -> dict[str, Any]:
    """The named values of inputs that grow under others, beside those that are `known`, such as "values.value0"."""
    if node.named_values is None:
        return {}
    owners = {port.name for port in spec.inputs if port.type not in (CHOOSING, OPENING, REPEATING)}
    return {
        name: value
        for name, value in stated_values(node).items()
        if "." in name and name not in known and name.partition(".")[0] in owners
    }


def has_widget(port: InputSpec) -> bool:
    """Whether an input shows a widget; the others take links only."""
    if port.options.get("forceInput") or port.options.get("rawLink"):
        return False
    return port.folder is not None or not isinstance(port.type, str) or port.type in WIDGET_TYPES


def _widgets_of_input(port: InputSpec) -> list[Widget]:
    """The widget of an input and those behind it, none for a socket; rows have one for their number."""
    return [Widget(port.name, port), *_extras(port)] if has_widget(port) or port.type == REPEATING else []


def _extras(port: InputSpec) -> list[Widget]:
    """The widgets that the editor adds behind an input's own."""
    combo = port.folder is not None or not isinstance(port.type, str) or port.type == COMBO
    controlled = port.options.get("control_after_generate")
    if controlled is None:
        controlled = port.type == "INT" and port.name in ("seed", "noise_seed")
    extras: list[Widget] = []
    if controlled and (combo or port.type == "INT"):
        extras.append(Widget("control_after_generate", port, "control"))
    if controlled and combo:
        extras.append(Widget("control_filter_list", port, "filter"))
    if any(name.endswith("_upload") for name, value in port.options.items() if value):
        extras.append(Widget("upload", port, "upload"))
    return extras


def _is_extra(widget: Widget, value: object, following: InputSpec | None, files: Files) -> bool:
    """Whether the value could be that of a widget of the editor's own, and not of the node's next one."""
    if value is None:
        return True
    if widget.extra == "control":
        return isinstance(value, bool) or value in CONTROLS
    if following is not None and _fits(following, value, files):
        return False
    return value in UPLOADS if widget.extra == "upload" else isinstance(value, str)


def _fits(port: InputSpec, value: object, files: Files) -> bool:
    """Whether the value could be that widget's own."""
    options = choices_of(port, files)
    if options is not None:
        return not options or value in options
    return isinstance(value, str) and port.type == "STRING"


def _mended(port: InputSpec, value: Any) -> Any:
    """Old files wrote sampler names with a prefix."""
    if port.name == "sampler_name" and isinstance(value, str):
        return value.removeprefix("sample_")
    return value
