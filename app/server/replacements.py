"""Classes that have another name by now."""

from __future__ import annotations

from aiohttp import web

from app.server import machine_shapes
from app.server.operation import operation
from app.server.replies import reply
from app.server.services import services_of


def routes() -> list[web.RouteDef]:
    """GET /node_replacements."""
    return [web.get("/node_replacements", get_replacements)]


@operation(dict[str, list[machine_shapes.Replacement]])
async def get_replacements(request: web.Request) -> web.Response:
    """For each old class what stands in for it; null means that names and places are kept."""
    offered = services_of(request).catalogue.replacements
    return reply({old: [each.to_json() for each in found] for old, found in offered.items()})
