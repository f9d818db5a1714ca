"""Jobs as one resource: list, one, cancel, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web

from app.errors import InvalidRequest, Missing
from app.server import shapes
from app.server.operation import operation
from app.server.prompts import urgency
from app.server.replies import read_object, reply, shorten, text_list, whole_number
from app.server.services import services_of
from app.server.shown_files import preview_of, shown_files
from app.store import job_queries, queue_order, records
from app.store.database import Work
from app.store.job_queries import JobFilter, Sort
from app.store.job_records import JobRecord, State

STATUS: Mapping[State, str] = {
    "queued": "pending",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
_SORTS: Mapping[str, Sort] = {"created_at": "created", "execution_duration": "duration", "queue": "queue"}

_QUERY: Mapping[str, Any] = {
    "status": str,
    "workflow_id": str,
    "sort_by": Literal["created_at", "execution_duration", "queue"],
    "sort_order": Literal["asc", "desc"],
    "limit": int,
    "offset": int,
}


def routes() -> list[web.RouteDef]:
    """/jobs and what is below it. Clients know it below /api; it is served without as well."""
    return [
        web.get("/jobs", list_jobs),
        web.post("/jobs/cancel", cancel_jobs),
        web.get("/jobs/{job_id}", get_job),
        web.post("/jobs/{job_id}/cancel", cancel_job),
        web.post("/jobs/{job_id}/reorder", reorder_job),
        web.post("/jobs/{job_id}/urgency", urge_job),
    ]


@operation(shapes.Jobs, query=_QUERY)
async def list_jobs(request: web.Request) -> web.Response:
    """Jobs, newest first unless asked otherwise."""
    wanted = _filter(request.query)
    found, total = await services_of(request).database.read(lambda connection: job_queries.listing(connection, wanted))
    pagination = {
        "offset": wanted.offset,
        "limit": wanted.limit,
        "total": total,
        "has_more": wanted.offset + len(found) < total,
    }
    return reply({"jobs": [summary(job) for job in found], "pagination": pagination})


@operation(shapes.Job)
async def get_job(request: web.Request) -> web.Response:
    """One job with its prompt and outputs."""
    job = await job_of(request)
    nodes = await services_of(request).database.read(lambda connection: records.of_jobs(connection, [job.id]))
    good = job.state == "succeeded"
    status = {"status_str": "success" if good else "error", "completed": good, "messages": list(job.messages)}
    return reply(
        {
            **summary(job),
            "outputs": job.results,
            "execution_status": status if job.finished is not None else None,
            "workflow": {"prompt": job.prompt, "extra_data": job.extra_data},
            "update_time": _milliseconds(job.finished or job.started or job.created),
            "losses": job.losses,
            "nodes": nodes.get(job.id, {}),
        }
    )


@operation(shapes.Cancelled)
async def cancel_job(request: web.Request) -> web.Response:
    """Cancel a job, waiting or running. Again is no error."""
    return reply({"cancelled": await services_of(request).dispatcher.cancel(request.match_info["job_id"])})


@operation(shapes.Cancelled, body=shapes.JobIds)
async def cancel_jobs(request: web.Request) -> web.Response:
    """Cancel several jobs at once."""
    wanted = text_list(await read_object(request), "job_ids")
    if wanted is None:
        raise InvalidRequest("job_ids is missing.", remedy='Send {"job_ids": ["…"]}.')
    dispatcher = services_of(request).dispatcher
    done = [await dispatcher.cancel(job_id) for job_id in wanted]
    return reply({"cancelled": any(done)})


@operation(shapes.Reordered, body=shapes.Move)
async def reorder_job(request: web.Request) -> web.Response:
    """Move a waiting job: `before` or `after` another one, `to` the front or the back, or to a `number`."""
    job_id = request.match_info["job_id"]
    move = _move(job_id, await read_object(request))
    return reply({"reordered": await services_of(request).dispatcher.change_order(move)})


@operation(shapes.Urged, body=shapes.Urgency)
async def urge_job(request: web.Request) -> web.Response:
    """Give a waiting job another `urgency`: higher ones run first."""
    job_id = request.match_info["job_id"]
    wanted = urgency((await read_object(request)).get("urgency"))
    moved = await services_of(request).dispatcher.change_order(
        lambda connection: queue_order.urge(connection, job_id, wanted)
    )
    return reply({"urged": moved})


def summary(job: JobRecord) -> dict[str, Any]:
    """A job as the list shows it."""
    files = list(shown_files(job.results))
    preview = preview_of(files)
    return {
        "id": job.id,
        "status": STATUS[job.state],
        "priority": job.number,
        "urgency": job.urgency,
        "create_time": _milliseconds(job.created),
        "execution_start_time": _milliseconds(job.started),
        "execution_end_time": _milliseconds(job.finished) if job.started is not None else None,
        "execution_error": job.error,
        "outputs_count": len(files),
        "previewable_outputs_count": sum(file.previewable for file in files),
        "preview_output": None if preview is None else preview.told(),
        "workflow_id": job.workflow_id,
    }


def _move(job_id: str, body: Mapping[str, Any]) -> Work[bool]:
    """The change that a request for another order asks for."""
    asked = [name for name in ("before", "after", "to", "number") if body.get(name) is not None]
    if len(asked) != 1:
        raise InvalidRequest(
            "Where to? Exactly one of before, after, to and number is needed.",
            remedy='Send {"to": "front"}, {"to": "back"}, {"before": "JOB"}, {"after": "JOB"} or {"number": 1.5}.',
        )
    (name,) = asked
    value = body[name]
    if name == "number":
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
            raise InvalidRequest(f"number must be a number, not {shorten(value)}.")
        return lambda connection: queue_order.renumber(connection, job_id, value)
    if not isinstance(value, str) or (name == "to" and value not in ("front", "back")):
        raise InvalidRequest(f"{name} cannot be {shorten(value)}.", remedy='Send {"to": "front"} or {"before": "JOB"}.')
    if name == "to":
        return lambda connection: queue_order.move_to(connection, job_id, "front" if value == "front" else "back")
    return lambda connection: queue_order.move_beside(connection, job_id, value, after=name == "after")


def _filter(query: Mapping[str, str]) -> JobFilter:
    words = [word for word in query.get("status", "").split(",") if word]
    names: dict[str, State] = {word: state for state, word in STATUS.items()}
    for word in words:
        if word not in names:
            raise InvalidRequest(f"There is no status {word[:40]!r}.", remedy=f"Use {', '.join(names)}.")
    sort, order = query.get("sort_by", "created_at"), query.get("sort_order", "desc")
    if sort not in _SORTS or order not in ("asc", "desc"):
        raise InvalidRequest(
            f"Jobs cannot be sorted by {sort[:40]!r}, {order[:40]!r}.",
            remedy=f"Use sort_by={', '.join(_SORTS)}; and sort_order=asc or desc.",
        )
    return JobFilter(
        states=[names[word] for word in words],
        workflow_id=query.get("workflow_id"),
        sort=_SORTS[sort],
        descending=order == "desc",
        limit=whole_number(query.get("limit"), "limit", None, lowest=1),
        offset=whole_number(query.get("offset"), "offset", 0, lowest=0) or 0,
    )


async def job_of(request: web.Request) -> JobRecord:
    """The job that the path names.

    Raises:
        Missing: unknown.
    """
    job_id = request.match_info["job_id"]
    job = await services_of(request).database.read(lambda connection: job_queries.get(connection, job_id))
    if job is None:
        raise Missing(f"There is no job {job_id[:80]!r}.", remedy="It may have been deleted from the history.")
    return job


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
