"""Around every request: who may, what went wrong, and which headers the answer carries."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from app.errors import AppError, InvalidRequest, Missing, TooLarge, Unavailable
from app.server.login import login_page
from app.server.replies import error_body, reply
from app.server.security import HEADERS, Gate, cors_headers
from app.server.services import services_of

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN_PATHS = frozenset({"/login", "/login.js", "/link", "/favicon.ico"})


class Unauthorised(AppError):
    """The token is needed and was not shown."""

    status = 401
    kind = "unauthorised"


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer failures in JSON: the caller's with 4xx and a way out, ours with 500 and a line in the log."""
    try:
        return await handler(request)
    except AppError as error:
        return reply(error_body(error), error.status)
    except web.HTTPRequestEntityTooLarge as error:
        told = TooLarge(f"The body is larger than this server takes: {error.text}", remedy="Use --max-upload-size.")
        return reply(error_body(told), 413)
    except web.HTTPNotFound:
        return reply(error_body(Missing(f"There is nothing at {request.path[:200]!r}.")), 404)
    except web.HTTPMethodNotAllowed as error:
        told = InvalidRequest(
            f"{request.method} is not possible here.", remedy=f"Use {', '.join(error.allowed_methods)}."
        )
        return reply(error_body(told), 405, {"Allow": ", ".join(sorted(error.allowed_methods))})
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return reply(error_body(InvalidRequest(error.reason)), error.status)
    except ConnectionResetError:
        raise  # the client has gone; there is nobody to answer
    except OSError as error:
        log.error("%s %s: %s", request.method, request.path, error)
        told = Unavailable(f"A file could not be used: {error.strerror}.", remedy="Free space, or mend permissions.")
        return reply(error_body(told), told.status)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        told = AppError("The server failed at this request.", remedy="The server's log tells more.")
        return reply(error_body(told), 500)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in who may come in; see `security`."""
    gate = Gate(services_of(request).settings.serve)
    gate.check_host(request)
    gate.check_origin(request)
    if request.method == "OPTIONS" and gate.invites(request.headers.get("Origin")):
        return web.Response()  # browsers ask first whether they may, and show no token when they do
    if request.path not in _OPEN_PATHS and not gate.check_token(request):
        wants_page = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
        return login_page() if wants_page else _refuse_without_token()
    if request.method == "OPTIONS":
        return web.Response()
    return await handler(request)


@web.middleware
async def pack(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Pack JSON and text for those who ask for it, with --enable-compress-response-body."""
    response = await handler(request)
    packable = isinstance(response, web.Response) and response.content_type in ("application/json", "text/plain")
    if packable and services_of(request).settings.serve.compress and "Content-Encoding" not in response.headers:
        response.enable_compression()
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """The security headers, unless the handler chose its own."""
    for name, value in {**HEADERS, **cors_headers(services_of(request).settings.serve)}.items():
        response.headers.setdefault(name, value)


def _refuse_without_token() -> web.Response:
    told = Unauthorised(
        "This server asks for its token.", remedy="Send Authorization: Bearer TOKEN, or log in at /login."
    )
    return reply(error_body(told), 401, {"WWW-Authenticate": "Bearer"})
