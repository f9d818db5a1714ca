"""The user's settings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from app.server.operation import operation
from app.server.replies import read_json, read_object, reply
from app.server.users import USER_HEADER, user_files
from app.store.settings_file import load_settings, merge_settings


def routes() -> list[web.RouteDef]:
    """/settings and /settings/{id}."""
    return [
        web.get("/settings", get_settings),
        web.post("/settings", post_settings),
        web.get("/settings/{id}", get_setting),
        web.post("/settings/{id}", post_setting),
    ]


@operation(dict[str, Any], headers=USER_HEADER)
async def get_settings(request: web.Request) -> web.Response:
    """All settings."""
    return reply(await asyncio.to_thread(load_settings, _path(request)))


@operation(None, body=dict[str, Any], headers=USER_HEADER)
async def post_settings(request: web.Request) -> web.Response:
    """Change several settings; others stay."""
    changes = await read_object(request)
    await asyncio.to_thread(merge_settings, _path(request), changes)
    return web.Response()


@operation(Any, headers=USER_HEADER)
async def get_setting(request: web.Request) -> web.Response:
    """One setting, null when it is not set."""
    settings = await asyncio.to_thread(load_settings, _path(request))
    return reply(settings.get(request.match_info["id"]))


@operation(None, body=Any, headers=USER_HEADER)
async def post_setting(request: web.Request) -> web.Response:
    """Change one setting; the body is its bare value."""
    value = await read_json(request)
    await asyncio.to_thread(merge_settings, _path(request), {request.match_info["id"]: value})
    return web.Response()


def _path(request: web.Request) -> Path:
    return user_files(request).root / "comfy.settings.json"
