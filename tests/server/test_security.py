"""Who is let in: names of this machine, origins, tokens."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from app.errors import Forbidden
from app.graph.spec import spec_to_json
from app.server.app import build_app
from app.server.security import Gate, same_origin, split_host
from app.settings import ServeSettings
from tests.server.fake_worker import SPECS
from tests.server.support import ROOT, Site, opened, show

JSON = {"Content-Type": "application/json"}


async def status(
    site: Site, path: str = "/prompt", method: str = "GET", data: str | None = None, **headers: str
) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with site.session.request(method, site.running.url + path, headers=named, data=data) as answer:
        return answer.status


def port(site: Site) -> str:
    return site.running.url.rpartition(":")[2]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", 200), ("localhost", 200), ("LOCALHOST", 200), ("[::1]", 200), ("x.localhost", 200),
        ("127.8.8.8", 200), ("evil.example", 403), ("localhost.evil.example", 403), ("127.0.0.1.nip.io", 403),
        ("10.0.0.1", 403), ("0.0.0.0", 403), ("", 403), ("::1", 403), ("evil.example:80@localhost", 403),
    ],
)  # fmt: skip
async def test_names_of_this_machine(quiet_site: Site, host: str, expected: int) -> None:
    assert await status(quiet_site, Host=host) == expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:{port}", 200), ("https://127.0.0.1:{port}", 200), ("http://127.0.0.1:1", 403),
        ("http://localhost:{port}", 403), ("null", 403), ("", 403), ("http://evil.example", 403),
        ("http://127.0.0.1:{port}.evil.example", 403), ("file://", 403), ("http://127.0.0.1:99999999", 403),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/prompt"), ("POST", "/free"), ("GET", "/ws"), ("OPTIONS", "/prompt")]
)
async def test_origins(quiet_site: Site, origin: str, expected: int, method: str, path: str) -> None:
    said = origin.format(port=port(quiet_site))
    code = await status(quiet_site, path, method, "{}" if method == "POST" else None, Origin=said, **JSON)
    if path == "/ws" and expected == 200:
        assert code == 400  # let in, and no WebSocket handshake
    else:
        assert code == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, 200), ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403), ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
    ],
)  # fmt: skip
async def test_requests_of_other_sites(quiet_site: Site, headers: dict[str, str], expected: int) -> None:
    assert await status(quiet_site, **headers) == expected


async def test_browsers_send_json_and_scripts_what_they_like(quiet_site: Site) -> None:
    ours = quiet_site.running.url
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert await status(quiet_site, "/free", "POST", "{}", Origin=ours, Content_Type=kind) == 403
        assert await status(quiet_site, "/free", "POST", "{}", Content_Type=kind) == 200
    assert await status(quiet_site, "/free", "POST", "{}", Origin=ours, Content_Type="application/json") == 200


async def test_answers_carry_the_headers(quiet_site: Site) -> None:
    for path in ("/prompt", "/nothing/here", "/api/queue"):
        async with quiet_site.session.get(quiet_site.running.url + path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_the_link_needs_the_secret_and_no_page(quiet_site: Site) -> None:
    secret = quiet_site.running.services.secret
    assert await status(quiet_site, "/link") == 403
    assert await status(quiet_site, "/link", Authorization="Bearer x") == 403
    assert await status(quiet_site, "/link", Authorization=f"Bearer {secret}", Origin=quiet_site.running.url) == 403
    assert await status(quiet_site, "/link", Authorization=f"Bearer {secret}") == 400


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(tmp_path, "--workers", "0", "--token", "open sesame") as made:
        yield made


async def test_a_token_is_asked_for(guarded: Site) -> None:
    assert await status(guarded) == 401
    assert await status(guarded, "/ws") == 401
    assert await status(guarded, "/index.html") == 401
    assert await status(guarded, Authorization="Bearer open sesame") == 200
    assert await status(guarded, Authorization="Bearer open sesam") == 401
    assert await status(guarded, Cookie="loom_session=open sesame") == 401
    assert await status(guarded, "/prompt?token=open+sesame") == 401  # addresses end up in logs


async def test_logging_in_with_the_form(guarded: Site) -> None:
    url = guarded.running.url
    async with guarded.session.get(url, headers={"Accept": "text/html"}) as page:
        assert page.status == 401
        assert 'action="/login"' in await page.text()
    async with guarded.session.post(f"{url}/login", data={"token": "wrong"}) as answer:
        assert answer.status == 401
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        form = {"data": {"token": "open sesame"}, "headers": {"Origin": url}, "allow_redirects": False}
        async with browser.post(f"{url}/login", **form) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "sesame" not in cookie
        async with browser.get(f"{url}/prompt") as answer:
            assert answer.status == 200


async def test_an_address_with_the_token_behind_the_hash_logs_in(guarded: Site) -> None:
    url = guarded.running.url
    async with guarded.session.get(f"{url}/", headers={"Accept": "text/html"}) as page:
        assert 'src="/login.js"' in await page.text()
        assert page.headers["Referrer-Policy"] == "same-origin"
    async with guarded.session.get(f"{url}/login.js") as script:
        text = await script.text()
        assert (script.status, script.content_type) == (200, "text/javascript")
    assert "location.hash" in text and "history.replaceState" in text
    async with guarded.session.get(f"{url}/login?token=open+sesame", allow_redirects=False) as answer:
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers


async def test_guesses_wait_for_one_another(guarded: Site) -> None:
    url = f"{guarded.running.url}/login"

    async def guess(word: str) -> int:
        async with guarded.session.post(url, data={"token": word}) as answer:
            return answer.status

    lock = guarded.running.services.wrong_tokens
    await lock.acquire()
    guessing = [asyncio.create_task(guess(f"guess {n}")) for n in range(3)]
    async with guarded.session.post(url, data={"token": "open sesame"}, allow_redirects=False) as answer:
        assert answer.status == 303  # who knows it does not wait
    assert not any(task.done() for task in guessing)
    lock.release()
    assert await asyncio.gather(*guessing) == [401, 401, 401]
    assert await guess("x" * 100_000) == 401


async def raw(site: Site, request: bytes) -> bytes:
    """The first line of the answer to bytes as they are."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port(site)))
    writer.write(request)
    line = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    return line


