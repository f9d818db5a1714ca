"""What has run."""

from __future__ import annotations

import sqlite3
from typing import Any

from aiohttp import web

from app.server import shapes
from app.server.operation import operation
from app.server.queue import item
from app.server.replies import flag, read_object, reply, reply_text, text_list, to_json, whole_number
from app.server.services import services_of
from app.store import job_queries, records
from app.store.job_records import JobRecord


def routes() -> list[web.RouteDef]:
    """GET and POST /history, GET /history/{id}."""
    return [
        web.get("/history", get_history),
        web.get("/history/{prompt_id}", get_history_entry),
        web.post("/history", post_history),
    ]


@operation(dict[str, shapes.HistoryEntry], query={"max_items": int, "offset": int})
async def get_history(request: web.Request) -> web.Response:
    """Entries by job id, oldest first; `max_items` and `offset` choose a part."""
    most = whole_number(request.query.get("max_items"), "max_items", None)
    offset = whole_number(request.query.get("offset"), "offset", -1) or 0

    def read(connection: sqlite3.Connection) -> str:
        return to_json({job.id: entry(job) for job in job_queries.history(connection, most, offset)})

    return reply_text(await services_of(request).database.read(read))


@operation(dict[str, shapes.HistoryEntry])
async def get_history_entry(request: web.Request) -> web.Response:
    """One entry by its id; an empty object while there is none."""
    name = request.match_info["prompt_id"]

    def read(connection: sqlite3.Connection) -> dict[str, Any]:
        job = job_queries.finished(connection, name)
        nodes = records.of_jobs(connection, [name]).get(name, {})
        return {} if job is None else {job.id: {**entry(job), "nodes": nodes}}

    return reply(await services_of(request).database.read(read))


@operation(None, body=shapes.ClearOrDelete)
async def post_history(request: web.Request) -> web.Response:
    """Forget entries: all with `clear`, some with `delete`."""
    body = await read_object(request)
    wanted = text_list(body, "delete")
    database = services_of(request).database
    if flag(body, "clear"):
        await database.write(lambda connection: job_queries.forget(connection, None))
    elif wanted:
        await database.write(lambda connection: job_queries.forget(connection, wanted))
    return web.Response()


def entry(job: JobRecord) -> dict[str, Any]:
    """A finished job as the history shows it."""
    good = job.state == "succeeded"
    return {
        "prompt": item(job),
        "outputs": job.results,
        "meta": job.meta,
        "status": {"status_str": "success" if good else "error", "completed": good, "messages": list(job.messages)},
    }
