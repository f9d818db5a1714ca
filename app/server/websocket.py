"""The clients' socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import WSMsgType, web

from app.graph.json_values import is_dict
from app.server.features import features
from app.server.hub import Client, message_text
from app.server.operation import operation
from app.server.queue_news import status_data
from app.server.replies import to_json, whole_number
from app.server.services import Services, services_of
from app.store import events, queue_order
from app.store.events import Scope

_LARGEST_MESSAGE = 1 << 20
_LONGEST_ID = 200
_MOST_MISSED = 10_000

_SPOKEN = {
    "x-websocket": {
        "sends": {"$ref": "#/components/schemas/Message"},
        "receives": {"$ref": "#/components/schemas/Announcement"},
        "frames": {"4": {"$ref": "#/components/schemas/PreviewMetadata"}},
    }
}


def routes() -> list[web.RouteDef]:
    """GET /ws."""
    return [web.get("/ws", websocket)]


@operation(None, query={"clientId": str, "since": int}, status=101, extra=_SPOKEN)
async def websocket(request: web.Request) -> web.WebSocketResponse:
    """Talk with one client for as long as it is connected. With `since` it first gets what it missed of its jobs.

    Texts are messages in JSON: `Message` from the server; the client's first may announce its features, others are
    passed over. Binary frames begin with four bytes, big-endian: 1 is a preview (four bytes: 1 for JPEG, 2 for PNG,
    then the picture), 4 a preview with metadata (four bytes of length, `PreviewMetadata` in JSON, then the picture) for
    clients with the feature supports_preview_metadata, 3 a text (four bytes of length, a node's id, then the text).
    """
    services = services_of(request)
    since = whole_number(request.query.get("since"), "since", None, lowest=0)
    socket = web.WebSocketResponse(compress=False, max_msg_size=_LARGEST_MESSAGE, heartbeat=30)
    await socket.prepare(request)
    client = Client(
        request.query.get("clientId", "")[:_LONGEST_ID] or uuid.uuid4().hex, socket, transport=request.transport
    )
    services.hub.add(client)  # from now on nothing is missed; what was before is asked for next
    try:
        client.put_first([*await _greeting(services, client), *await _missed(services, client, since)])
    except BaseException:
        services.hub.remove(client)
        raise
    writer = asyncio.create_task(client.write())
    try:
        await _listen(services, client)
    finally:
        services.hub.remove(client)
        services.logs.subscribers.discard(client.sid)
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer
    return socket


async def _greeting(services: Services, client: Client) -> list[tuple[None, str]]:
    queue = await services.database.read(queue_order.state)
    said = [("status", {**status_data(queue), "sid": client.sid})]
    for run in services.dispatcher.runs:
        if run.client == client.sid and run.translator.running is not None:
            state = run.translator.progress_state()
            said += [("executing", {"node": run.translator.running}), (state.type, dict(state.data))]
    return [(None, message_text(kind, to_json(data))) for kind, data in said]


async def _missed(services: Services, client: Client, since: int | None) -> list[tuple[int, str]]:
    """What the client's jobs said after number `since`; nothing when it does not ask."""
    if since is None:
        return []
    await services.log.save()
    scope = Scope(client_id=client.sid)
    found = await services.database.read(lambda connection: events.since(connection, scope, since, _MOST_MISSED))
    return [(event.seq, message_text(event.type, event.text, event.seq)) for event in found]


async def _listen(services: Services, client: Client) -> None:
    first = True
    async for said in client.socket:
        if said.type == WSMsgType.TEXT and first:
            first = False
            flags = _announced_flags(said.data)
            if flags is not None:
                client.flags = flags
                client.put(to_json({"type": "feature_flags", "data": features(services)}))


def _announced_flags(text: str) -> Mapping[str, Any] | None:
    """The flags that a client's first message announces, None if it does not."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not is_dict(data) or data.get("type") != "feature_flags" or not is_dict(data.get("data")):
        return None
    return data["data"]
