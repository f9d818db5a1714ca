"""One user, or several with settings and files of their own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.support import Site, opened, show


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Site]:
    """A server for several users."""
    async with opened(tmp_path, "--workers", "0", "--multi-user") as made:
        yield made


async def test_each_user_has_settings_and_files(shared: Site) -> None:
    assert await shared.get("/users") == {"storage": "server", "users": {}}
    ann = await shared.post("/users", {"username": "Ann"})
    bo = await shared.post("/api/users", {"username": "Bo"})
    assert await shared.get("/users") == {"storage": "server", "users": {ann: "Ann", bo: "Bo"}}
    await shared.post("/settings", {"theme": "light"}, headers={"comfy-user": ann})
    await shared.post("/settings", {"theme": "dark"}, headers={"comfy-user": bo})
    assert await shared.get("/settings/theme", headers={"Comfy-User": ann}) == "light"
    assert await shared.get("/settings/theme", headers={"Comfy-User": bo}) == "dark"
    assert await shared.get("/settings") == {}
    await shared.post("/userdata/workflows%2Fa.json", show("x"), headers={"comfy-user": ann})
    assert await shared.get("/v2/userdata?path=workflows", headers={"comfy-user": ann})
    async with shared.session.get(f"{shared.running.url}/userdata/workflows%2Fa.json") as answer:
        assert answer.status == 404
    assert (shared.base / "user" / ann / "workflows" / "a.json").is_file()


async def test_saved_workflows_are_each_user_s_own(shared: Site) -> None:
    from app.graph.spec import spec_to_json
    from tests.server.fake_worker import SPECS

    shared.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
    mine = {"comfy-user": await shared.post("/users", {"username": "Ann"})}
    await shared.post("/userdata/workflows%2Fa.json", {"1": show("x")}, headers=mine)
    assert [each["name"] for each in (await shared.get("/api/workflows", headers=mine))["workflows"]] == ["a"]
    assert await shared.get("/api/workflows") == {"workflows": []}
    assert (await shared.post("/api/workflows/a/run", {}, headers=mine))["status"] == "pending"


@pytest.mark.parametrize("user", ["nobody", "../default", "..", "default/../x"])
async def test_an_unknown_user_is_told_so(shared: Site, user: str) -> None:
    for path in ("/settings", "/settings/a", "/userdata?dir=workflows", "/v2/userdata", "/api/workflows"):
        async with shared.session.get(shared.running.url + path, headers={"Comfy-User": user}) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["remedy"].startswith("GET /users")


@pytest.mark.parametrize("body", [{}, {"username": 5}, {"username": ""}, {"username": "Ann"}, []])
async def test_users_that_cannot_be_added(shared: Site, body: object) -> None:
    await shared.post("/users", {"username": "Ann"})
    refused = await shared.post("/users", body, status=400)
    assert refused["error"]["message"]


async def test_alone_the_header_means_nothing(quiet_site: Site) -> None:
    await quiet_site.post("/settings", {"a": 1}, headers={"Comfy-User": "somebody"})
    assert await quiet_site.get("/settings") == {"a": 1}
    assert await quiet_site.get("/users") == {"storage": "server", "migrated": True}
    refused = await quiet_site.post("/users", {"username": "Ann"}, status=400)
    assert "--multi-user" in json.dumps(refused)
