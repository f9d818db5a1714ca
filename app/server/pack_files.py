"""Files of node packs: their scripts for the page, and their example workflows with pictures."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from app.errors import Missing
from app.server.operation import Media, operation
from app.server.pack_catalogue import PACKS
from app.server.security import FILE_POLICY
from app.server.static import file_response
from app.store.names import inside

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".json")


def routes() -> list[web.RouteDef]:
    """/extensions/PACK/… and /api/workflow_templates/PACK/FILE."""
    return [
        web.get("/extensions/{pack}/{path:.+}", get_script),
        web.get("/api/extensions/{pack}/{path:.+}", get_script),
        web.get("/api/workflow_templates/{pack}/{file}", get_example),
    ]


@operation(Media("*/*"))
async def get_script(request: web.Request) -> web.StreamResponse:
    """A file from a pack's folder for the page."""
    packs = request.app[PACKS]
    await packs.ready()
    name, path = request.match_info["pack"], request.match_info["path"]
    root = packs.web_folders().get(name)
    if root is None or any(part.startswith(".") for part in path.split("/")):
        raise Missing(f"There is nothing at {request.path[:200]!r}.")
    return await _file(root, path)


@operation(Media("*/*"))
async def get_example(request: web.Request) -> web.StreamResponse:
    """One of a pack's example workflows, or its picture."""
    packs = request.app[PACKS]
    root = (await asyncio.to_thread(packs.examples)).get(request.match_info["pack"])
    name = request.match_info["file"]
    if root is None or not name.lower().endswith(_PICTURES):
        raise Missing(f"There is nothing at {request.path[:200]!r}.")
    return await _file(root, name)


async def _file(root: Path, name: str) -> web.StreamResponse:
    response = file_response(await asyncio.to_thread(inside, root, name))
    if response.headers["Content-Type"].startswith(("text/html", "image/svg", "application/xml", "text/xml")):
        # A page or a drawing of a pack runs no scripts under this address.
        response.headers["Content-Security-Policy"] = FILE_POLICY
    return response
