"""Which models there are."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path, PurePosixPath
from typing import Any

from aiohttp import web

from app.errors import Missing
from app.graph.json_values import is_dict
from app.server.replies import reply
from app.server.services import services_of
from app.store.folders import Folders

_LARGEST_HEADER = 1 << 20
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
    ]


async def get_kinds(request: web.Request) -> web.Response:
    """The kinds of models."""
    return reply([*services_of(request).folders.models, "custom_nodes"])


async def get_names(request: web.Request) -> web.Response:
    """The names of the models of a kind."""
    folders, kind = services_of(request).folders, request.match_info["folder"]
    return reply(await asyncio.to_thread(folders.names, folders.kind(kind)))


async def get_embeddings(request: web.Request) -> web.Response:
    """The names of embeddings, as prompts write them."""
    names = await asyncio.to_thread(services_of(request).folders.names, "embeddings")
    return reply([str(PurePosixPath(name).with_suffix("")) for name in names])


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


async def get_kinds_with_folders(request: web.Request) -> web.Response:
    """The kinds of models with their folders."""
    kinds = services_of(request).folders.models.items()
    return reply([{"name": k, "folders": [str(p) for p in paths]} for k, paths in kinds if k not in _NOT_MODELS])


async def get_files(request: web.Request) -> web.Response:
    """The models of a kind with size and time."""
    folders = services_of(request).folders
    return reply(await asyncio.to_thread(_files, folders, folders.kind(request.match_info["folder"])))


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
