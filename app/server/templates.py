"""Graphs to begin with."""

from __future__ import annotations

from aiohttp import web

from app.errors import Missing
from app.server import machine_shapes
from app.server.operation import Media, operation
from app.server.replies import reply
from app.server.static import WEB_ROOT, file_response
from app.store.names import inside

_FOLDER = WEB_ROOT / "templates"
_WORDS = {
    "default": ("First picture", "Words become a picture."),
    "draw_over": ("Draw over it", "A picture is drawn, and drawn over with other words."),
    "part_of_a_picture": ("A part drawn anew", "A mask says which part of a picture is drawn anew."),
    "compare_guidance": ("Three times guidance", "The same seed, held to the words weakly, well and hard."),
}


def routes() -> list[web.RouteDef]:
    """/templates and what is below it."""
    return [
        web.get("/templates", get_templates),
        web.get(r"/templates/index{language:(\.[A-Za-z-]+)?}.json", get_index),
        web.get("/templates/index_logo.json", get_logos),
        web.get("/templates/{name}", get_template),
    ]


@operation(list[str])
async def get_templates(_: web.Request) -> web.Response:
    """The names of the templates; each is at /templates/NAME.json."""
    return reply(_names())


@operation(list[machine_shapes.TemplateGroup])
async def get_index(_: web.Request) -> web.Response:
    """The same as a catalogue, in the form in which other editors read it."""
    entries = [
        {"name": name, "title": title, "description": words, "mediaType": "image", "mediaSubtype": "webp"}
        for name in _names()
        for title, words in [_WORDS[name]]
    ]
    return reply([{"moduleName": "default", "title": "Latent Loom", "type": "image", "templates": entries}])


@operation(dict[str, str])
async def get_logos(_: web.Request) -> web.Response:
    """The signs of those who made templates, by name: there are none, and editors ask."""
    return reply({})


@operation(Media("*/*"))
async def get_template(request: web.Request) -> web.StreamResponse:
    """One template as a workflow, or the picture that stands for it (NAME-1.webp)."""
    name = request.match_info["name"]
    if not name.endswith((".json", ".webp")):
        raise Missing(f"There is no template {name[:80]!r}.", remedy="GET /templates lists them.")
    return file_response(inside(_FOLDER, name))


def _names() -> list[str]:
    return [name for name in _WORDS if (_FOLDER / f"{name}.json").is_file()]
