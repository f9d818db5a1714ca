"""Giving memory back."""

from __future__ import annotations

from aiohttp import web

from app.link.messages import Free
from app.server import shapes
from app.server.operation import operation
from app.server.replies import flag, read_object
from app.server.services import services_of


def routes() -> list[web.RouteDef]:
    """POST /free."""
    return [web.post("/free", post_free)]


@operation(None, body=shapes.ToFree)
async def post_free(request: web.Request) -> web.Response:
    """Let workers unload models, and with `free_memory` forget results too, as soon as they have no job."""
    body = await read_object(request)
    everything = flag(body, "free_memory")
    order = Free(unload_models=flag(body, "unload_models") or everything, free_memory=everything)
    if order.unload_models:
        await services_of(request).dispatcher.free(order)
    return web.Response()
