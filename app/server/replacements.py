"""Classes that have another name by now."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from app.graph.workflow import RENAMED
from app.server.operation import operation
from app.server.replies import reply


def routes() -> list[web.RouteDef]:
    """GET /node_replacements."""
    return [web.get("/node_replacements", get_replacements)]


@operation(dict[str, list[dict[str, Any]]])
async def get_replacements(_: web.Request) -> web.Response:
    """For each old class what stands in for it; inputs and outputs keep their names and places."""
    return reply({old: [_replacement(old, new)] for old, new in RENAMED.items()})


def _replacement(old: str, new: str) -> dict[str, object]:
    return {
        "old_node_id": old,
        "new_node_id": new,
        "old_widget_ids": None,
        "input_mapping": None,
        "output_mapping": None,
    }
