"""The list of assets that newer clients ask for: files here are known by their names, so it is switched off.

A client that asks all the same, though GET /features says so, is told in the words of that interface.
"""

from __future__ import annotations

from aiohttp import web

from app.server.replies import reply


def routes() -> list[web.RouteDef]:
    """/api/assets, /api/tags and what is below them, whatever the method; /assets is for the files of editors."""
    return [web.route("*", f"/api/{name}{rest}", refuse) for name in ("assets", "tags") for rest in ("", "/{rest:.*}")]


async def refuse(_: web.Request) -> web.Response:
    """Say that there are no assets, and what there is instead."""
    told: dict[str, object] = {
        "code": "SERVICE_DISABLED",
        "type": "service_disabled",
        "message": "This server keeps no list of assets.",
        "details": dict[str, object](),
        "extra_info": dict[str, object](),
        "remedy": "Use /upload/image, /view, /models and /jobs, which know files by their names.",
    }
    return reply({"error": told, "node_errors": {}}, 503)
