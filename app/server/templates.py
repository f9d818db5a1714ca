"""Graphs to begin with, and the lists that packs would add to."""

from __future__ import annotations

from aiohttp import web

from app.server.replies import reply
from app.server.static import WEB_ROOT


def routes() -> list[web.RouteDef]:
    """/templates, /workflow_templates, /extensions and /i18n."""
    return [
        web.get("/templates", get_templates),
        web.get("/workflow_templates", get_pack_templates),
        web.get("/extensions", get_extensions),
        web.get("/i18n", get_translations),
    ]


async def get_templates(_: web.Request) -> web.Response:
    """The names of the templates; each is at /templates/NAME.json."""
    folder = WEB_ROOT / "templates"
    names = sorted(path.stem for path in folder.glob("*.json") if not path.stem.endswith(".api"))
    return reply(names)


async def get_pack_templates(_: web.Request) -> web.Response:
    """Templates by pack: none, as packs bring none into the page."""
    return reply({})


async def get_extensions(_: web.Request) -> web.Response:
    """Scripts of packs: none, as the page runs our own code only."""
    return reply([])


async def get_translations(_: web.Request) -> web.Response:
    """Texts by language: none."""
    return reply({})
