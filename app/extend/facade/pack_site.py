"""Serves the routes that packs have declared, in a thread of its own: a handler that hangs hangs its like alone.

The site listens on this machine only and answers those who show the secret of this launch: the program's server, which
hands requests on to it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from app.extend.facade.server import PromptServer

log = logging.getLogger(__name__)

SECRET_HEADER = "X-Loom-Packs"
ON_PROMPT = "/-/on_prompt"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PackSite:
    """The routes of all packs on a port of their own. `address` is "" and `routes` empty where there are none."""

    def __init__(self, server: PromptServer, secret: str) -> None:
        self._server = server
        self._secret = secret
        self.address = ""
        self.routes: list[tuple[str, str]] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to serve; returns once the port is open. Routes declared later are not served."""
        self._take_routes()
        if not self.routes and not self._server.on_prompt_handlers:
            return
        self._server.app.router.add_post(ON_PROMPT, self._on_prompt)
        self._server.app.middlewares.append(self._admit())
        opened = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="packs", daemon=True)
        self._thread.start()
        opened.wait(10)

    def stop(self) -> None:
        """Close the port; requests that are being answered have a second to end."""
        if self._thread is not None:
            self._server.loop.call_soon_threadsafe(self._server.loop.stop)
            self._thread.join(10)
            self._thread = None

    def _take_routes(self) -> None:
        """All routes of the table, but none twice: the pack that came first keeps its own."""
        router = self._server.app.router
        taken = {(route.method, route.resource.canonical) for route in router.routes() if route.resource is not None}
        for route in self._server.routes:
            key = (getattr(route, "method", "GET"), getattr(route, "path", getattr(route, "prefix", "")))
            if key in taken:
                log.warning("two packs answer %s %s; the first one does", *key)
                continue
            try:
                route.register(router)
                taken.add(key)
            except (RuntimeError, ValueError) as refused:
                log.warning("a pack's route %s %s cannot be served: %s", *key, refused)
        for route in router.routes():
            if route.resource is not None:
                path = route.resource.canonical
                static = isinstance(route.resource, web.StaticResource)
                self.routes.append((route.method, f"{path.rstrip('/')}/{{path:.*}}" if static else path))

    def _admit(self) -> Any:
        @web.middleware
        async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode(), self._secret.encode()):
                raise web.HTTPForbidden(text="Ask the program's server.")
            try:
                return await handler(request)
            except web.HTTPException:
                raise
            except Exception as error:  # a pack's own code
                log.exception("a pack failed at %s %s", request.method, request.path)
                told = {"error": {"type": "pack_failed", "message": f"{type(error).__name__}: {error}"}}
                return web.json_response(told, status=500)

        return admit

    async def _on_prompt(self, request: web.Request) -> web.Response:
        return web.json_response(self._server.trigger_on_prompt(await request.json()))

    def _run(self, opened: threading.Event) -> None:
        loop = self._server.loop
        asyncio.set_event_loop(loop)
        runner = web.AppRunner(self._server.app, access_log=None, shutdown_timeout=1.0)

        async def open_port() -> None:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"

        try:
            loop.run_until_complete(open_port())
        except (OSError, RuntimeError, ValueError):
            log.exception("the routes of packs cannot be served")
            return
        finally:
            opened.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()
