"""The editor's files: ours, or those of another front end."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import InvalidRequest
from app.server.security import CONTENT_POLICY, FOREIGN_PAGE_POLICY
from app.settings import Settings
from tests.server.support import Site, opened


@pytest.fixture
def front_end(tmp_path: Path) -> Path:
    """A small front end, with what must not be served beside it."""
    root = tmp_path / "front"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<title>another</title>")
    (root / "assets" / "a.js").write_text("1")
    (root / "templates").mkdir()
    (root / "templates" / "default.json").write_text("[]")
    (root / ".hidden").write_text("x")
    (tmp_path / "secret.txt").write_text("x")
    return root


async def ask(site: Site, path: str) -> tuple[int, str, str]:
    """(status, text, policy) of an answer."""
    async with site.session.get(site.running.url + path) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Security-Policy"]


async def test_another_front_end_takes_the_place_of_ours(tmp_path: Path, front_end: Path) -> None:
    async with opened(tmp_path / "base", "--workers", "0", "--front-end-root", str(front_end)) as site:
        assert await ask(site, "/") == (200, "<title>another</title>", FOREIGN_PAGE_POLICY)
        assert await ask(site, "/index.html") == (200, "<title>another</title>", FOREIGN_PAGE_POLICY)
        assert await ask(site, "/assets/a.js") == (200, "1", CONTENT_POLICY)
        for path in ("/.hidden", "/boot.js", "/assets/absent.js", "/assets"):
            assert (await ask(site, path))[0] == 404, path
        assert (await ask(site, "/%2e%2e/secret.txt"))[0] in (403, 404)
        status, text, policy = await ask(site, "/api.html")
        assert (status, policy) == (200, CONTENT_POLICY)
        assert "The API of Latent Loom" in text
        assert (await ask(site, "/templates/default.json"))[1] != "[]", "templates are the server's"


async def test_our_own_editor_keeps_the_strict_policy(quiet_site: Site) -> None:
    for path in ("/", "/index.html", "/api.html", "/boot.js"):
        status, _, policy = await ask(quiet_site, path)
        assert (status, policy) == (200, CONTENT_POLICY)


def test_a_root_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no index\.html") as refused:
        Settings.from_arguments(["--front-end-root", str(tmp_path)])
    assert "static" in refused.value.remedy


@pytest.mark.parametrize("name", ["default-src", "connect-src", "object-src", "frame-ancestors", "base-uri"])
def test_the_wider_policy_names_no_other_host(name: str) -> None:
    rules = {rule.split()[0]: rule.split()[1:] for rule in FOREIGN_PAGE_POLICY.split("; ")}
    assert set(rules[name]) <= {"'self'", "'none'", "blob:", "data:"}
