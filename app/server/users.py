"""Who uses this server: one user, or with `--multi-user` several with settings and files of their own.

Users are told apart, not kept apart: whoever may use the server may say to be any of them.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from app.errors import InvalidRequest
from app.server import machine_shapes
from app.server.operation import operation
from app.server.replies import read_object, reply, shorten
from app.server.services import services_of
from app.store.accounts import DEFAULT, Accounts
from app.store.userdata import UserFiles

HEADER = "Comfy-User"
USER_HEADER = {HEADER: "The id of the user whose files are meant, on a server with --multi-user."}


def routes() -> list[web.RouteDef]:
    """GET and POST /users."""
    return [web.get("/users", get_users), web.post("/users", post_users)]


@operation(machine_shapes.Users)
async def get_users(request: web.Request) -> web.Response:
    """That settings are kept here. With one user whether there are any yet, with several all by their ids."""
    accounts = _accounts(request)
    if not services_of(request).settings.serve.multi_user:
        return reply({"storage": "server", "migrated": accounts.files(DEFAULT).root.is_dir()})
    return reply({"storage": "server", "users": await asyncio.to_thread(accounts.names)})


@operation(str, body=machine_shapes.NewUser)
async def post_users(request: web.Request) -> web.Response:
    """Add a user; the answer is the id.

    Raises:
        InvalidRequest: a server for one, or a name that is taken or none.
    """
    name = (await read_object(request)).get("username")
    if not services_of(request).settings.serve.multi_user:
        raise InvalidRequest("This server has one user.", remedy="Start it with --multi-user.")
    if not isinstance(name, str):
        raise InvalidRequest(f"username must be text, not {shorten(name)}.", remedy='Send {"username": "…"}.')
    async with services_of(request).new_users:  # one after the other, so that no name is given twice
        return reply(await asyncio.to_thread(_accounts(request).add, name))


def user_files(request: web.Request) -> UserFiles:
    """The files of whoever asks. Raises UnknownUser."""
    several = services_of(request).settings.serve.multi_user
    return _accounts(request).files(request.headers.get(HEADER, DEFAULT) if several else DEFAULT)


def _accounts(request: web.Request) -> Accounts:
    return Accounts(services_of(request).folders.user)
