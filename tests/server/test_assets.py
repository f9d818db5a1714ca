"""Newer clients are told that there is no list of assets, in words that they know."""

from __future__ import annotations

import pytest

from tests.server.support import Site


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize("path", ["/api/assets", "/api/assets/1/content", "/api/assets/hash/blake3:0", "/api/tags"])
async def test_assets_are_switched_off(quiet_site: Site, method: str, path: str) -> None:
    assert (await quiet_site.get("/features"))["assets"] is False
    async with quiet_site.session.request(method, quiet_site.running.url + path) as answer:
        assert answer.status == 503
        if method != "HEAD":
            error = (await answer.json())["error"]
            assert (error["code"], error["details"]) == ("SERVICE_DISABLED", {})
            assert "/upload/image" in error["remedy"]


async def test_the_files_of_an_editor_are_no_assets(quiet_site: Site) -> None:
    async with quiet_site.session.get(f"{quiet_site.running.url}/assets/index.js") as answer:
        assert answer.status == 404
