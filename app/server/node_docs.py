"""A page of help for each node, written from what the node says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import web

from app.errors import Missing
from app.graph.spec import InputSpec, NodeSpec, OutputSpec
from app.server.operation import Media, operation
from app.server.services import services_of

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|])")


def routes() -> list[web.RouteDef]:
    """GET /docs/{class}/{language}.md, where other editors look for help."""
    return [web.get("/docs/{class_type}/{language}.md", get_help)]


@operation(Media("text/markdown"))
async def get_help(request: web.Request) -> web.Response:
    """What a node does, takes and gives, as Markdown. The words are the node's own, in English for every language."""
    services = services_of(request)
    specs = await services.catalogue.ready(services.settings.serve.node_wait_seconds)
    name = request.match_info["class_type"]
    if name not in specs:
        raise Missing(f"There is no node {name[:80]!r}.", remedy="GET /object_info lists them.")
    return web.Response(text=help_page(specs[name]), content_type="text/markdown", charset="utf-8")


def help_page(spec: NodeSpec) -> str:
    """The help of a node as Markdown; nothing that a pack writes becomes markup."""
    parts = [f"# {_plain(spec.display_name or spec.id)}", _plain(spec.help)]
    if spec.inputs:
        parts.append(_table(("Input", "Type", ""), (_input(port) for port in spec.inputs)))
    if spec.outputs:
        parts.append(_table(("Output", "Type", ""), (_output(port) for port in spec.outputs)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = [titles, ["-"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _input(port: InputSpec) -> tuple[str, str, str]:
    told = [str(port.options.get("tooltip") or "")]
    if "min" in port.options and "max" in port.options:
        told.append(f"From {port.options['min']} to {port.options['max']}.")
    if port.section == "optional":
        told.append("May be left out.")
    return _plain(port.name), _type(port.type), _plain(" ".join(each for each in told if each))


def _output(port: OutputSpec) -> tuple[str, str, str]:
    return _plain(port.name), _type(port.type), _plain(port.tooltip)


def _type(kind: str | tuple[object, ...]) -> str:
    return _plain(kind) if isinstance(kind, str) else "a choice"


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
