"""Subgraphs that packs publish for every workflow."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from app.errors import Missing, UnusableFile
from app.server import machine_shapes
from app.server.operation import operation
from app.server.pack_catalogue import PACKS
from app.server.replies import reply
from app.store.names import inside


def routes() -> list[web.RouteDef]:
    """GET /global_subgraphs and /global_subgraphs/{id}."""
    return [web.get("/global_subgraphs", get_subgraphs), web.get("/global_subgraphs/{id}", get_subgraph)]


@operation(dict[str, machine_shapes.Subgraph])
async def get_subgraphs(request: web.Request) -> web.Response:
    """What is published, by id, without the graphs themselves."""
    packs = request.app[PACKS]
    await packs.ready()
    found = await asyncio.to_thread(_published, packs.places())
    return reply({key: _told(pack, path) for key, (pack, path) in found.items()})


@operation(machine_shapes.Subgraph)
async def get_subgraph(request: web.Request) -> web.Response:
    """One of them with its graph as text, as the editor keeps it."""
    packs = request.app[PACKS]
    await packs.ready()
    found = await asyncio.to_thread(_published, packs.places())
    name = request.match_info["id"]
    if name not in found:
        raise Missing(f"There is no published subgraph {name[:80]!r}.", remedy="GET /global_subgraphs lists them.")
    pack, path = found[name]
    return reply({**_told(pack, path), "data": await asyncio.to_thread(_text, path)})


def _published(places: Mapping[str, Path]) -> dict[str, tuple[str, Path]]:
    """(pack, file) of every `subgraphs/*.json` of a pack, by an id that stays while the file is where it is."""
    found: dict[str, tuple[str, Path]] = {}
    for pack, place in sorted(places.items()):
        for path in sorted((place / "subgraphs").glob("*.json")):
            key = hashlib.sha256(f"{pack}/{path.name}".encode()).hexdigest()[:32]
            found[key] = (pack, inside(place, f"subgraphs/{path.name}"))
    return found


def _told(pack: str, path: Path) -> dict[str, object]:
    return {"source": "custom_node", "name": path.stem, "info": {"node_pack": f"custom_nodes.{pack}"}}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as broken:
        raise UnusableFile(f"{path.name} is no text.", remedy="The pack that brings it must be mended.") from broken
