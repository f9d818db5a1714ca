"""JSON in and out: bounded reading, and answers that every JSON reader can read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from app.errors import AppError, InvalidPrompt, InvalidRequest, TooLarge
from app.graph.json_values import is_dict, is_list
from app.graph.prompt import depth_exceeds
from app.store.job_records import to_text

MAX_DEPTH = 100
MAX_JSON_BYTES = 64 << 20
_LONG = 1 << 18  # bytes of JSON that would hold up other requests while they are parsed


def to_json(data: object) -> str:
    """Data as strict JSON: what is no finite number becomes null."""
    return to_text(data)


def reply(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer in JSON."""
    return web.Response(text=to_json(data), status=status, content_type="application/json", headers=headers)


def reply_text(text: str) -> web.Response:
    """An answer in JSON that is text already: long ones are made in a thread."""
    return web.Response(text=text, content_type="application/json")


def parse_json(text: bytes | str) -> Any:
    """JSON from outside.

    Raises:
        InvalidRequest: no JSON.
        TooLarge: nested too deeply.
    """
    try:
        data = json.loads(text)
    except RecursionError as broken:
        raise _too_deep() from broken
    except ValueError as broken:  # bad syntax, bad UTF-8, or a number of too many digits
        raise InvalidRequest(f"The body is not JSON: {str(broken)[:200]}", remedy="Send valid JSON.") from broken
    if depth_exceeds(data, MAX_DEPTH):
        raise _too_deep()
    return data


async def read_json(request: web.Request) -> Any:
    """The request's body as JSON. Raises as `parse_json` does."""
    return await _parsed(await _read(request))


async def read_object(request: web.Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The request's body as a JSON object; empty for no body if that is allowed.

    Raises:
        InvalidRequest: anything else.
    """
    text = await _read(request)
    if may_be_empty and not text.strip():
        return {}
    data = await _parsed(text)
    if not is_dict(data):
        raise InvalidRequest(f"The body must be an object, not {shorten(data)}.", remedy='Send {"…": …}.')
    return data


async def _read(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_JSON_BYTES:
        raise _too_long()
    content = bytearray()
    async for chunk in request.content.iter_any():  # what was packed is unpacked here: its length says little
        content += chunk
        if len(content) > min(MAX_JSON_BYTES, request.client_max_size):
            raise _too_long()
    return bytes(content)


async def _parsed(text: bytes) -> Any:
    return parse_json(text) if len(text) < _LONG else await asyncio.to_thread(parse_json, text)


def _too_long() -> TooLarge:
    return TooLarge(f"The body is longer than {MAX_JSON_BYTES >> 20} MiB.", remedy="Send files with /upload/image.")


def error_body(error: AppError) -> dict[str, Any]:
    """An error as all routes tell it; the shape is that of `POST /prompt`."""
    prompt = error if isinstance(error, InvalidPrompt) else None
    told: dict[str, Any] = {
        "type": error.kind,
        "message": error.message,
        "details": prompt.details if prompt else error.remedy,
        "extra_info": prompt.extra_info if prompt else {},
        "remedy": error.remedy,
    }
    return {"error": told, "node_errors": prompt.node_errors if prompt else {}}


def text_list(data: Mapping[str, Any], name: str) -> list[str] | None:
    """The list of texts under `name`, None when there is none.

    Raises:
        InvalidRequest: something else is there.
    """
    value = data.get(name)
    if value is None:
        return None
    if not is_list(value) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"{name} must be a list of texts, not {shorten(value)}.", remedy=f'Send "{name}": ["…"].')
    return value


def flag(data: Mapping[str, Any], name: str) -> bool:
    """The truth value under `name`, false when absent.

    Raises:
        InvalidRequest: something else is there.
    """
    value = data.get(name, False)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"{name} must be true or false, not {shorten(value)}.")


def whole_number(text: str | None, name: str, default: int | None, *, lowest: int | None = None) -> int | None:
    """A number from a query.

    Raises:
        InvalidRequest: no whole number, one of more than 15 digits, or one below `lowest`.
    """
    if text is None or text == "":
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise InvalidRequest(f"{name} must be a whole number, not {text[:40]!r}.")
    if lowest is not None and int(text) < lowest:
        raise InvalidRequest(f"{name} must be at least {lowest}, not {text}.")
    return int(text)


def shorten(value: object) -> str:
    """A value for a message, never long."""
    text = ascii(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"


def _too_deep() -> TooLarge:
    return TooLarge(f"The body nests deeper than {MAX_DEPTH} levels.", remedy="Send flatter data.")
