"""Graphs to begin with."""

from __future__ import annotations

from aiohttp import web

from app.server.replies import reply
from app.server.static import WEB_ROOT


def routes() -> list[web.RouteDef]:
    """GET /templates."""
    return [web.get("/templates", get_templates)]


async def get_templates(_: web.Request) -> web.Response:
    """The names of the templates; each is at /templates/NAME.json."""
    folder = WEB_ROOT / "templates"
    names = sorted(path.stem for path in folder.glob("*.json") if not path.stem.endswith(".api"))
    return reply(names)
