"""Classes with INPUT_TYPES, as node packs for ComfyUI write them, as nodes of this program."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

from app.engine.node import Blocker, Returned
from app.extend.bridge import PackHost, PlainHost
from app.extend.hooks import accepted, parameters, plain, settled, shown_lists
from app.graph.json_values import is_dict, is_object, is_sequence
from app.graph.lazy import still_open
from app.graph.spec import InputSpec, NodeSpec, Options, OutputSpec
from app.graph.types import ANYTHING

MAX_INSTANCES = 1000
PROBE = "\0anything"  # a name that only a mapping with every name holds


def v1_spec(node_id: str, kind: type[Any], title: str, module: str, host: PackHost | None = None) -> NodeSpec:
    """What a class declares. Combos that list a folder stay alive; all others are read once, here."""
    host = host or PlainHost()
    for needed in ("INPUT_TYPES", "FUNCTION", "RETURN_TYPES"):
        if not hasattr(kind, needed):
            raise TypeError(f"The node class {node_id} has no {needed}.")
    declared: Mapping[str, Any] = kind.INPUT_TYPES()
    optional: Any = declared.get("optional", {})  # may be a mapping that is empty and yet holds every name
    hidden: Mapping[Any, Any] = declared.get("hidden") or {}
    validator = getattr(kind, "VALIDATE_INPUTS", None)
    return NodeSpec(
        id=node_id,
        inputs=(
            *_inputs(declared.get("required") or {}, "required", host),
            *_inputs(optional or {}, "optional", host),
        ),
        outputs=tuple(_outputs(kind)),
        hidden={str(name): _hidden_kind(given) for name, given in hidden.items()},
        display_name=title or node_id,
        category=str(getattr(kind, "CATEGORY", "") or ""),
        help=str(getattr(kind, "DESCRIPTION", "") or ""),
        module=module,
        search_aliases=tuple(str(word) for word in getattr(kind, "SEARCH_ALIASES", None) or ()),
        essentials_category=str(getattr(kind, "ESSENTIALS_CATEGORY", "") or ""),
        output_node=getattr(kind, "OUTPUT_NODE", False) is True,
        input_is_list=bool(getattr(kind, "INPUT_IS_LIST", False)),
        not_idempotent=bool(getattr(kind, "NOT_IDEMPOTENT", False)),
        is_async=inspect.iscoroutinefunction(getattr(kind, str(kind.FUNCTION), None)),
        deprecated=bool(getattr(kind, "DEPRECATED", False)),
        experimental=bool(getattr(kind, "EXPERIMENTAL", False)),
        has_validator=validator is not None,
        has_fingerprint=hasattr(kind, "IS_CHANGED"),
        validator_inputs=() if validator is None else parameters(validator),
        accepts_any_input=optional is not None and type(optional) is not dict and PROBE in optional,
    )


class V1Node:
    """An adapted class. It is instantiated once for each node of a graph, as its author expects."""

    def __init__(self, spec: NodeSpec, kind: type[Any], host: PackHost | None = None):
        self.spec = spec
        self.kind = kind
        self._host = host or PlainHost()
        self._instances: OrderedDict[str, Any] = OrderedDict()

    def call(self, context: Any, inputs: Mapping[str, Any]) -> Returned | Awaitable[Returned]:
        """See `engine.node.Node`."""
        instance = self._instance(str(getattr(context, "node_id", "")))
        given = {name: self._host.to_pack(value) for name, value in inputs.items()}
        with self._host.enter(context):
            result = getattr(instance, self.kind.FUNCTION)(**given)
            if not inspect.isawaitable(result):
                return self._returned(result)
        return self._later(context, result)

    def fingerprint(self, inputs: Mapping[str, Any]) -> Any:
        """What IS_CHANGED says."""
        return settled(self.kind.IS_CHANGED(**accepted(self.kind.IS_CHANGED, inputs)))

    def validate(self, inputs: Mapping[str, Any], received_types: Mapping[str, str]) -> str | None:
        """What VALIDATE_INPUTS says: anything but True is a complaint."""
        hook = self.kind.VALIDATE_INPUTS
        given = {**inputs, "input_types": dict(received_types)} if "input_types" in parameters(hook) else inputs
        answer = settled(hook(**accepted(hook, given)))
        if answer is True:
            return None
        return answer if isinstance(answer, str) else ""

    def needed(self, inputs: Mapping[str, Any], node_id: str = "") -> Sequence[str]:
        """What check_lazy_status asks for; without one every lazy input that is not there yet."""
        check = getattr(self._instance(node_id), "check_lazy_status", None)
        if check is None:
            return still_open(self.spec, inputs)
        given = {name: self._host.to_pack(value) for name, value in inputs.items()}
        return still_open(self.spec, inputs, settled(check(**accepted(check, given))) or ())

    def _instance(self, node_id: str) -> Any:
        if node_id not in self._instances:
            self._instances[node_id] = self.kind()
            while len(self._instances) > MAX_INSTANCES:
                self._instances.popitem(last=False)
        self._instances.move_to_end(node_id)
        return self._instances[node_id]

    async def _later(self, context: Any, result: Awaitable[Any]) -> Returned:
        with self._host.enter(context):
            return self._returned(await result)

    def _returned(self, result: Any) -> Returned:
        if isinstance(result, Returned):
            return result
        ui: Mapping[str, Any] = {}
        values: tuple[Any, ...]
        expand: Mapping[str, Any] | None = None
        if is_dict(result):
            ui, expand = result.get("ui") or {}, result.get("expand")
            result = result.get("result")
        count = len(self.spec.outputs)
        if isinstance(result, Blocker):
            result = (result,) * count
        values = tuple(result) if is_sequence(result) else () if result is None else (result,)
        return Returned(tuple(map(self._host.from_pack, values[:count])), shown_lists(ui), expand)


def _inputs(section: Mapping[str, Any], name: str, host: PackHost) -> Iterable[InputSpec]:
    """A section's inputs; an entry is (type,) or (type, options), and a list as type is a combo."""
    for input_name, entry in section.items():
        parts: list[Any] = list(entry) if is_sequence(entry) else [entry]
        options: Mapping[str, Any] = parts[1] if len(parts) > 1 and is_object(parts[1]) else {}
        section_name = "optional" if name == "optional" else "required"
        folder = _folder(parts[0], options, host)
        kind = () if folder else _type(parts[0])
        yield InputSpec(str(input_name), kind, section_name, plain(dict(options)), folder)


