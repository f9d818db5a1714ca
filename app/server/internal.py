"""What only the editor asks for: log lines and plain lists of files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from app.errors import InvalidRequest
from app.server import machine_shapes
from app.server.operation import operation
from app.server.replies import flag, read_object, reply
from app.server.services import services_of


def routes() -> list[web.RouteDef]:
    """Below /internal; served without /api only."""
    return [
        web.get("/internal/logs", get_logs),
        web.get("/internal/logs/raw", get_raw_logs),
        web.patch("/internal/logs/subscribe", subscribe),
        web.get("/internal/folder_paths", get_folder_paths),
        web.get("/internal/files/{kind}", get_files),
    ]


@operation(str)
async def get_logs(request: web.Request) -> web.Response:
    """The last lines as one text."""
    return reply("".join(f"{line['t']} - {line['m']}" for line in services_of(request).logs.lines))


@operation(machine_shapes.Logs)
async def get_raw_logs(request: web.Request) -> web.Response:
    """The last lines one by one."""
    return reply({"entries": list(services_of(request).logs.lines), "size": {"cols": 120, "rows": 30}})


@operation(None, body=machine_shapes.Subscription)
async def subscribe(request: web.Request) -> web.Response:
    """Send new lines to a client, or no longer."""
    body = await read_object(request)
    client = body.get("clientId")
    if not isinstance(client, str):
        raise InvalidRequest("clientId is missing.", remedy='Send {"clientId": "…", "enabled": true}.')
    subscribers = services_of(request).logs.subscribers
    (subscribers.add if flag(body, "enabled") else subscribers.discard)(client)
    return web.Response()


@operation(dict[str, list[str]])
async def get_folder_paths(request: web.Request) -> web.Response:
    """Where models are looked for."""
    return reply({kind: [str(path) for path in paths] for kind, paths in services_of(request).folders.models.items()})


@operation(list[str])
async def get_files(request: web.Request) -> web.Response:
    """The files right in a directory, newest first."""
    folder = services_of(request).folders.directory(request.match_info["kind"])
    return reply(await asyncio.to_thread(_newest_first, folder))


def _newest_first(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return [path.name for path in sorted(files, key=lambda path: -path.stat().st_mtime)]
