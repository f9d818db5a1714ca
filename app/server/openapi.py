"""The description of the API (OpenAPI 3.1), made of the routes and of what their handlers declare."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from typing import Any, get_type_hints

from aiohttp import web

from app.server.endpoints import described
from app.server.messages import Announcement, ErrorBody, Messages, PreviewMetadata
from app.server.operation import Media, Operation, operation, operation_of, schema_of
from app.server.replies import reply_text
from app.server.shapes import RunResult
from app.server.system_stats import VERSION

_INTRODUCTION = (
    "Graphs in, pictures out. Every path below /api is also served without it, as ComfyUI's clients expect. "
    "Whatever is refused is a 4xx that says what is wrong and the way out. The socket is GET /api/ws."
)
_STREAM = (
    "Server-sent events that go on: `id` is the number of a stored message, `event` its type, `data` its data as JSON; "
    "see the schema Event. Lines that begin with a colon only keep the connection open."
)
_DOCUMENT = web.AppKey("openapi", dict[str, Any])


def routes() -> list[web.RouteDef]:
    """GET /openapi.json."""
    return [web.get("/openapi.json", get_openapi)]


@operation(dict[str, Any])
async def get_openapi(request: web.Request) -> web.Response:
    """This description."""
    document = request.app[_DOCUMENT]
    mine = await described(request)  # saved workflows are paths too
    return reply_text(json.dumps({**document, "paths": {**document["paths"], **mine}}))


def describe_app(app: web.Application) -> None:
    """Make the description, once all routes are there."""
    app[_DOCUMENT] = document_of(app)


def document_of(app: web.Application) -> dict[str, Any]:
    """The OpenAPI document of an application: every route whose handler declares an operation, by its /api form."""
    components: dict[str, Any] = {}
    for kind in (ErrorBody, RunResult, PreviewMetadata, Announcement):
        schema_of(kind, components)
    paths: dict[str, dict[str, Any]] = {}
    known = {route.resource.canonical for route in app.router.routes() if route.resource is not None}
    for route in app.router.routes():
        declared = operation_of(route.handler)
        if route.resource is None or declared is None or route.method == "HEAD":
            continue
        path = route.resource.canonical
        if f"/api{path}" not in known:
            tag = path.removeprefix("/api").split("/")[1]
            paths.setdefault(path, {})[route.method.lower()] = described_operation(
                declared, path, route.handler, tag, components
            )
    components |= _messages(components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Latent Loom", "version": VERSION, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "The --token."}},
        },
    }


def described_operation(
    declared: Operation, path: str, handler: object, tag: str, components: dict[str, Any]
) -> dict[str, Any]:
    """One operation as OpenAPI tells it; its words are the handler's docstring."""
    told = inspect.cleandoc(getattr(handler, "__doc__", None) or "").partition("\nRaises:")[0].strip()
    name: str = getattr(handler, "__name__", "operation")
    module: str = getattr(handler, "__module__", "").rpartition(".")[2]
    described: dict[str, Any] = {
        "operationId": f"{module}_{name}",
        "tags": [tag],
        "summary": re.split(r"(?<=[.:])\s", told, maxsplit=1)[0],
        "description": told,
        "parameters": [*_in_path(path), *_in_query(declared, components), *_in_headers(declared)],
        "responses": {
            str(declared.status): {"description": "Done.", **_answer(declared, components)},
            "4XX": {"description": "Refused, and why.", **_content(ErrorBody, components)},
            "503": {"description": "Not now.", **_content(ErrorBody, components)},
        },
        **declared.extra,
    }
    if declared.body is not None:
        content = _content(declared.body, components)
        described["requestBody"] = {"required": declared.body_required, **content}
    return described


def _answer(declared: Operation, components: dict[str, Any]) -> dict[str, Any]:
    answer = _content(declared.answer, components)
    if declared.stream:
        answer["content"]["text/event-stream"] = {"schema": {"type": "string", "description": _STREAM}}
    return answer


def _messages(components: dict[str, Any]) -> dict[str, Any]:
    """`Message` as the socket sends it, and `Event` as it is stored: the data depends on the type."""

    def either(required: list[str]) -> dict[str, Any]:
        return {"oneOf": [_message(kind, hint, required, components) for kind, hint in hints.items()]}

    hints = get_type_hints(Messages)
    return {"Message": either(["type", "data"]), "Event": either(["seq", "type", "data"])}


def _message(kind: str, hint: Any, required: list[str], components: dict[str, Any]) -> dict[str, Any]:
    data = schema_of(hint, components)
    number = {"type": "integer", "description": "Its number, if it is stored."}
    properties = {"seq": number, "type": {"const": kind}, "data": data}
    return {"type": "object", "title": kind, "properties": properties, "required": required}


def _content(kind: Any, components: dict[str, Any]) -> dict[str, Any]:
    if kind is None:
        return {}
    if isinstance(kind, Media):
        schema: Mapping[str, Any] = _FORM if kind.kind == "multipart/form-data" else {}
        return {"content": {kind.kind: {"schema": schema} if schema else {}}}
    return {"content": {"application/json": {"schema": schema_of(kind, components)}}}


def _in_path(path: str) -> list[dict[str, Any]]:
    names: list[str] = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(declared: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "schema": schema_of(kind, components)} for name, kind in declared.query.items()
    ]


def _in_headers(declared: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": told, "schema": {"type": "string"}}
        for name, told in declared.headers.items()
    ]


_FORM: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "format": "binary"},
        "type": {"enum": ["input", "temp", "output"]},
        "subfolder": {"type": "string"},
        "overwrite": {"enum": ["true", "false"]},
        "original_ref": {"type": "string", "description": 'For masks: {"filename": "…"} as JSON.'},
    },
    "required": ["image"],
}
