"""Files of the input, output and temp directories."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from aiohttp import web

from app.errors import Forbidden, InvalidRequest, Missing
from app.server.operation import Media, operation
from app.server.pictures import channel, preview
from app.server.security import FILE_POLICY
from app.server.services import services_of
from app.store.folders import split_annotation
from app.store.names import inside

# What a browser may show by itself. Everything else is a download: a page or an SVG would run as if it were ours.
INLINE: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".opus": "audio/ogg",
    ".txt": "text/plain; charset=utf-8",
}

_QUERY: Mapping[str, Any] = {
    "filename": str,
    "type": Literal["output", "input", "temp"],
    "subfolder": str,
    "preview": str,
    "channel": Literal["rgba", "rgb", "a"],
}


def routes() -> list[web.RouteDef]:
    """GET /view."""
    return [web.get("/view", get_view)]


@operation(Media("*/*"), query=_QUERY)
async def get_view(request: web.Request) -> web.StreamResponse:
    """A file as it is, or a picture made smaller (`preview`) or reduced to some channels (`channel`)."""
    query = request.query
    path = _path(request)
    headers = _headers(path.name)
    wanted = query.get("channel", "rgba")
    if "preview" in query:
        kind, quality = _preview_options(query["preview"], wanted)
        body, mime = await asyncio.to_thread(preview, path, kind, quality, opaque=wanted == "rgb")
        return web.Response(body=body, headers={**headers, "Content-Type": mime})
    if wanted in ("rgb", "a"):
        body = await asyncio.to_thread(channel, path, "rgb" if wanted == "rgb" else "a")
        return web.Response(body=body, headers={**headers, "Content-Type": "image/png"})
    return web.FileResponse(path, headers=headers)


def _path(request: web.Request) -> Path:
    query = request.query
    if "filename" not in query:
        raise Missing("Which file? filename is missing.", remedy="Add ?filename=….")
    name, kind = split_annotation(query["filename"], query.get("type", "output"))
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise InvalidRequest(f"{name[:200]!r} is no file name.", remedy="Use a plain name and subfolder=….")
    try:
        folder = inside(services_of(request).folders.directory(kind), query.get("subfolder", ""))
        path = inside(folder, name)
    except ValueError as broken:
        raise Forbidden("That name cannot be a path.") from broken
    if not path.is_file():
        raise Missing(f"There is no file {name[:200]!r} in {kind}.", remedy="It may have been deleted or moved.")
    return path


def _headers(name: str) -> dict[str, str]:
    kind = INLINE.get(Path(name).suffix.lower())
    disposition = f"filename=\"{quote(name, safe=' ()[]+,;=@!')}\"; filename*=UTF-8''{quote(name)}"
    return {
        "Content-Type": kind or "application/octet-stream",
        "Content-Disposition": ("inline; " if kind else "attachment; ") + disposition,
        "Content-Security-Policy": FILE_POLICY,
        "Vary": "Sec-Fetch-Dest",
    }


def _preview_options(text: str, wanted_channel: str) -> tuple[str, int]:
    parts = text.split(";")
    kind = "webp" if parts[0] != "jpeg" or "a" in wanted_channel.replace("rgba", "") else "jpeg"
    last = parts[-1]
    return kind, int(last) if last.isascii() and last.isdigit() and len(last) < 4 else 90
