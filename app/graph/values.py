"""Input values: converted to the declared type and checked against its limits, literals and what links carry.

A `Complaint` has the types and message texts that ComfyUI's clients know, and a way out in `extra_info["remedy"]`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.graph.json_values import is_list, is_sequence
from app.graph.spec import InputSpec, NodeSpec
from app.graph.types import COMBO

SHOWN_OPTIONS = 20  # longer lists are told by their length
SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a node, in the words of the wire."""

    type: str
    message: str
    details: str
    extra_info: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The entry in a node's `errors`."""
        return {
            "type": self.type,
            "message": self.message,
            "details": self.details,
            "extra_info": dict(self.extra_info),
        }


def complaint(kind: str, message: str, details: str, *, port: InputSpec, remedy: str, **facts: Any) -> Complaint:
    """A complaint about one input."""
    config = [port.type if isinstance(port.type, str) else _few(port.type), dict(port.options)]
    return Complaint(
        kind, message, details, {"input_name": port.name, "input_config": config, "remedy": remedy, **facts}
    )


def converted(port: InputSpec, value: object) -> tuple[Any, Complaint | None]:
    """The value as the declared type; unchanged for types that literals are not converted to."""
    if not isinstance(port.type, str) or port.type not in _CONVERSIONS:
        return value, None
    try:
        return _CONVERSIONS[port.type](value), None
    except (ValueError, TypeError, OverflowError) as error:
        return value, _not_converted(port, value, str(error))


def out_of_range(port: InputSpec, value: object) -> Complaint | None:
    """A number below `min` or above `max`; both bounds are allowed values."""
    if not isinstance(value, int | float):
        return None
    low, high = port.options.get("min"), port.options.get("max")
    if isinstance(low, int | float) and value < low:
        kind, message, nearest = "value_smaller_than_min", f"Value {shown(value)} smaller than min of {low}", low
    elif isinstance(high, int | float) and value > high:
        kind, message, nearest = "value_bigger_than_max", f"Value {shown(value)} bigger than max of {high}", high
    else:
        return None
    remedy = f"Set {port.name} to {nearest}, or to anything between {low} and {high}."
    return complaint(kind, message, port.name, port=port, remedy=remedy, received_value=bounded(value))


def chosen(port: InputSpec, value: object, files: Mapping[str, Sequence[Any]]) -> tuple[Any, Complaint | None]:
    """The value of a combo as its option is written, or a complaint that it is none of them."""
    options = _options(port, files)
    if options is None:
        return value, None
    if is_list(value) and _takes_several(port):
        missing = [item for item in value if item not in options]
        return value, _not_in_list(port, missing[0], options) if missing else None
    if value in options:
        return value, None
    if port.folder and isinstance(value, str):
        found = _same_file(value, options)
        if found is not None:
            return found, None
        if port.folder == "input" and _outside_listing(value):
            return value, None
    return value, _not_in_list(port, value, options)


def literal(
    spec: NodeSpec, port: InputSpec, value: object, files: Mapping[str, Sequence[Any]]
) -> tuple[Any, Complaint | None]:
    """The value as declared, or what is wrong with it."""
    value, problem = converted(port, value)
    if problem or unchecked(spec, port.name):
        return value, problem
    problem = out_of_range(port, value)
    return (value, problem) if problem else chosen(port, value, files)


def is_combo(port: InputSpec) -> bool:
    """Whether the input is a choice among options."""
    return not isinstance(port.type, str) or port.type == COMBO


def limits_links(port: InputSpec) -> bool:
    """Whether values that come over links to this input can be held against what it declares.

    Names of files are not: whoever opens the file finds out whether it is there.
    """
    return not port.folder and (port.type in _CONVERSIONS or is_combo(port))


def linked(spec: NodeSpec, port: InputSpec, value: object) -> tuple[Any, Complaint | None]:
    """A value that came over a link, as `literal` takes it; `limits_links` is true of the input."""
    if value is None and port.section == "optional":
        return value, None
    if _is_plain(port, value):
        return literal(spec, port, value, {})
    kind = type(value).__name__
    if is_combo(port):
        return value, _not_in_list(port, f"a value of type {kind}", _options(port, {}) or ())
    return value, _not_converted(port, f"a value of type {kind}", f"it is not {_EXAMPLES[str(port.type)]}")


