"""Showing the token once instead of with every request."""

from __future__ import annotations

import asyncio

from aiohttp import web

from app.server.security import COOKIE, equal, session_of
from app.server.services import services_of

_WAIT_AFTER_WRONG = 0.5
_YEAR_SECONDS = 365 * 24 * 3600
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Latent Loom</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>Latent Loom</h1>
<form method="post" action="/login">
<p>{note}</p>
<p><label>Token <input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button>Enter</button></p>
</form></main></body></html>
"""


def routes() -> list[web.RouteDef]:
    """GET and POST /login."""
    return [web.get("/login", get_login), web.post("/login", post_login)]


def login_page(note: str = "This server asks for the token that it was started with.") -> web.Response:
    """The page that asks for the token."""
    return web.Response(text=_PAGE.format(note=note), status=401, content_type="text/html")


async def get_login(request: web.Request) -> web.Response:
    """The page; with the right `?token=` in."""
    token = services_of(request).settings.serve.token
    if token is None or equal(request.query.get("token", ""), token):
        return _enter(token)
    return login_page()


async def post_login(request: web.Request) -> web.Response:
    """Take the token from the page's form."""
    token = services_of(request).settings.serve.token
    shown = (await request.post()).get("token", "")
    if token is None or (isinstance(shown, str) and equal(shown, token)):
        return _enter(token)
    await asyncio.sleep(_WAIT_AFTER_WRONG)  # so that guessing takes its time
    return login_page("That is not the token.")


def _enter(token: str | None) -> web.Response:
    response = web.Response(status=303, headers={"Location": "/"})
    if token is not None:
        response.set_cookie(COOKIE, session_of(token), httponly=True, samesite="Strict", max_age=_YEAR_SECONDS)
    return response
