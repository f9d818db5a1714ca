"""Classes with INPUT_TYPES, as node packs for ComfyUI write them, as nodes of this program."""

from __future__ import annotations

import inspect
import json
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from app.engine.node import Blocker, Node, Returned
from app.graph.json_values import is_dict, is_object, is_sequence
from app.graph.spec import InputSpec, NodeSpec, Options, OutputSpec

MAX_INSTANCES = 1000
PROBE = "\0anything"  # a name that only a mapping with every name holds


def v1_nodes(module: ModuleType, name: str) -> dict[str, Node]:
    """The classes in the module's NODE_CLASS_MAPPINGS by class name, {} without one.

    Raises:
        TypeError: a class that lacks what a node needs; and whatever the class raises when it is asked.
    """
    titles: Mapping[Any, Any] = getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {}
    classes: Mapping[Any, Any] = getattr(module, "NODE_CLASS_MAPPINGS", None) or {}
    return {
        str(node_id): V1Node(v1_spec(str(node_id), kind, str(titles.get(node_id, "")), name), kind)
        for node_id, kind in classes.items()
    }


def v1_spec(node_id: str, kind: type[Any], title: str, module: str) -> NodeSpec:
    """What a class declares. Its combos are read once, here."""
    for needed in ("INPUT_TYPES", "FUNCTION", "RETURN_TYPES"):
        if not hasattr(kind, needed):
            raise TypeError(f"The node class {node_id} has no {needed}.")
    declared: Mapping[str, Mapping[str, Any]] = kind.INPUT_TYPES()
    optional = declared.get("optional", {})  # may be a mapping that is empty and yet holds every name
    validator = getattr(kind, "VALIDATE_INPUTS", None)
    return NodeSpec(
        id=node_id,
        inputs=(*_inputs(declared.get("required") or {}, "required"), *_inputs(optional, "optional")),
        outputs=tuple(_outputs(kind)),
        hidden={str(name): _hidden_kind(given) for name, given in (declared.get("hidden") or {}).items()},
        display_name=title or node_id,
        category=str(getattr(kind, "CATEGORY", "") or ""),
        help=str(getattr(kind, "DESCRIPTION", "") or ""),
        module=module,
        search_aliases=tuple(str(word) for word in getattr(kind, "SEARCH_ALIASES", None) or ()),
        output_node=getattr(kind, "OUTPUT_NODE", False) is True,
        input_is_list=bool(getattr(kind, "INPUT_IS_LIST", False)),
        not_idempotent=bool(getattr(kind, "NOT_IDEMPOTENT", False)),
        deprecated=bool(getattr(kind, "DEPRECATED", False)),
        experimental=bool(getattr(kind, "EXPERIMENTAL", False)),
        has_validator=validator is not None,
        has_fingerprint=hasattr(kind, "IS_CHANGED"),
        validator_inputs=() if validator is None else _parameters(validator),
        accepts_any_input=type(optional) is not dict and PROBE in optional,
    )


class V1Node:
    """An adapted class. It is instantiated once for each node of a graph, as its author expects."""

    def __init__(self, spec: NodeSpec, kind: type[Any]):
        self.spec = spec
        self._kind = kind
        self._instances: OrderedDict[str, Any] = OrderedDict()

    def call(self, context: Any, inputs: Mapping[str, Any]) -> Returned | Awaitable[Returned]:
        """See `engine.node.Node`."""
        instance = self._instance(str(getattr(context, "node_id", "")))
        result = getattr(instance, self._kind.FUNCTION)(**inputs)
        return self._later(result) if inspect.isawaitable(result) else self._returned(result)

    def fingerprint(self, inputs: Mapping[str, Any]) -> Any:
        """What IS_CHANGED says."""
        return self._kind.IS_CHANGED(**_accepted(self._kind.IS_CHANGED, inputs))

    def validate(self, inputs: Mapping[str, Any], received_types: Mapping[str, str]) -> str | None:
        """What VALIDATE_INPUTS says: anything but True is a complaint."""
        hook = self._kind.VALIDATE_INPUTS
        given = {**inputs, "input_types": dict(received_types)} if "input_types" in _parameters(hook) else inputs
        answer = hook(**_accepted(hook, given))
        if answer is True:
            return None
        return answer if isinstance(answer, str) else ""

    def needed(self, inputs: Mapping[str, Any]) -> Sequence[str]:
        """What check_lazy_status asks for; without one every lazy input that is not there yet."""
        check = getattr(self._instance(""), "check_lazy_status", None)
        if check is None:
            return [p.name for p in self.spec.inputs if p.options.get("lazy") and inputs.get(p.name) is None]
        return [name for name in check(**_accepted(check, inputs)) or () if inputs.get(name) is None]

    def _instance(self, node_id: str) -> Any:
        if node_id not in self._instances:
            self._instances[node_id] = self._kind()
            while len(self._instances) > MAX_INSTANCES:
                self._instances.popitem(last=False)
        self._instances.move_to_end(node_id)
        return self._instances[node_id]

    async def _later(self, result: Awaitable[Any]) -> Returned:
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
        if len(values) < count and expand is None:
            values = (*values, *(None for _ in range(count - len(values))))
        shown = {str(key): list(items) if is_sequence(items) else [items] for key, items in ui.items()}
        return Returned(values[: max(count, 0)], shown, expand)


def _inputs(section: Mapping[str, Any], name: str) -> Iterable[InputSpec]:
    """A section's inputs; an entry is (type,) or (type, options), and a list as type is a combo."""
    for input_name, entry in section.items():
        parts: list[Any] = list(entry) if is_sequence(entry) else [entry]
        options: Mapping[str, Any] = parts[1] if len(parts) > 1 and is_object(parts[1]) else {}
        section_name = "optional" if name == "optional" else "required"
        yield InputSpec(str(input_name), _type(parts[0]), section_name, _plain(dict(options)))


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
    """A type name without whatever subclass of str a pack made of it, or a combo's options."""
    if is_sequence(kind):
        return tuple(_plain(option) for option in kind)
    return str.__str__(kind) if isinstance(kind, str) else str(kind)


def _hidden_kind(given: Any) -> str:
    return str(next(iter(given), "") if is_sequence(given) else given)


def _plain(value: Any) -> Any:
    """What JSON can say of a value: specs travel to the server."""
    return json.loads(json.dumps(value, default=str))


def _parameters(hook: Any) -> tuple[str, ...]:
    """The names that a hook takes; "*" for all."""
    parameters = inspect.signature(hook).parameters.values()
    return tuple("*" if p.kind is p.VAR_KEYWORD else p.name for p in parameters if p.kind is not p.VAR_POSITIONAL)


def _accepted(hook: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    names = _parameters(hook)
    return dict(inputs) if "*" in names else {name: value for name, value in inputs.items() if name in names}
