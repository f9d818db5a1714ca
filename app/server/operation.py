"""What a handler takes and answers, declared where it is written; the description of the API is made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, NotRequired, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from aiohttp import web

from app.graph.json_values import is_dict

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)

_ATTRIBUTE = "loom_operation"
_PLAIN: Mapping[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean", None: "null"}


@dataclass(frozen=True, slots=True)
class Media:
    """Content that is no JSON, of a media type; "*/*" for whatever the file is."""

    kind: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A request and its answer. `answer` and `body` are types of `shapes`, media, or None for nothing."""

    answer: Any
    body: Any
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    status: int = 200
    body_required: bool = True
    stream: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


def operation(
    answer: Any,
    *,
    body: Any = None,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    status: int = 200,
    body_required: bool = True,
    stream: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> Callable[[H], H]:
    """Declare a handler's request and answer.

    Args:
        answer: the type of the answer's JSON, `Media`, or None for an empty answer.
        body: the type of the request's JSON, `Media`, or None.
        query: parameters by name with their types; all are optional.
        headers: headers by name with what they are for; all are optional.
        status: of a good answer. What is refused is always 4xx with `shapes.Refusal`.
        body_required: false where the request may come without a body.
        stream: whether who accepts text/event-stream gets the answer as one.
        extra: what else the description says, such as the messages of a socket.
    """

    def declare(handler: H) -> H:
        told = Operation(answer, body, query or {}, headers or {}, status, body_required, stream, extra or {})
        setattr(handler, _ATTRIBUTE, told)
        return handler

    return declare


def operation_of(handler: object) -> Operation | None:
    """What a handler declares, None if it declares nothing."""
    found: object = getattr(handler, _ATTRIBUTE, None)
    return found if isinstance(found, Operation) else None


def schema_of(hint: Any, components: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema (2020-12) of a type. Typed dicts go into `components` by name and are referred to."""
    if is_dict(hint):
        return hint  # a schema already
    if hint is Any or hint is object:
        return {}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if hint is type(None):
        return {"type": "null"}
    if is_typeddict(hint):
        if hint.__name__ not in components:
            components[hint.__name__] = {}  # known before it is described: it may hold itself
            components[hint.__name__].update(_of_typed_dict(hint, components))
        return {"$ref": f"#/components/schemas/{hint.__name__}"}
    origin, given = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(given)}
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(each, components) for each in given]}
    if origin is tuple:
        return {
            "type": "array",
            "prefixItems": [schema_of(each, components) for each in given],
            "minItems": len(given),
            "maxItems": len(given),
        }
    if origin is list:
        return {"type": "array", "items": schema_of(given[0], components)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(given[1], components)}
    raise TypeError(f"{hint!r} has no JSON schema.")


def _of_typed_dict(hint: Any, components: dict[str, Any]) -> dict[str, Any]:
    """Keys that a type does not name are allowed: clients must not break when there are more."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, inner in get_type_hints(hint, include_extras=True).items():
        optional = get_origin(inner) is NotRequired
        properties[name] = schema_of(get_args(inner)[0] if optional else inner, components)
        if not optional:
            required.append(name)
    schema: dict[str, Any] = {"type": "object", "description": hint.__doc__ or "", "properties": properties}
    return {**schema, "required": required} if required else schema
