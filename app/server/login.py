"""Showing the token once instead of with every request.

An address such as `http://host:8188/#token=SECRET` logs in by itself: what follows the # never leaves the browser, so
it is in no log and in no Referer; a script of the login page reads it and sends it as the form would.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from app.server.security import COOKIE, equal, session_of
from app.server.services import services_of

_WAIT_AFTER_WRONG = 0.5
_LARGEST_FORM = 1 << 14
_YEAR_SECONDS = 365 * 24 * 3600
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Latent Loom</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>Latent Loom</h1>
<form method="post" action="/login">
<p>{note}</p>
<p><label>Token <input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button>Enter</button></p>
</form></main><script src="/login.js"></script></body></html>
"""
_SCRIPT = """"use strict";
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) {
  history.replaceState(null, "", location.pathname);
  const form = document.querySelector("form");
  form.elements.namedItem("token").value = token;
  form.submit();
}
"""


def routes() -> list[web.RouteDef]:
    """GET and POST /login, GET /login.js."""
    return [web.get("/login", get_login), web.post("/login", post_login), web.get("/login.js", get_script)]


def login_page(note: str = "This server asks for the token that it was started with.") -> web.Response:
    """The page that asks for the token."""
    return web.Response(text=_PAGE.format(note=note), status=401, content_type="text/html")


async def get_login(request: web.Request) -> web.Response:
    """The page, or the editor for those who need no token."""
    return login_page() if services_of(request).settings.serve.token else _enter(None)


async def get_script(_: web.Request) -> web.Response:
    """The page's script."""
    return web.Response(text=_SCRIPT, content_type="text/javascript", charset="utf-8")


async def post_login(request: web.Request) -> web.Response:
    """Take the token from the page's form."""
    services = services_of(request)
    token = services.settings.serve.token
    # Nobody has a token of this length, and no form needs more room.
    shown = await _shown(request) if (request.content_length or 0) < _LARGEST_FORM else ""
    if token is None or (isinstance(shown, str) and equal(shown, token)):
        return _enter(token, secure=request.secure)
    async with services.wrong_tokens:  # one after the other, so that guessing takes its time however many guess
        await asyncio.sleep(_WAIT_AFTER_WRONG)
    return login_page("That is not the token.")


async def _shown(request: web.Request) -> object:
    """What the form shows as the token; "" for a form that cannot be read."""
    try:
        return (await request.post()).get("token", "")
    except (ValueError, AssertionError, web.RequestPayloadError, HttpProcessingError):
        return ""


def _enter(token: str | None, *, secure: bool = False) -> web.Response:
    response = web.Response(status=303, headers={"Location": "/"})
    if token is not None:
        response.set_cookie(
            COOKIE, session_of(token), httponly=True, samesite="Strict", secure=secure, max_age=_YEAR_SECONDS
        )
    return response
