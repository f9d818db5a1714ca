"""Messages from any point on: as a list, or as a stream that goes on (server-sent events).

The stream is the stored messages, read on whenever new ones are stored: what a client gets does not depend on when it
comes, and nothing is left out. Progress and previews, which are not stored, are the socket's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web

from app.server import shapes
from app.server.jobs import STATUS, job_of
from app.server.operation import operation
from app.server.replies import reply, whole_number
from app.server.services import Services, services_of
from app.store import events, job_queries
from app.store.events import Scope, StoredEvent

_PAGE = 1000
_QUIET_SECONDS = 15.0  # then a comment is sent: it keeps the connection open, and shows whether anybody is there


def routes() -> list[web.RouteDef]:
    """GET /events and /jobs/{id}/events."""
    return [web.get("/events", all_events), web.get("/jobs/{job_id}/events", job_events)]


@operation(shapes.Events, query={"since": int, "client_id": str}, stream=True)
async def all_events(request: web.Request) -> web.StreamResponse:
    """Messages of all jobs, or of those that `client_id` submitted, after number `since`."""
    scope = Scope(client_id=request.query.get("client_id"))
    if _wants_stream(request):
        return await _stream(request, scope)
    return await _list(request, scope)


@operation(shapes.Events, query={"since": int}, stream=True)
async def job_events(request: web.Request) -> web.StreamResponse:
    """The job's messages after number `since`. A stream of them ends with the job."""
    job = await job_of(request)
    scope = Scope(job_id=job.id)
    if _wants_stream(request):
        return await _stream(request, scope)
    return await _list(request, scope, job_id=job.id, status=STATUS[job.state])


async def _list(request: web.Request, scope: Scope, **more: str) -> web.Response:
    """The messages; `next` is what to ask since the next time."""
    services, since = services_of(request), _since(request)
    await services.log.save()
    found = await _read(services, scope, since)
    told = {
        **more,
        "events": [event.to_json() for event in found],
        "next": found[-1].seq if found else since,
        "has_more": len(found) == _PAGE,
    }
    return reply(told)


async def _stream(request: web.Request, scope: Scope) -> web.StreamResponse:
    services, since = services_of(request), _since(request)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    while not services.log.closed:
        next_save = services.log.next_save
        over = await _is_over(services, scope)  # asked first: then all its messages are stored by now
        found = await _read(services, scope, since)
        if found:
            since = found[-1].seq
            await response.write(_lines(found))
        elif over:
            break
        else:
            try:
                await asyncio.wait_for(next_save.wait(), _QUIET_SECONDS)
            except TimeoutError:
                await response.write(b":\n\n")
    return response


async def _read(services: Services, scope: Scope, since: int) -> list[StoredEvent]:
    return await services.database.read(lambda connection: events.since(connection, scope, since, _PAGE))


async def _is_over(services: Services, scope: Scope) -> bool:
    """Whether nothing more can come."""
    if scope.job_id is None:
        return False
    job_id = scope.job_id
    job = await services.database.read(lambda connection: job_queries.get(connection, job_id))
    return job is None or job.finished is not None


def _lines(found: Iterable[StoredEvent]) -> bytes:
    texts = [f"id: {event.seq}\nevent: {event.type}\ndata: {event.text}\n\n" for event in found]
    return "".join(texts).encode()


def _wants_stream(request: web.Request) -> bool:
    return "text/event-stream" in request.headers.get("Accept", "")


def _since(request: web.Request) -> int:
    """Where a client left off: a browser that connects again says so by itself in `Last-Event-ID`."""
    last = request.headers.get("Last-Event-ID") or request.query.get("since")
    return whole_number(last, "since", 0, lowest=0) or 0
