"""The catalogue of nodes."""

from __future__ import annotations

import asyncio

from aiohttp import web

from app.errors import Missing
from app.server import machine_shapes
from app.server.messages import NodeInfo
from app.server.operation import operation
from app.server.replies import reply
from app.server.services import services_of


def routes() -> list[web.RouteDef]:
    """GET /object_info and /object_info/{class}."""
    return [
        web.get("/object_info", get_object_info),
        web.get("/object_info/{class_type:.+}", get_one),
        web.get("/node_failures", get_failures),
    ]


@operation(dict[str, NodeInfo])
async def get_object_info(request: web.Request) -> web.Response:
    """All nodes. Tagged, so that an editor that has them is told so in a few bytes."""
    services = services_of(request)
    await services.catalogue.ready(services.settings.serve.node_wait_seconds)
    document = await asyncio.to_thread(services.catalogue.document)
    headers = {"ETag": document.tag, "Cache-Control": "no-cache"}
    if document.tag in [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]:
        return web.Response(status=304, headers=headers)
    body = document.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = document.packed
    headers["Vary"] = "Accept-Encoding"
    return web.Response(body=body, content_type="application/json", charset="utf-8", headers=headers)


@operation(dict[str, NodeInfo])
async def get_one(request: web.Request) -> web.Response:
    """One node by class; an empty object when there is none."""
    services = services_of(request)
    await services.catalogue.ready(services.settings.serve.node_wait_seconds)
    name = request.match_info["class_type"]
    try:
        return reply({name: await asyncio.to_thread(services.catalogue.entry, name)})
    except Missing:
        return reply({})


@operation(list[machine_shapes.NodeFailure])
async def get_failures(request: web.Request) -> web.Response:
    """Node packs that could not be loaded, and why."""
    return reply(list(services_of(request).catalogue.failures))