async def test_a_request_has_one_host(quiet_site: Site) -> None:
    host = f"Host: 127.0.0.1:{port(quiet_site)}\r\n".encode()
    assert b" 200 " in await raw(quiet_site, b"GET /prompt HTTP/1.1\r\n" + host + b"\r\n")
    for hosts in (b"", host + host, host + b"Host: evil.example\r\n"):
        assert b" 400 " in await raw(quiet_site, b"GET /prompt HTTP/1.1\r\n" + hosts + b"\r\n")


async def test_a_socket_is_opened_for_our_own_pages_and_for_programs_only(quiet_site: Site) -> None:
    url = f"{quiet_site.running.url}/ws?clientId=c"
    for origin in ("null", "http://evil.example", "http://localhost:1"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await quiet_site.session.ws_connect(url, headers={"Origin": origin})
        assert refused.value.status == 403
    allowed: list[dict[str, str]] = [{}, {"Origin": quiet_site.running.url}]
    for headers in allowed:
        async with quiet_site.session.ws_connect(url, headers=headers) as socket:
            assert (await socket.receive_json())["type"] == "status"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/html"]
)
async def test_a_form_of_a_page_changes_nothing(quiet_site: Site, kind: str) -> None:
    origin = quiet_site.running.url
    for path in ("/prompt", "/free", "/settings", "/queue", "/api/history", "/api/jobs/cancel"):
        assert await status(quiet_site, path, "POST", "{}", Origin=origin, Content_Type=kind) == 403
    assert await status(quiet_site, "/userdata/a.css", "POST", "x", Origin=origin, Content_Type="text/plain") == 200
    assert await status(quiet_site, "/api/settings/a", "POST", "1", Origin=origin, Content_Type="text/plain") == 200
    evil = "http://evil.example"
    assert await status(quiet_site, "/api/settings/a", "POST", "1", Origin=evil, Content_Type="text/plain") == 403


async def test_reading_changes_nothing(quiet_site: Site) -> None:
    """Every route that is asked with GET leaves queue, history, settings and files as they were."""
    site = quiet_site
    site.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
    await site.submit({"1": show("x")})
    await site.post("/settings", {"a": 1})

    async def look() -> list[object]:
        files = sorted(str(path) for path in site.base.rglob("*") if path.is_file() and "sqlite" not in path.name)
        return [await site.get("/queue"), await site.get("/history"), await site.get("/settings"), files]

    before = await look()
    app = build_app(site.running.services)
    for path in {resource.canonical for resource in app.router.resources()}:
        plain = path.replace("{", "").replace("}", "")
        async with site.session.get(site.running.url + plain + "?clear=true&delete=x&overwrite=true") as answer:
            assert answer.status < 500 or path.startswith(("/api/assets", "/api/tags")), path  # switched off: 503
    assert await look() == before


