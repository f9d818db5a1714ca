"""Which models there are."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path, PurePosixPath
from typing import Any

from aiohttp import web

from app.errors import Missing
from app.graph.json_values import is_dict, is_list
from app.server import machine_shapes
from app.server.operation import Media, operation
from app.server.pictures import cover, preview
from app.server.replies import parse_json, reply, whole_number
from app.server.services import services_of
from app.store.folders import Folders
from app.store.names import inside

_LARGEST_HEADER = 1 << 20
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_NOT_MODELS = frozenset({"configs", "custom_nodes"})


def routes() -> list[web.RouteDef]:
    """/models, /embeddings, /view_metadata and /experiment/models."""
    return [
        web.get("/models", get_kinds),
        web.get("/models/{folder}", get_names),
        web.get("/embeddings", get_embeddings),
        web.get("/view_metadata/{folder}", get_metadata),
        web.get("/experiment/models", get_kinds_with_folders),
        web.get("/experiment/models/{folder}", get_files),
        web.get("/experiment/models/preview/{folder}/{path_index}/{filename:.+}", get_preview),
    ]


@operation(list[str])
async def get_kinds(request: web.Request) -> web.Response:
    """The kinds of models."""
    return reply([*services_of(request).folders.models, "custom_nodes"])


@operation(list[str])
async def get_names(request: web.Request) -> web.Response:
    """The names of the models of a kind."""
    folders, kind = services_of(request).folders, request.match_info["folder"]
    return reply(await asyncio.to_thread(folders.names, folders.kind(kind)))


@operation(list[str])
async def get_embeddings(request: web.Request) -> web.Response:
    """The names of embeddings, as prompts write them."""
    names = await asyncio.to_thread(services_of(request).folders.names, "embeddings")
    return reply([str(PurePosixPath(name).with_suffix("")) for name in names])


@operation(dict[str, str], query={"filename": str})
async def get_metadata(request: web.Request) -> web.Response:
    """The metadata that a safetensors file carries."""
    folders, kind = services_of(request).folders, request.match_info["folder"]
    name = request.query.get("filename", "")
    if not name.endswith((".safetensors", ".sft")):
        raise Missing(f"{name[:200]!r} is no safetensors file.", remedy="Only those carry metadata.")
    metadata = await asyncio.to_thread(lambda: read_metadata(folders.model(folders.kind(kind), name)))
    if not metadata:
        raise Missing(f"{name[:200]!r} carries no metadata.")
    return reply(metadata)


@operation(list[machine_shapes.ModelFolder])
async def get_kinds_with_folders(request: web.Request) -> web.Response:
    """The kinds of models with their folders."""
    kinds = services_of(request).folders.models.items()
    return reply([{"name": k, "folders": [str(p) for p in paths]} for k, paths in kinds if k not in _NOT_MODELS])


@operation(list[machine_shapes.ModelFile])
async def get_files(request: web.Request) -> web.Response:
    """The models of a kind with size and time."""
    folders = services_of(request).folders
    return reply(await asyncio.to_thread(_files, folders, folders.kind(request.match_info["folder"])))


@operation(Media("image/webp"))
async def get_preview(request: web.Request) -> web.Response:
    """The picture that lies beside a model under its name, or inside its metadata, as WebP."""
    folders, wanted = services_of(request).folders, request.match_info
    kind = folders.kind(wanted["folder"])
    index = whole_number(wanted["path_index"], "path_index", 0, lowest=0) or 0
    places = folders.models[kind]
    if index >= len(places):
        raise Missing(f"{kind} has {len(places)} folders, none with the number {index}.")
    path = inside(places[index], wanted["filename"])
    body = await asyncio.to_thread(_picture_of, path)
    return web.Response(body=body, content_type="image/webp")


def _picture_of(path: Path) -> bytes:
    for ending in _PICTURES:
        for beside in (path.with_suffix(ending), path.with_suffix(f".preview{ending}")):
            if beside.is_file():
                return preview(beside, "webp", 90, opaque=False)[0]
    covers: object = parse_json(str((read_metadata(path) or {}).get("ssmd_cover_images") or "[]"))
    if is_list(covers) and covers and isinstance(covers[0], str):
        return cover(covers[0])
    raise Missing(f"{path.name[:200]!r} has no picture.", remedy="Put one beside it, with the same name.")


def read_metadata(path: Path) -> dict[str, Any] | None:
    """`__metadata__` of a safetensors file; None if it has none, or no header that can be one."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header: object = json.loads(file.read(length)) if length <= _LARGEST_HEADER else {}
    except (OSError, ValueError, struct.error, RecursionError):
        return None
    found = header.get("__metadata__") if is_dict(header) else None
    return found if is_dict(found) else None


def _files(folders: Folders, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in folders.names(kind):
        path = folders.model(kind, name)
        index = next(i for i, folder in enumerate(folders.models[kind]) if path.is_relative_to(folder))
        facts = path.stat()
        times = {"modified": facts.st_mtime, "created": facts.st_ctime, "size": facts.st_size}
        found.append({"name": name, "pathIndex": index, **times})
    return found
