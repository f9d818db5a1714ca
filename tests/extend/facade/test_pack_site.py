"""The site that serves packs' routes: who may ask, what is served once, what failing packs answer."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from aiohttp import web

from app.errors import Forbidden
from app.extend.facade.bridge import FacadeHost
from app.extend.facade.pack_site import ON_PROMPT, SECRET_HEADER, PackSite

SECRET = "key"


@pytest.fixture
def server(host: FacadeHost) -> Any:
    return importlib.import_module("server").PromptServer.instance


@pytest.fixture
def opened(server: Any) -> Iterator[Callable[[], PackSite]]:
    site = PackSite(server, SECRET)

    def start() -> PackSite:
        site.start()
        return site

    yield start
    site.stop()


def ask(site: PackSite, path: str, secret: str = SECRET, data: bytes | None = None) -> tuple[int, str]:
    request = Request(site.address + path, data, {SECRET_HEADER: secret})
    try:
        with urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        return refused.code, refused.read().decode()


def test_without_routes_no_port_is_opened(opened: Callable[[], PackSite]) -> None:
    site = opened()
    assert (site.address, site.routes) == ("", [])
    site.stop()


def test_a_port_that_was_closed_answers_nobody(server: Any, opened: Callable[[], PackSite]) -> None:
    server.add_on_prompt_handler(lambda said: said)
    site = opened()
    assert ask(site, "/nowhere")[0] == 404
    site.stop()
    with pytest.raises(URLError):
        ask(site, "/nowhere")


def test_only_those_who_know_the_secret_are_answered(server: Any, opened: Callable[[], PackSite]) -> None:
    @server.routes.get("/acme/{name}")
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["name"])

    @server.routes.get("/boom")
    async def boom(request: web.Request) -> web.Response:
        raise ZeroDivisionError("by zero")

    @server.routes.get("/refuse")
    async def refuse(request: web.Request) -> web.Response:
        raise web.HTTPConflict(text="not now")

    site = opened()
    assert site.address.startswith("http://127.0.0.1:")
    assert ask(site, "/acme/you") == (200, "you")
    for wrong in ("", "Key", "key2"):
        assert ask(site, "/acme/you", wrong)[0] == 403
    status, told = ask(site, "/boom")
    assert status == 500
    assert json.loads(told)["error"] == {"type": "pack_failed", "message": "ZeroDivisionError: by zero"}
    assert ask(site, "/refuse") == (409, "not now")
    assert ask(site, "/nowhere")[0] == 404


def test_of_two_packs_with_one_route_the_first_answers(
    server: Any, opened: Callable[[], PackSite], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("first", "second"):

        async def say(request: web.Request, text: str = text) -> web.Response:
            return web.Response(text=text)

        server.routes.get("/same")(say)
    (tmp_path / "page.html").write_text("shown")
    server.routes.static("/pages", tmp_path)
    site = opened()
    assert ask(site, "/same") == (200, "first")
    assert ask(site, "/pages/page.html") == (200, "shown")
    assert ask(site, "/pages/%2e%2e/secret")[0] in (403, 404)
    assert "two packs answer GET /same" in caplog.text
    assert ("GET", "/pages/{path:.*}") in site.routes
    assert site.routes.count(("GET", "/same")) == 1


def test_prompts_are_shown_to_the_functions_of_packs(server: Any, opened: Callable[[], PackSite]) -> None:
    server.add_on_prompt_handler(lambda said: {**said, "seen": said["number"] + 1})
    site = opened()
    assert json.loads(ask(site, ON_PROMPT, data=b'{"number": 1}')[1]) == {"number": 1, "seen": 2}
    assert ask(site, ON_PROMPT, "wrong", b"{}")[0] == 403


def test_a_route_that_cannot_be_served_costs_itself_alone(
    server: Any, opened: Callable[[], PackSite], caplog: pytest.LogCaptureFixture
) -> None:
    async def fine(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    server.routes.get("/{odd")(fine)
    server.routes.get("/fine")(fine)
    assert ask(opened(), "/fine") == (200, "fine")
    assert "/{odd cannot be served" in caplog.text


# ---------------------------------------------------------------- what packs ask of the server


def test_files_of_the_user_stay_with_the_user(server: Any, host: FacadeHost) -> None:
    users = server.user_manager
    assert users.get_request_user_id(None) == "default"
    path = Path(users.get_request_user_filepath(None, "acme/settings.json"))
    assert path == host.host.folders.user / "default" / "acme" / "settings.json"
    assert path.parent.is_dir()
    assert not Path(users.get_request_user_filepath(None, "none/x", create_dir=False)).parent.exists()
    for outside in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(Forbidden):
            users.get_request_user_filepath(None, outside)


async def test_messages_in_every_form(server: Any, said: Any) -> None:
    await server.send("a", {"x": 1})
    await server.send_json("b", {"y": object}, "client")
    server.queue_updated()
    assert [message[0] for message in said.told] == ["a", "b"]
    assert said.told[1][2] == "client"
    assert "object" in said.told[1][1]["y"]


def test_what_a_pack_may_ask_between_jobs(server: Any) -> None:
    assert server.get_queue_info() == {"exec_info": {"queue_remaining": 0}}
    assert server.prompt_queue.get_history() == {}
    server.client_id, server.last_node_id = "me", "12"
    assert (server.client_id, server.last_node_id) == ("me", "12")
    assert (server.address, server.port) == ("127.0.0.1", 8188)
    assert server.loop is server.loop
    server.loop.close()
