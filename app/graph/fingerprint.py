"""When a node is the same as before: its key is its class, its own inputs and its parents' keys.

Ids, titles and order do not count, so a renumbered graph keeps its results, and the work grows with the links only.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.graph.json_values import is_object, is_sequence
from app.graph.loops import LOOP
from app.graph.prompt import Link, NoLink, Prompt, PromptNode
from app.graph.spec import NodeSpec

MAX_DEPTH = 64
LONG_TEXT = 64
MOST_PLAIN = 16  # values of one output that are told one by one
SMALL = 1 << 63  # whole numbers up to here are told without looking further
CHANGED = "\0changed"  # the part that the class's own fingerprint gives; no input can have this name
IDENTITY = "\0id"  # the part of classes whose results are never shared
ROUND = "\0round"  # the part of classes that count a loop's rounds
UNEQUAL = "?"  # the part of a value that nothing equals, itself included
_PLAIN = frozenset({int, float, bool, str, type(None)})


class NodeKey(NamedTuple):
    """The key of a node, and the part that each input has in it: what differs between two is what changed.

    `repeatable` says whether an equal node can turn up at all: neither the node nor an ancestor is unequal to itself.
    `slots`, of the begin of a loop, is what its readers have in their keys instead of `key`, by output: the body does
    not see what only bounds the loop, and sees plain values as they are.
    """

    key: str
    parts: Mapping[str, str]
    repeatable: bool = True
    slots: Mapping[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a class counts in the keys of its nodes, read once for all of them.

    `inputs` are the names that count, None for all; `own_id` and `own_round` say that a node's id and its loop's round
    count as well. Of the begin of a loop, `bounds` are the inputs that only say how many rounds there are, and
    `inner_slots` the outputs that do not depend on them.
    """

    inputs: frozenset[str] | None
    own_id: bool = False
    own_round: bool = False
    bounds: frozenset[str] = frozenset()
    inner_slots: tuple[int, ...] = ()


def traits_of(spec: NodeSpec) -> Traits:
    """The traits of a class."""
    hidden = spec.hidden.values()
    counting = None if spec.accepts_any_input else frozenset(port.name for port in spec.inputs)
    begins = spec.loop == "begin"
    return Traits(
        counting,
        spec.not_idempotent or "UNIQUE_ID" in hidden,
        "ROUND" in hidden,
        frozenset(port.name for port in spec.inputs if begins and port.options.get("bound")),
        tuple(slot for slot, port in enumerate(spec.outputs) if begins and port.type != LOOP),
    )


def node_keys(
    prompt: Prompt, order: Iterable[str], specs: Mapping[str, NodeSpec], changed: Mapping[str, Any]
) -> dict[str, NodeKey]:
    """The key of each node in `order`, parents first; `changed` holds the fingerprints of classes that have one."""
    keys: dict[str, NodeKey] = {}
    traits: dict[str, Traits] = {}
    for node_id in order:
        node = prompt.nodes[node_id]
        known = traits.get(node.class_type)
        if known is None:
            known = traits[node.class_type] = traits_of(specs[node.class_type])
        keys[node_id] = node_key(node, known, keys, changed.get(node_id))
    return keys


def node_key(node: PromptNode, traits: Traits, keys: Mapping[str, NodeKey], changed: Any = None) -> NodeKey:
    """The key of one node from those of its parents; `changed` is what its class's own fingerprint says."""
    inputs = sorted(node.inputs.items()) if len(node.inputs) > 1 else node.inputs.items()
    counting = traits.inputs
    parts: dict[str, str] = {}
    repeatable = True
    for name, value in inputs:
        if counting is None or name in counting:
            parts[name] = _part(value, keys)
            parent = keys.get(value.node) if isinstance(value, Link) else None
            repeatable = repeatable and (parent is None or parent.repeatable)
    if changed is not None:
        parts[CHANGED] = token(changed)
    if traits.own_id:
        parts[IDENTITY] = token(node.id)
    if traits.own_round:
        parts[ROUND] = str(node.round)
    if UNEQUAL in parts.values():
        return NodeKey(secrets.token_hex(32), parts, False)
    digest = _digest(node.class_type, parts)
    if not traits.inner_slots:
        return NodeKey(digest, parts, repeatable)
    inner = _digest(node.class_type, {name: part for name, part in parts.items() if name not in traits.bounds})
    return NodeKey(digest, parts, repeatable, {slot: f"link {inner} {slot}" for slot in traits.inner_slots})


