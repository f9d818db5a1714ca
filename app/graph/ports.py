"""Ports from a function's annotations: the markers that go into `Annotated`, and their reading."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from app.graph.returned import Returned
from app.graph.spec import InputSpec, OutputSpec

MAX_SEED = 2**64 - 1


class Port:
    """A socket of the named type, for values that no widget edits; on a return also the output's name."""

    def __init__(self, type: str, name: str = "", *, is_list: bool = False, tooltip: str = ""):
        self.type = type
        self.name = name
        self.is_list = is_list
        self.tooltip = tooltip


class Options:
    """Options of the wire by name: lazy, rawLink, forceInput, advanced, display, label_on, image_upload …"""

    def __init__(self, **values: Any):
        self.values = values


class Range(Options):
    """Limits of a number, both allowed; `step` and `round` guide the widget, `display` may be "slider"."""

    def __init__(self, low: float, high: float, **guides: Any):
        super().__init__(min=low, max=high, **guides)


class Text(Options):
    """How a text is edited; `dynamic` lets the editor choose among {a|b|c}."""

    def __init__(self, *, multiline: bool = False, dynamic: bool = False, placeholder: str = ""):
        chosen = {"multiline": multiline, "dynamicPrompts": dynamic, "placeholder": placeholder}
        super().__init__(**{name: value for name, value in chosen.items() if value})


class Seed(Options):
    """A 64-bit seed with the control that changes it after each run."""

    def __init__(self) -> None:
        super().__init__(min=0, max=MAX_SEED, control_after_generate=True)


class Tip(Options):
    """A tooltip; goes before what the docstring says of the parameter."""

    def __init__(self, text: str):
        super().__init__(tooltip=text)


class Lazy(Options):
    """Evaluated only if the body's `needs` hook asks for it."""

    def __init__(self) -> None:
        super().__init__(lazy=True)


class Choice:
    """A combo of these options."""

    def __init__(self, *options: Any):
        self.options = options


class FileIn(Options):
    """A combo of the files in a models folder, in "input", or of the folders there, "input folders".

    `upload` adds the button ("image"); `also` are choices beside the files.
    """

    def __init__(self, folder: str, *, upload: str = "", also: tuple[str, ...] = ()):
        super().__init__(**{f"{upload}_upload": True} if upload else {})
        self.folder = folder
        self.also = also


class Hidden:
    """Given by the engine and never shown: PROMPT, DYNPROMPT, EXTRA_PNGINFO, UNIQUE_ID …"""

    def __init__(self, kind: str):
        self.kind = kind


class Optionally:
    """Puts a parameter with a default into the optional section."""


class Receives:
    """The parameter is given the node's context instead of a port."""

    def __init__(self, what: str = "context"):
        self.what = what


@dataclass(frozen=True, slots=True)
class FunctionPorts:
    """What a function's annotations say."""

    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    hidden: Mapping[str, str]
    contexts: tuple[str, ...]  # parameters that receive the context
    accepted: frozenset[str]  # parameters that receive values
    returns_tuple: bool


def read_ports(body: Callable[..., Any], further: Sequence[str] = ()) -> FunctionPorts:
    """The ports of a function; its ** parameter stands for the inputs named in `further`, all of its hint.

    Raises:
        TypeError: a missing hint, or a hint that says no port; the message names the parameter and the way out.
    """
    where = f"{body.__module__}.{body.__qualname__}"
    hints = _hints(body, where)
    if "return" not in hints:
        raise TypeError(f"{where}: the return has no hint; annotate what it gives back, or None.")
    tips = read_docstring(body)[1]
    inputs: list[InputSpec] = []
    hidden: dict[str, str] = {}
    contexts: list[str] = []
    for parameter in inspect.signature(body).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and further:
            kind, markers = _split(hints[parameter.name])
            inputs += [_input(where, parameter, kind, markers, "", name) for name in further]
            continue
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise TypeError(f"{where}: {parameter} cannot be a port; use named parameters.")
        if parameter.name not in hints:
            raise TypeError(f"{where}: parameter {parameter.name} has no hint; annotate its type.")
        kind, markers = _split(hints[parameter.name])
        secret = next((marker for marker in markers if isinstance(marker, Hidden)), None)
        if secret:
            hidden[parameter.name] = secret.kind
        elif any(isinstance(marker, Receives) for marker in markers) or getattr(kind, "is_node_context", False):
            contexts.append(parameter.name)
        else:
            inputs.append(_input(where, parameter, kind, markers, tips.get(parameter.name, "")))
    outputs, returns_tuple = _outputs(where, hints["return"])
    accepted = frozenset([*(port.name for port in inputs), *hidden])
    return FunctionPorts(tuple(inputs), outputs, hidden, tuple(contexts), accepted, returns_tuple)


