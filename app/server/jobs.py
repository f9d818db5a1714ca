"""Jobs as one resource: list, one, cancel, and the messages of one from any point on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from app.errors import InvalidRequest, Missing
from app.graph.json_values import is_dict, is_list
from app.server.replies import read_object, reply, shorten, text_list, whole_number
from app.server.services import services_of
from app.store import events, job_queries, jobs
from app.store.job_queries import JobFilter
from app.store.job_records import JobRecord, State

_STATUS: Mapping[State, str] = {
    "queued": "pending",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
_MEDIA = ("images", "video", "audio", "gifs", "3d", "text")
_PAGE = 1000


def routes() -> list[web.RouteDef]:
    """/jobs and what is below it. Clients know it below /api; it is served without as well."""
    return [
        web.get("/jobs", list_jobs),
        web.post("/jobs/cancel", cancel_jobs),
        web.get("/jobs/{job_id}", get_job),
        web.post("/jobs/{job_id}/cancel", cancel_job),
        web.post("/jobs/{job_id}/reorder", reorder_job),
        web.get("/jobs/{job_id}/events", job_events),
    ]


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


async def get_job(request: web.Request) -> web.Response:
    """One job with its prompt and outputs."""
    job = await _job(request)
    status = {"status_str": "success" if job.state == "succeeded" else "error", "messages": list(job.messages)}
    return reply(
        {
            **summary(job),
            "outputs": job.results,
            "execution_status": status if job.finished is not None else None,
            "workflow": {"prompt": job.prompt, "extra_data": job.extra_data},
            "update_time": _milliseconds(job.finished or job.started or job.created),
            "losses": job.losses,
        }
    )


async def cancel_job(request: web.Request) -> web.Response:
    """Cancel a job, waiting or running. Again is no error."""
    return reply({"cancelled": await services_of(request).dispatcher.cancel(request.match_info["job_id"])})


async def cancel_jobs(request: web.Request) -> web.Response:
    """Cancel several jobs at once."""
    wanted = text_list(await read_object(request), "job_ids")
    if wanted is None:
        raise InvalidRequest("job_ids is missing.", remedy='Send {"job_ids": ["…"]}.')
    dispatcher = services_of(request).dispatcher
    done = [await dispatcher.cancel(job_id) for job_id in wanted]
    return reply({"cancelled": any(done)})


async def reorder_job(request: web.Request) -> web.Response:
    """Give a waiting job another `number`: lower ones run first."""
    number = (await read_object(request)).get("number")
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 1e15:
        raise InvalidRequest(f"number must be a number, not {shorten(number)}.")
    services, job_id = services_of(request), request.match_info["job_id"]
    moved = await services.database.write(lambda connection: jobs.reorder(connection, job_id, number))
    await services.dispatcher.announce()
    return reply({"reordered": moved})


async def job_events(request: web.Request) -> web.Response:
    """The job's stored messages after number `since`; `next` is what to ask since the next time."""
    since = whole_number(request.query.get("since"), "since", 0, lowest=0) or 0
    services = services_of(request)
    for run in services.dispatcher.runs:
        if run.record.id == request.match_info["job_id"]:
            await run.save()
    job = await _job(request)
    found = await services.database.read(lambda connection: events.since(connection, job.id, since, _PAGE))
    return reply(
        {
            "job_id": job.id,
            "status": _STATUS[job.state],
            "events": [event.to_json() for event in found],
            "next": found[-1].seq if found else since,
            "has_more": len(found) == _PAGE,
        }
    )


def summary(job: JobRecord) -> dict[str, Any]:
    """A job as the list shows it."""
    files = list(_files(job.results))
    return {
        "id": job.id,
        "status": _STATUS[job.state],
        "priority": job.number,
        "create_time": _milliseconds(job.created),
        "execution_start_time": _milliseconds(job.started),
        "execution_end_time": _milliseconds(job.finished) if job.started is not None else None,
        "execution_error": job.error,
        "outputs_count": len(files),
        "preview_output": _preview(files),
        "workflow_id": job.workflow_id,
    }


def _filter(query: Mapping[str, str]) -> JobFilter:
    words = [word for word in query.get("status", "").split(",") if word]
    names: dict[str, State] = {word: state for state, word in _STATUS.items()}
    for word in words:
        if word not in names:
            raise InvalidRequest(f"There is no status {word[:40]!r}.", remedy=f"Use {', '.join(names)}.")
    sort, order = query.get("sort_by", "created_at"), query.get("sort_order", "desc")
    if sort not in ("created_at", "execution_duration") or order not in ("asc", "desc"):
        raise InvalidRequest(
            f"Jobs cannot be sorted by {sort[:40]!r}, {order[:40]!r}.",
            remedy="Use sort_by=created_at or execution_duration, and sort_order=asc or desc.",
        )
    return JobFilter(
        states=[names[word] for word in words],
        workflow_id=query.get("workflow_id"),
        sort="created" if sort == "created_at" else "duration",
        descending=order == "desc",
        limit=whole_number(query.get("limit"), "limit", None, lowest=1),
        offset=whole_number(query.get("offset"), "offset", 0, lowest=0) or 0,
    )


async def _job(request: web.Request) -> JobRecord:
    job_id = request.match_info["job_id"]
    job = await services_of(request).database.read(lambda connection: job_queries.get(connection, job_id))
    if job is None:
        raise Missing(f"There is no job {job_id[:80]!r}.", remedy="It may have been deleted from the history.")
    return job


def _files(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for node_id, ui in results.items():
        for kind in _MEDIA:
            entries = ui.get(kind) if is_dict(ui) else None
            for entry in entries if is_list(entries) else ():
                if is_dict(entry) and "filename" in entry:
                    yield {**entry, "nodeId": node_id, "mediaType": kind}


def _preview(files: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The file that stands for the job: a lasting one rather than a temporary one, the last rather than the first."""
    return max(enumerate(files), key=lambda pair: (pair[1].get("type") == "output", pair[0]), default=(0, None))[1]


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
