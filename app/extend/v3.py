"""Classes with a schema, as newer node packs for ComfyUI write them, as nodes of this program."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

from app.engine.node import Blocker, Returned
from app.extend.bridge import PackHost, PlainHost
from app.extend.hooks import accepted, parameters, plain, settled, shown_lists
from app.graph.dynamic_inputs import CHOOSING, DYNAMIC, MOST, OPENING, REPEATING, row_inputs
from app.graph.json_values import is_dict, is_object, is_sequence
from app.graph.lazy import still_open
from app.graph.spec import InputSpec, NodeSpec, OutputSpec

SENT = (CHOOSING, OPENING)  # of the inputs that stand for several, those that are in prompts themselves


def v3_spec(kind: type[Any], title: str, module: str, host: PackHost | None = None) -> NodeSpec:
    """What a class's schema declares.

    Raises:
        TypeError: no schema, or names that are not unique; and whatever the class raises when it is asked.
    """
    host = host or PlainHost()
    schema: Any = kind.define_schema()
    if not isinstance(getattr(schema, "node_id", None), str):
        raise TypeError(f"The node class {kind.__name__} defines no schema with a node_id.")
    _check_names(schema)
    validates, fingerprints = _own(kind, "validate_inputs"), _own(kind, "fingerprint_inputs")
    inputs = tuple(_input(port, host) for port in schema.inputs)
    return NodeSpec(
        id=schema.node_id,
        inputs=inputs,
        outputs=tuple(_output(index, port) for index, port in enumerate(schema.outputs)),
        hidden=_hidden(schema),
        display_name=str(title or schema.display_name or schema.node_id),
        category=str(schema.category or ""),
        help=str(schema.description or ""),
        module=module,
        search_aliases=tuple(str(word) for word in schema.search_aliases or ()),
        essentials_category=str(getattr(schema, "essentials_category", "") or ""),
        output_node=bool(schema.is_output_node),
        input_is_list=bool(schema.is_input_list),
        not_idempotent=bool(schema.not_idempotent),
        is_async=inspect.iscoroutinefunction(kind.execute),
        deprecated=bool(schema.is_deprecated),
        experimental=bool(schema.is_experimental),
        has_validator=validates,
        has_fingerprint=fingerprints,
        validator_inputs=parameters(kind.validate_inputs) if validates else (),
        accepts_any_input=bool(schema.accept_all_inputs) or any(port.type in DYNAMIC for port in inputs),
    )


def _check_names(schema: Any) -> None:
    names = [port.id for port in schema.inputs] + [port.id for port in schema.outputs if port.id]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TypeError(f"The schema of {schema.node_id} has two ports called {twice!r}; each needs a name of its own.")


def _hidden(schema: Any) -> dict[str, str]:
    given = [getattr(each, "value", str(each)) for each in schema.hidden or ()]
    if schema.is_output_node:
        given += ["PROMPT", "EXTRA_PNGINFO"]
    if schema.is_api_node:
        given += ["AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"]
    return {kind.lower(): kind for kind in dict.fromkeys(given)}


def _input(port: Any, host: PackHost) -> InputSpec:
    kind: Any = port.get_io_type()
    options: Mapping[str, Any] = port.as_dict()
    folder = host.folder_of(options.get("options")) if kind == "COMBO" else None
    # One that stands for several is itself never sent.
    optional = port.optional or (kind in DYNAMIC and kind not in SENT)
    section = "optional" if optional else "required"
    said = () if folder else kind if isinstance(kind, str) else tuple(plain(kind))
    return InputSpec(port.id, said, section, plain({k: v for k, v in options.items() if v is not None}), folder)


def _output(index: int, port: Any) -> OutputSpec:
    kind = str(port.get_io_type())
    name = port.display_name or port.id or kind
    return OutputSpec(str(name), kind, bool(port.is_output_list), str(port.tooltip or ""))


def _own(kind: type[Any], name: str) -> bool:
    """Whether the class brings this hook itself."""
    return hasattr(kind, name) and not getattr(getattr(kind, name), "is_default", False)


class V3Node:
    """An adapted class. Every call gets a locked copy of it, so that calls cannot leave anything behind."""

    def __init__(self, spec: NodeSpec, kind: type[Any], host: PackHost | None = None):
        self.spec = spec
        self.kind = kind
        self._host = host or PlainHost()
        self._dynamic = {port.name: str(port.type) for port in spec.inputs if port.type in DYNAMIC}
        self._expands = bool(getattr(kind.define_schema(), "enable_expand", False))

    def call(self, context: Any, inputs: Mapping[str, Any]) -> Returned | Awaitable[Returned]:
        """See `engine.node.Node`."""
        given, hidden = self._split(inputs)
        with self._host.enter(context):
            result = self.kind.locked(hidden).execute(**given)
            if not inspect.isawaitable(result):
                return self._returned(result)
        return self._later(context, result)

    def fingerprint(self, inputs: Mapping[str, Any]) -> Any:
        """What fingerprint_inputs says."""
        given, hidden = self._split(inputs)
        hook = self.kind.locked(hidden).fingerprint_inputs
        return settled(hook(**accepted(hook, given)))

    def validate(self, inputs: Mapping[str, Any], received_types: Mapping[str, str]) -> str | None:
        """What validate_inputs says: anything but True is a complaint."""
        given, hidden = self._split(inputs)
        hook = self.kind.locked(hidden).validate_inputs
        if "input_types" in parameters(hook):
            given["input_types"] = dict(received_types)
        answer = settled(hook(**accepted(hook, given)))
        if answer is True:
            return None
        return answer if isinstance(answer, str) else ""

    def needed(self, inputs: Mapping[str, Any], node_id: str = "") -> Sequence[str]:
        """What check_lazy_status asks for; without one of its own every lazy input that is not there yet."""
        given, hidden = self._split(inputs)
        if not _own(self.kind, "check_lazy_status"):
            return still_open(self.spec, inputs)
        hook = self.kind.locked(hidden).check_lazy_status
        return still_open(self.spec, inputs, settled(hook(**accepted(hook, given))) or ())

    def _split(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """(arguments, hidden inputs); what stands for several is one dict."""
        hidden = {name: _single(inputs.get(name), self.spec) for name in self.spec.hidden}
        plainly = {n: self._host.to_pack(v) for n, v in inputs.items() if n not in self.spec.hidden}
        return self._collected(plainly), hidden

    def _collected(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name, kind in self._dynamic.items():
            group: dict[str, Any] = {}
            if kind in SENT and name in inputs:
                group[name] = inputs[name]
            given[name] = group
        for name, value in inputs.items():
            first, dot, rest = name.partition(".")
            if dot and first in self._dynamic:
                _put(given[first], rest.split("."), value)
            elif name not in self._dynamic:
                given[name] = value
        for port in self.spec.inputs:
            if port.type == REPEATING:
                given[port.name] = _rows(port, given[port.name])
        return given

    async def _later(self, context: Any, result: Awaitable[Any]) -> Returned:
        with self._host.enter(context):
            return self._returned(await result)

    def _returned(self, result: Any) -> Returned:
        if isinstance(result, Returned):
            return result
        values, ui, expand = _parts(result)
        count = len(self.spec.outputs)
        if expand is not None and not self._expands:
            raise TypeError(f"{self.spec.id} expands; its schema must say so with enable_expand.")
        if len(values) == 1 and isinstance(values[0], Blocker):
            values = values * count
        return Returned(tuple(map(self._host.from_pack, values[:count])), shown_lists(ui), expand)


def _parts(result: Any) -> tuple[tuple[Any, ...], Mapping[str, Any], Mapping[str, Any] | None]:
    """(values, what is shown, expansion) of whatever `execute` gave back."""
    if result is None:
        return (), {}, None
    if isinstance(result, Blocker):
        return (result,), {}, None
    if hasattr(result, "block_execution"):  # NodeOutput
        if result.block_execution is not None:
            return (Blocker(str(result.block_execution)),), _ui(result.ui), None
        return tuple(result.args), _ui(result.ui), result.expand
    if is_dict(result):
        values, ui, expand = _parts(result.get("result"))
        return values, {**ui, **_ui(result.get("ui"))}, result.get("expand") or expand
    return (tuple(result) if is_sequence(result) else (result,)), {}, None


def _ui(ui: Any) -> Mapping[str, Any]:
    if ui is None:
        return {}
    said: Any = ui if is_object(ui) else ui.as_dict()
    return {name: value for name, value in said.items() if value is not None}


def _rows(port: InputSpec, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows in order, up to the last one that something is given of; what a row lacks is None."""
    numbers = [int(row) for row in given if row.isascii() and row.isdecimal() and len(row) < 4 and int(row) < MOST]
    fields = {each.name.rpartition(".")[2]: None for each in row_inputs(port, 0)}
    return [{**fields, **given.get(str(row), {})} for row in range(max(numbers, default=-1) + 1)]


def _put(group: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        inner: Any = group.setdefault(name, {})
        # A choice inside stands beside its own fields.
        group = inner if is_dict(inner) else group.setdefault(f"{name}.", {name: inner})
    group[path[-1]] = value


def _single(value: Any, spec: NodeSpec) -> Any:
    return value[0] if spec.input_is_list and is_sequence(value) and value else value


def schema_classes(extension: Any) -> Iterable[type[Any]]:
    """The classes of an extension, from whatever its entry point gave."""
    settled(extension.on_load())
    return settled(extension.get_node_list()) or ()
