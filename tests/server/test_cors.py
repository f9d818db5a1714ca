"""Pages of other sites, when the owner invites them with --enable-cors-header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.server.support import Site, opened

FRIEND = "http://friend.example:3000"


async def ask(
    site: Site, method: str = "GET", path: str = "/prompt", data: str | None = None, **headers: str
) -> aiohttp.ClientResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with site.session.request(method, site.running.url + path, headers=named, data=data) as answer:
        await answer.read()
        return answer


async def test_a_named_site_may_ask_and_read(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0", "--enable-cors-header", FRIEND + "/") as site:
        answer = await ask(site, Origin=FRIEND, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors")
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        asked_first = await ask(site, "OPTIONS", Origin=FRIEND, Access_Control_Request_Method="POST")
        assert asked_first.status == 200
        assert "POST" in asked_first.headers["Access-Control-Allow-Methods"]
        assert "Content-Type" in asked_first.headers["Access-Control-Allow-Headers"]
        async with site.session.ws_connect(f"{site.running.url}/ws", headers={"Origin": FRIEND}) as socket:
            assert (await socket.receive_json())["type"] == "status"
        for origin in ("http://evil.example", "http://friend.example", "null", "http://friend.example:30001"):
            assert (await ask(site, Origin=origin)).status == 403
        # A form can be sent without asking first, so it changes nothing even when it comes from a friend.
        assert (await ask(site, "POST", "/free", "{}", Origin=FRIEND, Content_Type="text/plain")).status == 403
        assert (await ask(site, "POST", "/free", "{}", Origin=FRIEND, Content_Type="application/json")).status == 200
        assert (await ask(site, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")).status == 403


async def test_all_sites_may_ask_who_know_the_token(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0", "--enable-cors-header", "--token", "secret") as site:
        assert (await ask(site, Origin="http://any.example")).status == 401
        answer = await ask(site, Origin="http://any.example", Authorization="Bearer secret")
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert (await ask(site, "OPTIONS", Origin="http://any.example")).status == 200
        assert (await ask(site, "OPTIONS")).status == 401


async def test_by_default_nobody_is_invited(quiet_site: Site) -> None:
    answer = await ask(quiet_site)
    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    refused = await ask(quiet_site, "OPTIONS", Origin=FRIEND)
    assert refused.status == 403


@pytest.mark.parametrize("accepted", ["gzip", "deflate", ""])
async def test_answers_are_packed_when_asked_for(tmp_path: Path, accepted: str) -> None:
    words: list[Any] = ["--workers", "0", "--enable-compress-response-body"]
    async with opened(tmp_path, *words) as site:
        answer = await ask(site, path="/openapi.json", Accept_Encoding=accepted)
        assert answer.headers.get("Content-Encoding", "") == accepted
        assert (await ask(site, path="/", Accept_Encoding="br")).headers.get("Content-Encoding") is None


async def test_features_of_the_command_line_are_told(tmp_path: Path) -> None:
    flags = ("--feature-flag", "show_things", "--feature-flag", "latent_loom.beta=2", "--feature-flag", "assets=x")
    async with opened(tmp_path, "--workers", "0", *flags) as site:
        told = await site.get("/features")
        assert (told["show_things"], told["assets"]) == (True, "x")
        assert told["latent_loom"]["beta"] == 2
        assert told["latent_loom"]["durable_queue"] is True
        async with site.session.ws_connect(f"{site.running.url}/ws") as socket:
            await socket.send_json({"type": "feature_flags", "data": {}})
            assert (await socket.receive_json())["type"] == "status"
            assert (await socket.receive_json())["data"] == told


async def test_several_addresses_have_one_port(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0", "--listen", "127.0.0.1, 127.0.0.2") as site:
        port = site.running.url.rpartition(":")[2]
        for host in ("127.0.0.1", "127.0.0.2"):
            async with site.session.get(f"http://{host}:{port}/prompt") as answer:
                assert answer.status == 200
