"""`server`: PromptServer.instance, where packs put routes and say things to the pages."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from app.extend.facade.execution import PromptQueue
from app.extend.facade.host import HOST


class BinaryEventTypes:
    """Numbers of binary messages."""

    PREVIEW_IMAGE = 1
    UNENCODED_PREVIEW_IMAGE = 2
    TEXT = 3
    PREVIEW_IMAGE_WITH_METADATA = 4


class PromptServer:
    """The server as packs reach it. Routes are served by this process and handed on by the program's server."""

    class _Instance:
        """Gives the one object of this process, made when it is first asked for."""

        def __get__(self, _: object, owner: type[PromptServer]) -> PromptServer:
            return HOST.now.attributes.setdefault("prompt server", None) or _made(owner)

    instance = _Instance()

    def __init__(self) -> None:
        self.routes = web.RouteTableDef()
        self.app = web.Application(client_max_size=1 << 30)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.prompt_queue = PromptQueue()
        self.on_prompt_handlers: list[Callable[[Any], Any]] = []
        self.supports = ["custom_nodes_from_web"]
        self.sockets: dict[str, Any] = {}
        self.sockets_metadata: dict[str, Any] = {}
        self.number = 0
        self.port = HOST.now.launch.port
        self.address = HOST.now.launch.listen
        self.last_prompt_id: str | None = None
        self.user_manager = UserManager()
        self.web_root = ""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that routes are served on, made when it is first asked for."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    @property
    def client_id(self) -> str | None:
        """Who asked for the run at hand."""
        return HOST.now.job.client_id

    @client_id.setter
    def client_id(self, value: str | None) -> None:
        HOST.now.job.take(client_id=value)

    @property
    def last_node_id(self) -> str | None:
        """The node that runs, or ran last."""
        return HOST.now.job.node_id

    @last_node_id.setter
    def last_node_id(self, value: str | None) -> None:
        HOST.now.job.take(node_id=value)

    def send_sync(self, event: str | int, data: Any, sid: str | None = None) -> None:
        """Say something to one client, or to all; numbers are for binary messages, whose data are bytes."""
        if isinstance(data, bytes | bytearray):
            data = base64.b64encode(data).decode()
        HOST.now.tell(event, json.loads(json.dumps(data, default=str)), sid)

    async def send(self, event: str | int, data: Any, sid: str | None = None) -> None:
        """As `send_sync`."""
        self.send_sync(event, data, sid)

    async def send_json(self, event: str, data: Any, sid: str | None = None) -> None:
        """As `send_sync`."""
        self.send_sync(event, data, sid)

    def send_progress_text(self, text: str | bytes, node_id: str, sid: str | None = None) -> None:
        """Show a text at a node while it runs."""
        content = text.encode() if isinstance(text, str) else text
        name = node_id.encode()
        payload = len(name).to_bytes(4, "big") + name + content
        self.send_sync(BinaryEventTypes.TEXT, payload, sid or self.client_id)

    def queue_updated(self) -> None:
        """The program's server tells that itself."""

    def add_on_prompt_handler(self, handler: Callable[[Any], Any]) -> None:
        """Let a function see, and change, what is posted to /prompt."""
        self.on_prompt_handlers.append(handler)

    def trigger_on_prompt(self, json_data: Any) -> Any:
        """What is left of a posted prompt after all handlers; one that fails is passed over."""
        import logging

        for handler in self.on_prompt_handlers:
            try:
                json_data = handler(json_data)
            except Exception:  # a pack's own code
                logging.getLogger(__name__).exception("a pack's handler for prompts failed")
        return json_data

    def get_queue_info(self) -> dict[str, Any]:
        """How many jobs this process has."""
        return {"exec_info": {"queue_remaining": self.prompt_queue.get_tasks_remaining()}}


class UserManager:
    """The users: one."""

    def get_request_user_id(self, request: Any) -> str:
        """Whose request it is."""
        return "default"

    def get_request_user_filepath(
        self, request: Any, file: str, type: str = "userdata", create_dir: bool = True
    ) -> str:
        """A path among the user's files. Raises Forbidden for names that leave them."""
        from app.store.names import inside

        path = inside(HOST.now.folders.user / "default", file)
        if create_dir:
            path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)


def _made(owner: type[PromptServer]) -> PromptServer:
    made = HOST.now.attributes["prompt server"] = owner()
    return made
