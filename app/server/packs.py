"""Node packs: how loading went, switched on and off, and the lists that they add to."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from aiohttp import web

from app.errors import Conflict, InvalidRequest
from app.graph.json_values import is_object
from app.server import machine_shapes
from app.server.operation import operation
from app.server.pack_catalogue import PACKS
from app.server.replies import read_json, reply
from app.server.services import services_of


def routes() -> list[web.RouteDef]:
    """/packs, /extensions, /workflow_templates and /i18n."""
    return [
        web.get("/packs", get_packs),
        web.post("/packs/{name}", switch_pack),
        web.get("/extensions", get_extensions),
        web.get("/workflow_templates", get_examples),
        web.get("/i18n", get_translations),
    ]


@operation(machine_shapes.Packs)
async def get_packs(request: web.Request) -> web.Response:
    """All packs: whether each is switched on and loaded, how long that took, what it brought, what is wrong with it."""
    packs = request.app[PACKS]
    await packs.ready()
    off = await asyncio.to_thread(packs.disabled)
    told = [{**report, "enabled": report["name"] not in off} for report in packs.reports]
    loaded = {report["name"] for report in packs.reports}
    installed = await asyncio.to_thread(packs.installed)
    told += [{"name": name, "loaded": False, "enabled": name not in off} for name in sorted((installed | off) - loaded)]
    safe = not services_of(request).settings.engine.load_custom_nodes
    return reply({"packs": told, "safe_mode": safe})


@operation(machine_shapes.PackSwitched, body=machine_shapes.PackSwitch)
async def switch_pack(request: web.Request) -> web.Response:
    """Switch a pack on or off: {"enabled": false}. It counts from a worker's next start; "restart": true asks for one.

    Raises:
        InvalidRequest: another body.
        Missing: no such pack.
        Conflict: a restart is asked for while a job runs.
    """
    said = await read_json(request)
    enabled = said.get("enabled") if is_object(said) else None
    if not isinstance(enabled, bool):
        raise InvalidRequest(f"enabled is {enabled!r:.60}.", remedy='Send {"enabled": true} or {"enabled": false}.')
    name = request.match_info["name"]
    packs = request.app[PACKS]
    await asyncio.to_thread(packs.switch, name, enabled)
    restarted = bool(is_object(said) and said.get("restart")) and _restart(request)
    return reply({"name": name, "enabled": enabled, "restarted": restarted})


def _restart(request: web.Request) -> bool:
    """End the local workers, which are started again with the packs as they are now; whether there were any."""
    dispatcher = services_of(request).dispatcher
    if dispatcher.runs:
        raise Conflict(
            "The pack is switched, but a job is running.", remedy="Restart the worker when the queue is empty."
        )
    processes = dispatcher.processes
    ids = [worker.hello.process_id for worker in dispatcher.workers.values()]
    ended = [process_id for process_id in ids if processes is not None and processes.kill(process_id)]
    return bool(ended)


@operation(list[str])
async def get_extensions(request: web.Request) -> web.Response:
    """The addresses of all scripts that packs bring for the page."""
    packs = request.app[PACKS]
    await packs.ready()
    found = await asyncio.to_thread(packs.scripts)
    return reply([f"/extensions/{quote(name)}/{quote(path)}" for name, path in found])


@operation(dict[str, list[str]])
async def get_examples(request: web.Request) -> web.Response:
    """Workflows to begin with, by pack."""
    packs = request.app[PACKS]
    await packs.ready()
    folders = await asyncio.to_thread(packs.examples)
    return reply({name: sorted(path.stem for path in folder.glob("*.json")) for name, folder in folders.items()})


@operation(dict[str, Any])
async def get_translations(request: web.Request) -> web.Response:
    """Texts of packs by language."""
    packs = request.app[PACKS]
    await packs.ready()
    return reply(await asyncio.to_thread(packs.translations))
