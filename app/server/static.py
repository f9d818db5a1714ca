"""The editor's files."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from app.errors import Missing
from app.server.security import FOREIGN_PAGE_POLICY
from app.server.services import services_of
from app.settings import PROGRAM_DIRECTORY
from app.store.names import inside

WEB_ROOT = PROGRAM_DIRECTORY / "web"

# Not left to the system's tables: some name .js text/plain, which a browser told not to sniff refuses to run.
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
}

_ALWAYS_OURS = frozenset({"api.html", "api.js", "api.css"})


def routes() -> list[web.RouteDef]:
    """GET / and every path that nothing else answers."""
    return [web.get("/", get_index), web.get("/{path:.+}", get_asset)]


async def get_index(request: web.Request) -> web.StreamResponse:
    """The editor: ours, or the one of `--front-end-root`."""
    response = _from(_root(request), "index.html")
    response.headers.update({"Pragma": "no-cache", "Expires": "0"})  # for proxies of before
    return response


async def get_asset(request: web.Request) -> web.StreamResponse:
    """One of the editor's files."""
    name = request.match_info["path"]
    if any(part.startswith(".") for part in name.split("/")):
        raise Missing(f"There is nothing at {request.path[:200]!r}.")
    # Our own page of the API needs its files whichever editor is served.
    return _from(WEB_ROOT if name in _ALWAYS_OURS else _root(request), name)


def _root(request: web.Request) -> Path:
    return services_of(request).settings.serve.front_end or WEB_ROOT


def _from(root: Path, name: str) -> web.StreamResponse:
    response = file_response(inside(root, name))
    if root is not WEB_ROOT and name.endswith(".html"):
        response.headers["Content-Security-Policy"] = FOREIGN_PAGE_POLICY
    return response


def file_response(path: Path) -> web.StreamResponse:
    """A file as an answer, under a type that does not depend on the system. Raises Missing."""
    if not path.is_file():
        raise Missing(f"There is no file {path.name[:200]!r} here.", remedy="GET /openapi.json lists what there is.")
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    # Asked for again each time, and answered with 304 while it is the same: an update is seen at once.
    return web.FileResponse(path, headers={"Content-Type": kind, "Cache-Control": "no-cache"})
