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
from app.server.hub import Client
from app.server.replies import to_json
from app.server.runs import status_data
from app.server.services import Services, services_of
from app.store import queue_order
from app.store.queue_order import QueueState

_LARGEST_MESSAGE = 1 << 20
_LONGEST_ID = 200


def routes() -> list[web.RouteDef]:
    """GET /ws."""
    return [web.get("/ws", websocket)]


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """Talk with one client for as long as it is connected."""
    services = services_of(request)
    socket = web.WebSocketResponse(max_msg_size=_LARGEST_MESSAGE, heartbeat=30)
    await socket.prepare(request)
    client = Client(request.query.get("clientId", "")[:_LONGEST_ID] or uuid.uuid4().hex, socket)
    _greet(services, client, await services.database.read(queue_order.state))
    services.hub.add(client)
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


def _greet(services: Services, client: Client, queue: QueueState) -> None:
    client.put(to_json({"type": "status", "data": {**status_data(queue), "sid": client.sid}}))
    for run in services.dispatcher.runs:
        if run.client == client.sid and run.translator.running is not None:
            client.put(to_json({"type": "executing", "data": {"node": run.translator.running}}))
            state = run.translator.progress_state()
            client.put(to_json({"type": state.type, "data": state.data}))


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
