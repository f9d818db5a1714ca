"""Stopping what runs."""

from __future__ import annotations

from aiohttp import web

from app.errors import InvalidRequest
from app.server import shapes
from app.server.operation import operation
from app.server.replies import read_object, shorten
from app.server.services import services_of


def routes() -> list[web.RouteDef]:
    """POST /interrupt."""
    return [web.post("/interrupt", post_interrupt)]


@operation(None, body=shapes.ToInterrupt, body_required=False)
async def post_interrupt(request: web.Request) -> web.Response:
    """Stop the job `prompt_id` if it runs, or without a body all that run. Answered before the worker has yielded."""
    dispatcher = services_of(request).dispatcher
    body = await read_object(request, may_be_empty=True)
    wanted = body.get("prompt_id")
    if wanted is not None and not isinstance(wanted, str):
        raise InvalidRequest(f"prompt_id must be text, not {shorten(wanted)}.")
    for run in dispatcher.runs:
        if wanted in (None, run.record.id):
            await dispatcher.cancel(run.record.id)
    return web.Response()