@pytest.mark.parametrize(
    "name", ["../../user/loom.sqlite [output]", "/etc/passwd", "a.png/../../x [temp]", "C:\\x [input]"]
)
async def test_names_inside_graphs_stay_in_their_folders(quiet_site: Site, name: str) -> None:
    folders = quiet_site.running.services.folders
    with pytest.raises(Forbidden):  # by this nodes open what a value names
        folders.annotated(name)
    with pytest.raises(Forbidden):
        folders.model("checkpoints", name)
    plain = name.partition(" [")[0]
    assert await status(quiet_site, f"/view?filename={quote(plain)}") in (400, 403)
    assert await status(quiet_site, f"/view_metadata/checkpoints?filename={quote(plain)}.safetensors") == 403


async def test_long_and_packed_bodies_are_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0", "--max-upload-size", "1") as site:
        packed = gzip.compress(b'{"a": "' + b"x" * 50_000_000 + b'"}')
        assert len(packed) < 100_000
        headers = {"Content-Encoding": "gzip", **JSON}
        async with site.session.post(f"{site.running.url}/settings", data=packed, headers=headers) as answer:
            assert answer.status == 413
        async with site.session.ws_connect(f"{site.running.url}/ws?clientId=c", compress=15) as socket:
            await socket.receive_json()
            with contextlib.suppress(ConnectionError):  # closed before all of it was sent
                await socket.send_str("x" * 5_000_000)
            ended = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert (await socket.receive()).type in ended
        assert await site.get("/settings") == {}


async def test_a_page_of_ours_is_shut_in(quiet_site: Site) -> None:
    async with quiet_site.session.get(quiet_site.running.url) as page:
        headers = page.headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    parts = (part.strip().partition(" ") for part in headers["Content-Security-Policy"].split(";"))
    policy = {name: rule for name, _, rule in parts}
    assert policy["script-src"] == policy["connect-src"] == policy["default-src"] == "'self'"
    assert policy["object-src"] == policy["base-uri"] == "'none'"


FORBIDDEN = re.compile(
    r"\b(?<!\.)(eval|exec)\(|os\.system\(|shell=True|pickle\.loads?\(|yaml\.(load|unsafe_load)\(|__import__\("
)


@pytest.mark.parametrize("folder", ["app", "nodes"])
def test_no_text_from_outside_becomes_code(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        code = "\n".join(line.partition("#")[0] for line in path.read_text("utf-8").splitlines())
        assert not FORBIDDEN.search(code), path


@pytest.mark.parametrize("folder", ["server", "store", "link"])
def test_the_server_fetches_nothing(folder: str) -> None:
    """Nobody can have it ask an address of theirs: it has nothing to ask with."""
    for path in (ROOT / "app" / folder).rglob("*.py"):
        text = "" if path.name == "pack_proxy.py" else path.read_text("utf-8")  # that one asks its own workers
        assert not re.search(r"ClientSession|urllib\.request|http\.client|import requests|httpx", text), path


def test_what_the_documents_promise_is_tested() -> None:
    """Each test that docs/security.md names is there."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text("utf-8"))
    assert len(named) >= 25
    for path, name in named:
        assert re.search(rf"def {name}\(|^{name} = ", (ROOT / path).read_text("utf-8"), re.MULTILINE), (path, name)


@pytest.mark.parametrize(
    ("host", "parts"),
    [("A.b:80", ("a.b", "80")), ("[::1]:5", ("::1", "5")), ("a", ("a", "")), ("a.:1", ("a", "1")), ("", ("", ""))],
)
def test_split_host(host: str, parts: tuple[str, str]) -> None:
    assert split_host(host) == parts


def test_usual_ports_may_be_left_out() -> None:
    assert same_origin("http://a", "a:80")
    assert same_origin("https://a:443", "a")
    assert not same_origin("https://a", "a:80")


def test_an_open_address_answers_to_addresses_and_given_names() -> None:
    gate = Gate(ServeSettings(listen="0.0.0.0", token="t", allowed_hosts=("loom.example",)))
    known = [name for name in ("10.1.2.3", "::1", "loom.example", "evil.example", "localhost") if gate._knows(name)]
    assert known == ["10.1.2.3", "::1", "loom.example", "localhost"]