def with_values(begin: NodeKey, outputs: Sequence[Sequence[Any]]) -> NodeKey:
    """The key of a loop's begin that has run: plain values among its outputs stand for themselves from here on.

    A round that is given the same numbers and texts is the same round, wherever they come from.
    """
    slots = {
        slot: _plain_part(outputs[slot]) or part for slot, part in (begin.slots or {}).items() if slot < len(outputs)
    }
    return begin._replace(slots=slots)


def token(value: object) -> str:
    """A text that is equal for equal values only; `UNEQUAL` for NaN and for objects that cannot be compared.

    1, 1.0 and True are the same value, and so are a list and a tuple; the order of a dict's keys does not count.
    """
    try:
        text = _canonical(value, MAX_DEPTH)
    except _Unequal:
        return UNEQUAL
    if len(text) <= LONG_TEXT:
        return text
    return "#" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def changed_inputs(before: NodeKey, after: NodeKey) -> list[str]:
    """The parts in which two keys differ, inputs' names or the words above; none if they are equal."""
    old, new = before.parts, after.parts
    return [name for name in sorted({*old, *new}) if new.get(name) == UNEQUAL or old.get(name) != new.get(name)]


def change(before: NodeKey, after: NodeKey, name: str) -> str:
    """What has changed of a part that is no link, for people."""
    if after.parts.get(name) == UNEQUAL:
        return "it is new in every run" if name == CHANGED else f"{name} is never equal to itself"
    if name in (CHANGED, IDENTITY):
        return "what it reads has changed"
    return f"{name} changed{_from_to(before.parts.get(name), after.parts.get(name))}"


class _Unequal(Exception):
    """The value equals nothing."""


def _part(value: object, keys: Mapping[str, NodeKey]) -> str:
    if type(value) is int and -SMALL < value < SMALL:
        return f"number {value}"
    if isinstance(value, Link):
        parent = keys.get(value.node)
        if parent is None or parent.slots is None:
            return f"link {value.node if parent is None else parent.key} {value.slot}"
        return parent.slots.get(value.slot) or f"link {parent.key} {value.slot}"
    return token(value.value if isinstance(value, NoLink) else value)


def _plain_part(values: Sequence[Any]) -> str | None:
    """Numbers and texts with their types, for 1 and True do not mean the same to a node; None for anything else."""
    if not values or any(type(value) not in _PLAIN for value in values) or len(values) > MOST_PLAIN:
        return None
    tokens = [token(value) for value in values]
    told = ", ".join(f"{type(value).__name__} {each}" for value, each in zip(values, tokens, strict=True))
    return None if UNEQUAL in tokens else f"value {told}"


def _digest(class_type: str, parts: Mapping[str, str]) -> str:
    text = f"{len(class_type)}:{class_type}"
    for name, part in parts.items():
        text += f"{len(name)}:{name}{len(part)}:{part}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: object, depth: int) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return f"text {len(value)}:{value}"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, bytes):
        return f"bytes {hashlib.sha256(value).hexdigest()}"
    if depth == 0:
        raise _Unequal
    if is_object(value):
        items = sorted(f"{_canonical(k, depth - 1)}={_canonical(v, depth - 1)}" for k, v in value.items())
        return f"dict {len(items)}{{{','.join(items)}}}"
    if is_sequence(value):
        return f"list {len(value)}[{','.join(_canonical(item, depth - 1) for item in value)}]"
    raise _Unequal


def _number(value: float) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            raise _Unequal
        if not value.is_integer():
            return f"number {value!r}"
    number = int(value)
    return f"number {number}" if number.bit_length() < 4 * LONG_TEXT else f"number {number:#x}"


def _from_to(old: str | None, new: str | None) -> str:
    """Both values where they are numbers or short texts."""
    values = [_told(part) for part in (old, new)]
    return "" if None in values else f" from {values[0]} to {values[1]}"


def _told(part: str | None) -> str | None:
    kind, _, rest = (part or "").partition(" ")
    if kind == "number":
        return rest
    return f"“{rest.partition(':')[2]}”" if kind == "text" else None
