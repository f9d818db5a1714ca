"""Who is let in: names of this machine, origins, tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from app.server.security import Gate, same_origin, split_host
from app.settings import ServeSettings
from tests.server.support import Site, opened

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
    assert await status(guarded, "/prompt?token=open+sesame") == 200


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