def _folder(kind: Any, options: Mapping[str, Any], host: PackHost) -> str | None:
    """The folder that a combo lists, so that files which come later can be chosen as well."""
    found = host.folder_of(options.get("options") if kind == "COMBO" else kind)
    if found is None and options.get("image_upload") and options.get("image_folder", "input") == "input":
        return "input"
    return found


def _outputs(kind: type[Any]) -> Iterable[OutputSpec]:
    types: Sequence[Any] = tuple(kind.RETURN_TYPES or ())
    names: Sequence[Any] = tuple(getattr(kind, "RETURN_NAMES", None) or ())
    lists: Sequence[Any] = tuple(getattr(kind, "OUTPUT_IS_LIST", None) or ())
    tips: Sequence[Any] = tuple(getattr(kind, "OUTPUT_TOOLTIPS", None) or ())
    for index, each in enumerate(types):
        said = _type(each)
        usual = said if isinstance(said, str) else "COMBO"
        yield OutputSpec(
            str(names[index]) if index < len(names) else usual,
            said,
            bool(lists[index]) if index < len(lists) else False,
            str(tips[index]) if index < len(tips) and tips[index] else "",
        )


def _type(kind: Any) -> str | Options:
    """A type name without whatever subclass of str a pack made of it, or a combo's options.

    A subclass that differs from nothing means any type, whatever it is called.
    """
    if is_sequence(kind):
        return tuple(plain(option) for option in kind)
    if isinstance(kind, str) and type(kind) is not str and not kind != PROBE:  # noqa: SIM202  (it may define != alone)
        return ANYTHING
    return str.__str__(kind) if isinstance(kind, str) else str(kind)


def _hidden_kind(given: Any) -> str:
    return str(next(iter(given), "") if is_sequence(given) else given)