def read_docstring(body: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The first paragraph on one line, and the texts under "Args:" by parameter."""
    text = inspect.cleandoc(body.__doc__ or "")
    summary = " ".join(text.split("\n\n", 1)[0].split())
    tips: dict[str, str] = {}
    name = ""
    for line in re.split(r"^Args:\n", text, maxsplit=1, flags=re.MULTILINE)[1:2]:
        for row in line.splitlines():
            if row and not row.startswith(" "):
                break
            begin = re.match(r" {2,4}(\w+): (.*)", row)
            if begin:
                name = begin[1]
                tips[name] = begin[2].strip()
            elif name and row.strip():
                tips[name] += " " + row.strip()
    return summary, tips


def _hints(body: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return get_type_hints(body, include_extras=True)
    except NameError as error:
        raise TypeError(f"{where}: {error}; a node's types must be importable when it is declared.") from error


def _split(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type and its markers; `X | None` says the same as `X`."""
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return _split(kinds[0]) if len(kinds) == 1 else (hint, ())
    if get_origin(hint) is Annotated:
        inner, *markers = get_args(hint)
        kind, more = _split(inner)
        return kind, (*more, *markers)
    return hint, ()


def _input(
    where: str, parameter: inspect.Parameter, kind: Any, markers: tuple[Any, ...], tip: str, name: str = ""
) -> InputSpec:
    options: dict[str, Any] = {"tooltip": tip} if tip else {}
    has_default = parameter.default is not parameter.empty
    port_type, folder = _port_type(kind, markers)
    if port_type is None:
        raise TypeError(
            f"{where}: the hint of {parameter.name} says no port; use int, float, str, bool, Literal[…], "
            'or Annotated[…, Port("TYPE")].'
        )
    for marker in markers:
        if isinstance(marker, Options):
            options.update(marker.values)
    if has_default and parameter.default is not None:
        options["default"] = parameter.default
    optional = has_default and (parameter.default is None or any(isinstance(m, Optionally) for m in markers))
    section = "optional" if optional else "required"
    also = next((marker.also for marker in reversed(markers) if isinstance(marker, FileIn)), ())
    return InputSpec(name or parameter.name, port_type, section, options, folder, also)


def _port_type(kind: Any, markers: tuple[Any, ...]) -> tuple[str | tuple[Any, ...] | None, str | None]:
    """The type on the wire and the folder of a combo of files; None where the hint says no port."""
    for marker in reversed(markers):
        if isinstance(marker, Port):
            return marker.type, None
        if isinstance(marker, FileIn):
            return (), marker.folder
        if isinstance(marker, Choice):
            return marker.options, None
    if get_origin(kind) is Literal:
        return get_args(kind), None
    return _WIDGETS.get(kind) if isinstance(kind, type) else None, None


def _outputs(where: str, hint: Any) -> tuple[tuple[OutputSpec, ...], bool]:
    """The output ports, and whether the body gives them as a tuple."""
    if hint is None or hint is type(None):
        return (), False
    kind, markers = _split(hint)
    if kind is Returned:
        return tuple(_output(where, Any, (marker,)) for marker in markers if isinstance(marker, Port)), False
    if get_origin(kind) is tuple and not markers:
        return tuple(_output(where, *_split(item)) for item in get_args(kind)), True
    return (_output(where, kind, markers),), False


def _output(where: str, kind: Any, markers: tuple[Any, ...]) -> OutputSpec:
    port_type, _ = _port_type(kind, markers)
    if port_type is None:
        raise TypeError(f'{where}: the return says no port; use int, float, str, bool or Annotated[…, Port("TYPE")].')
    port = next((marker for marker in reversed(markers) if isinstance(marker, Port)), Port(""))
    tip = next((marker.values["tooltip"] for marker in markers if isinstance(marker, Tip)), port.tooltip)
    name = port.name or (port_type if isinstance(port_type, str) else "COMBO")
    return OutputSpec(name, port_type, port.is_list, tip)


_WIDGETS: Mapping[Any, str] = {int: "INT", float: "FLOAT", str: "STRING", bool: "BOOLEAN"}