def unchecked(spec: NodeSpec, name: str) -> bool:
    """Whether the node's own validator answers for the limits of this input."""
    return "*" in spec.validator_inputs or name in spec.validator_inputs


def shown(value: object) -> str:
    """A value as text of bounded length."""
    try:
        text = str(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number too long to write"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def bounded(value: object) -> Any:
    """A value for an answer: numbers and short texts as they are, all else as bounded text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() <= 64:
        return value
    return value if isinstance(value, float) and math.isfinite(value) else shown(value)


def _to_int(value: Any) -> int:
    return int(value)


def _to_float(value: Any) -> float:
    number = float(value)
    if math.isnan(number):
        raise ValueError("not a number")
    return number


def _to_text(value: Any) -> str:
    return str(value)


def _to_truth(value: Any) -> bool:
    return bool(value)


_CONVERSIONS = {"INT": _to_int, "FLOAT": _to_float, "STRING": _to_text, "BOOLEAN": _to_truth}
_EXAMPLES = {"INT": "a whole number", "FLOAT": "a number", "STRING": "a text", "BOOLEAN": "true or false"}


def _not_converted(port: InputSpec, value: object, reason: str) -> Complaint:
    kind = str(port.type)
    return complaint(
        "invalid_input_type",
        f"Failed to convert an input value to a {kind} value",
        f"{port.name}, {shown(value)}, {reason}",
        port=port,
        remedy=f"Set {port.name} to {_EXAMPLES[kind]}.",
        received_value=bounded(value),
        exception_message=reason[:SHOWN_CHARACTERS],
    )


def _is_plain(port: InputSpec, value: object) -> bool:
    """Whether a prompt could hold such a value for the input; scalars of other libraries count as numbers."""
    if isinstance(value, int | float | str):
        return True
    if is_combo(port):
        return is_list(value) and all(isinstance(item, int | float | str) for item in value)
    return port.type != "STRING" and getattr(value, "shape", None) == ()


def _options(port: InputSpec, files: Mapping[str, Sequence[Any]]) -> Sequence[Any] | None:
    """What a combo may be set to; None where the input is no combo or its options are known elsewhere."""
    if port.folder:
        return port.choices(files)
    if not isinstance(port.type, str):
        return port.type
    listed = port.options.get("options")
    if port.type != COMBO or port.options.get("remote") or not is_sequence(listed):
        return None
    return listed


def _takes_several(port: InputSpec) -> bool:
    return bool(port.options.get("multiselect") or port.options.get("multi_select"))


def _same_file(value: str, options: Iterable[Any]) -> str | None:
    """The listed file that a name written on another system means: only the slashes may differ."""
    wanted = value.replace("\\", "/")
    return next((name for name in options if isinstance(name, str) and name.replace("\\", "/") == wanted), None)


def _outside_listing(value: str) -> bool:
    """Names of input files that no listing holds: in a sub-folder, or in another folder ("x.png [output]").

    Whether they exist and may be read is found out by the node that opens them.
    """
    return "/" in value or value.endswith(("[input]", "[output]", "[temp]"))


def _not_in_list(port: InputSpec, value: object, options: Sequence[Any]) -> Complaint:
    short = len(options) <= SHOWN_OPTIONS
    listing = str(list(options)) if short else f"(list of length {len(options)})"
    facts: dict[str, Any] = {} if short else {"input_config": None}
    return complaint(
        "value_not_in_list",
        "Value not in list",
        f"{port.name}: '{shown(value)}' not in {listing}",
        port=port,
        remedy=_remedy(port, options),
        **{"received_value": bounded(value), **facts},
    )


def _remedy(port: InputSpec, options: Sequence[Any]) -> str:
    if options:
        return f"Choose one of the {len(options)} options of {port.name}, for example {shown(options[0])}."
    if port.folder:
        return f"There is no file in the folder {port.folder} yet: put one there, or choose another node."
    return f"{port.name} has no options; the node cannot run here."


def _few(options: Sequence[Any]) -> list[Any]:
    return list(options[:SHOWN_OPTIONS])
