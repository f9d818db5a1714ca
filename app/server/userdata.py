"""The user's own files over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from app.errors import InvalidRequest
from app.server import machine_shapes
from app.server.operation import Media, operation
from app.server.replies import reply
from app.server.security import FILE_POLICY
from app.server.users import USER_HEADER, user_files
from app.store.userdata import FileInfo, UserFiles

_STYLES = "user.css"

# Names; names and their parts; or with `full_info` files.
_LISTED: Any = list[str] | list[list[str]] | list[machine_shapes.UserFile]
_WRITING: Mapping[str, Any] = {"overwrite": bool, "full_info": bool}


def routes() -> list[web.RouteDef]:
    """/user.css, /userdata, /v2/userdata, /userdata/{file} and its move. A file is one element: its "/" come as %2F."""
    return [
        web.get("/user.css", get_styles),
        web.get("/userdata", list_files),
        web.get("/v2/userdata", list_tree),
        web.get("/userdata/{file}", get_file),
        web.post("/userdata/{file}", post_file),
        web.delete("/userdata/{file}", delete_file),
        web.post("/userdata/{file}/move/{dest}", move_file),
    ]


@operation(_LISTED, query={"dir": str, "recurse": bool, "full_info": bool, "split": bool}, headers=USER_HEADER)
async def list_files(request: web.Request) -> web.Response:
    """The files in `dir`: names, or with `full_info` more, or with `split` in parts."""
    query = request.query
    folder = query.get("dir", "")
    if not folder:
        raise InvalidRequest("Which folder? dir is missing.", remedy="Add ?dir=workflows.")
    found = await asyncio.to_thread(user_files(request).files, folder, recurse=_yes(query.get("recurse")))
    if _yes(query.get("full_info")):
        return reply([info.to_json() for info in found])
    if _yes(query.get("split")):
        return reply([[info.path, *info.path.split("/")] for info in found])
    return reply([info.path for info in found])


@operation(list[machine_shapes.Leaf], query={"path": str}, headers=USER_HEADER)
async def list_tree(request: web.Request) -> web.Response:
    """All files and folders below `path`."""
    found = await asyncio.to_thread(user_files(request).tree, request.query.get("path", ""))
    return reply([_leaf(info) for info in found])


@operation(Media("*/*"), headers=USER_HEADER)
async def get_file(request: web.Request) -> web.StreamResponse:
    """A file's bytes, never as a page: what users keep must not run here."""
    name = request.match_info["file"]
    if name == _STYLES:
        return await get_styles(request)
    path = user_files(request).existing(name)
    kind = "application/json" if path.suffix == ".json" else "application/octet-stream"
    return web.FileResponse(path, headers={"Content-Type": kind, "Content-Security-Policy": FILE_POLICY})


@operation(Media("text/css"), headers=USER_HEADER)
async def get_styles(request: web.Request) -> web.StreamResponse:
    """The user's own style sheet, which editors always ask for; empty while there is none."""
    path = user_files(request).path(_STYLES)
    headers = {"Content-Type": "text/css; charset=utf-8", "Cache-Control": "no-cache"}
    return web.FileResponse(path, headers=headers) if path.is_file() else web.Response(headers=headers)


@operation(str | machine_shapes.UserFile, body=Media("application/octet-stream"), query=_WRITING, headers=USER_HEADER)
async def post_file(request: web.Request) -> web.Response:
    """Write the body to a file; with `overwrite=false` only a new one."""
    files, name = user_files(request), request.match_info["file"]
    content = await request.read()
    await asyncio.to_thread(files.write, name, content, overwrite=request.query.get("overwrite") != "false")
    return _told(request, files, name)


@operation(None, status=204, headers=USER_HEADER)
async def delete_file(request: web.Request) -> web.Response:
    """Delete a file."""
    await asyncio.to_thread(user_files(request).delete, request.match_info["file"])
    return web.Response(status=204)


@operation(str | machine_shapes.UserFile, query=_WRITING, headers=USER_HEADER)
async def move_file(request: web.Request) -> web.Response:
    """Rename a file; with `overwrite=false` only to a new name."""
    files, target = user_files(request), request.match_info["dest"]
    overwrite = request.query.get("overwrite") != "false"
    await asyncio.to_thread(files.move, request.match_info["file"], target, overwrite=overwrite)
    return _told(request, files, target)


def _told(request: web.Request, files: UserFiles, name: str) -> web.Response:
    info = files.info(name)
    return reply(info.to_json() if _yes(request.query.get("full_info")) else info.path)


def _leaf(info: FileInfo) -> dict[str, object]:
    name = info.path.rpartition("/")[2]
    if info.is_directory:
        return {"name": name, "path": info.path, "type": "directory"}
    return {"name": name, "path": info.path, "type": "file", "size": info.size, "modified": info.modified}


def _yes(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1")
