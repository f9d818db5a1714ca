"""What waits and what runs."""

from __future__ import annotations

import sqlite3
from typing import Any

from aiohttp import web

from app.server import shapes
from app.server.operation import operation
from app.server.replies import flag, read_object, reply, reply_text, text_list, to_json
from app.server.services import services_of
from app.store import job_queries, queue_order
from app.store.job_records import JobRecord


def routes() -> list[web.RouteDef]:
    """GET and POST /queue, POST /queue/pause and /queue/resume."""
    return [
        web.get("/queue", get_queue),
        web.post("/queue", post_queue),
        web.post("/queue/pause", pause_queue),
        web.post("/queue/resume", resume_queue),
    ]


@operation(shapes.Queue)
async def get_queue(request: web.Request) -> web.Response:
    """Jobs that run and jobs that wait, each in their order."""
    return reply_text(await services_of(request).database.read(_queue))


@operation(None, body=shapes.ClearOrDelete)
async def post_queue(request: web.Request) -> web.Response:
    """Take waiting jobs out: all with `clear`, some with `delete`."""
    dispatcher = services_of(request).dispatcher
    body = await read_object(request)
    wanted = text_list(body, "delete")
    if flag(body, "clear"):
        await dispatcher.remove_queued(None)
    elif wanted:
        await dispatcher.remove_queued(wanted)
    return web.Response()


@operation(shapes.Paused)
async def pause_queue(request: web.Request) -> web.Response:
    """Let no waiting job begin until the queue is resumed, be it by a later server. What runs goes on."""
    await services_of(request).dispatcher.pause(True)
    return reply({"paused": True})


@operation(shapes.Paused)
async def resume_queue(request: web.Request) -> web.Response:
    """Let waiting jobs begin again."""
    await services_of(request).dispatcher.pause(False)
    return reply({"paused": False})


def _queue(connection: sqlite3.Connection) -> str:
    running, queued = job_queries.running(connection), job_queries.queued(connection)
    return to_json(
        {
            "queue_running": [item(job) for job in running],
            "queue_pending": [item(job) for job in queued],
            "paused": queue_order.paused(connection),
        }
    )


def item(job: JobRecord) -> list[Any]:
    """A job as queue and history show it."""
    return [job.number, job.id, job.prompt, job.extra_data, list(job.outputs)]
