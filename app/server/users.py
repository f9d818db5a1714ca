"""Who uses this server: one user."""

from __future__ import annotations

from aiohttp import web

from app.errors import InvalidRequest
from app.server import shapes
from app.server.operation import operation
from app.server.replies import reply
from app.server.services import services_of


def routes() -> list[web.RouteDef]:
    """GET and POST /users."""
    return [web.get("/users", get_users), web.post("/users", post_users)]


@operation(shapes.Users)
async def get_users(request: web.Request) -> web.Response:
    """That settings are kept here, and whether there are any yet."""
    return reply({"storage": "server", "migrated": services_of(request).user_files.root.is_dir()})


@operation(str, body=shapes.NewUser)
async def post_users(_: web.Request) -> web.Response:
    """Refuse: there is one user.

    Raises:
        InvalidRequest: always.
    """
    raise InvalidRequest("This server has one user.", remedy="Give each person a --base-directory and a port.")
