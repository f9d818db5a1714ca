"""What this server can do, for clients that ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from app.graph.json_values import is_dict
from app.server.messages import FeatureFlags
from app.server.operation import operation
from app.server.replies import reply
from app.server.services import Services, services_of


def routes() -> list[web.RouteDef]:
    """GET /features."""
    return [web.get("/features", get_features)]


@operation(FeatureFlags)
async def get_features(request: web.Request) -> web.Response:
    """The features, as the socket tells them too."""
    return reply(features(services_of(request)))


def features(services: Services) -> dict[str, Any]:
    """The features by name, with those of --feature-flag."""
    ours = {
        "supports_preview_metadata": True,
        "max_upload_size": services.settings.serve.max_upload_bytes,
        "node_replacements": True,
        "assets": False,  # files are found by name; there is no second catalogue of them
        "latent_loom": {"durable_queue": True, "queue_control": True, "event_replay": True, "idempotency_key": True},
    }
    return _merged(ours, services.settings.serve.features)


def _merged(ours: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: _merged(ours[name], more[name]) for name in more if is_dict(ours.get(name)) and is_dict(more[name])}
    return {**ours, **more, **both}
