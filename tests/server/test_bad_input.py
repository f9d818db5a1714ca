"""Whatever is sent, the answer is never a 5xx, and says what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from app.graph.spec import spec_to_json
from tests.server.fake_worker import SPECS
from tests.server.support import Site, opened

DEEP = "[" * 100_000
BODIES = {
    "empty": "",
    "malformed": "{",
    "null": "null",
    "list": "[]",
    "number": "5",
    "text": '"x"',
    "not utf-8": b"\xff\xfe{}",
    "deep": DEEP,
    "deep in an object": '{"prompt": ' + '{"a":' * 500 + "1" + "}" * 501,
    "digits": '{"number": ' + "9" * 5000 + "}",
}
JSON_ROUTES = [
    "/prompt",
    "/queue",
    "/history",
    "/free",
    "/settings",
    "/api/jobs/cancel",
    "/api/jobs/x/reorder",
    "/api/jobs/x/urgency",
]

SHOW = '{"1": {"class_type": "Show", "inputs": {"text": "a"}}}'
PROMPTS = {
    "NUL": ('{"prompt": {"\\u0000": {}}}', None),
    "no prompt": ("{}", "no_prompt"),
    "null prompt": ('{"prompt": null}', None),
    "list prompt": ('{"prompt": [1]}', None),
    "text prompt": ('{"prompt": "x"}', None),
    "empty prompt": ('{"prompt": {}}', "prompt_no_outputs"),
    "null node": ('{"prompt": {"1": null}}', None),
    "no class": ('{"prompt": {"1": {"inputs": {}}}}', None),
    "list class": ('{"prompt": {"1": {"class_type": [1], "inputs": {}}}}', None),
    "unknown class": ('{"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}', None),
    "null inputs": ('{"prompt": {"1": {"class_type": "Show", "inputs": null}}}', None),
    "missing input": ('{"prompt": {"1": {"class_type": "Show", "inputs": {}}}}', "prompt_outputs_failed_validation"),
    "cycle": (('{"prompt": {"1": {"class_type": "Show", "inputs": {"text": "a", "value": ["2", 0]}},'
              '"2": {"class_type": "Work", "inputs": {"steps": 1, "seconds": 0, "value": ["2", 0]}}}}'), None),
    "dangling link": ('{"prompt": {"1": {"class_type": "Show", "inputs": {"text": "a", "value": ["9", 0]}}}}', None),
    "slot 1e400": ('{"prompt": {"1": {"class_type": "Show", "inputs": {"text": "a", "value": ["1", 1e400]}}}}', None),
    "inf for an int": (('{"prompt": {"1": {"class_type": "Show", "inputs": {"text": "a", "value": ["2", 0]}},'
                       '"2": {"class_type": "Work", "inputs": {"steps": 1e999, "seconds": 0}}}}'), None),
    "prompt_id list": (f'{{"prompt": {SHOW}, "prompt_id": [1]}}', "invalid_prompt_id"),
    "prompt_id long": (f'{{"prompt": {SHOW}, "prompt_id": "{"x" * 500}"}}', "invalid_prompt_id"),
    "prompt_id surrogate": (f'{{"prompt": {SHOW}, "prompt_id": "\\ud800"}}', "invalid_prompt_id"),
    "client_id number": (f'{{"prompt": {SHOW}, "client_id": 5}}', None),
    "client_id surrogate": (f'{{"prompt": {SHOW}, "client_id": "\\ud800"}}', None),
    "number text": (f'{{"prompt": {SHOW}, "number": "1"}}', None),
    "number inf": (f'{{"prompt": {SHOW}, "number": 1e999}}', None),
    "number NaN": (f'{{"prompt": {SHOW}, "number": NaN}}', None),
    "extra_data list": (f'{{"prompt": {SHOW}, "extra_data": []}}', None),
    "targets text": (f'{{"prompt": {SHOW}, "partial_execution_targets": "1"}}', None),
    "targets unknown": (f'{{"prompt": {SHOW}, "partial_execution_targets": ["7"]}}', "prompt_no_outputs"),
    "front text": (f'{{"prompt": {SHOW}, "front": "yes"}}', None),
}  # fmt: skip

PATHS = [
    "/view",
    "/view?filename=",
    "/view?filename=../x",
    "/view?filename=x&type=user",
    "/view?filename=x&subfolder=../user",
    "/view?filename=%00",
    "/view?filename=/etc/passwd",
    "/view?filename=..%2f..%2fetc%2fpasswd",
    "/view?filename=C:%5Cx",
    "/view?filename=x&subfolder=/etc",
    "/view?filename=nul",
    "/view?filename=x%20[output]&type=nonsense",
    "/userdata",
    "/userdata?dir=..",
    "/userdata?dir=/etc",
    "/userdata/..%2F..%2Floom.sqlite",
    "/userdata/%2e%2e%2floom.sqlite",
    "/userdata/..%5cx",
    "/userdata/absent",
    "/v2/userdata?path=../..",
    "/models/nonsense",
    "/models/..%2f",
    "/experiment/models/x",
    "/view_metadata/loras",
    "/view_metadata/loras?filename=../x.safetensors",
    "/view_metadata/x?filename=a.safetensors",
    "/view_metadata/loras?filename=/etc/x.safetensors",
    "/history?max_items=x",
    "/history?offset=1.5",
    "/history?max_items=" + "9" * 30,
    "/api/jobs?status=nonsense",
    "/api/jobs?limit=0",
    "/api/jobs?limit=x",
    "/api/jobs?offset=-1",
    "/api/jobs?sort_by=x",
    "/api/jobs/unknown",
    "/api/jobs/unknown/events",
    "/api/jobs/x/events?since=-1",
    "/internal/files/user",
    "/..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/.git/config",
    "/app/settings.py",
    "/core/..%2f..%2fmain.py",
    "/%00",
    "/a%0ab",
    "/con",
]


@pytest.fixture
async def bad(tmp_path: Path) -> AsyncIterator[Site]:
    """A server that knows the nodes and runs nothing."""
    async with opened(tmp_path, "--workers", "0", "--max-upload-size", "0.5") as made:
        made.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
        yield made


async def ask(site: Site, method: str, path: str, data: str | bytes | None = None) -> tuple[int, dict[str, object]]:
    url = URL(site.running.url + path, encoded=True)
    async with site.session.request(method, url, data=data) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize("path", JSON_ROUTES)
async def test_bodies(bad: Site, path: str) -> None:
    for name, body in BODIES.items():
        status, told = await ask(bad, "POST", path, body)
        assert 400 <= status < 500, name
        assert told["error"]["message"], name  # type: ignore[index]


async def test_prompts(bad: Site) -> None:
    for name, (body, kind) in PROMPTS.items():
        status, told = await ask(bad, "POST", "/prompt", body)
        assert status == 400, (name, told)
        error = told["error"]
        assert isinstance(error, dict)
        assert kind in (None, error["type"]), name
        assert error["message"] and error["remedy"] is not None, name
        assert isinstance(told["node_errors"], dict)
    assert (await bad.get("/queue"))["queue_pending"] == []


@pytest.mark.parametrize("path", PATHS)
async def test_paths(bad: Site, path: str) -> None:
    status, told = await ask(bad, "GET", path)
    assert 400 <= status < 500, told
    assert told["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize(
    "path",
    [
        "/userdata/..%2Fx.json",
        "/userdata/a%2F..%2F..%2Fx",
        "/userdata/a/move/..%2Fx",
        "/userdata/nul",
        "/userdata/a%00b",
    ],
)
async def test_writing_outside(bad: Site, path: str) -> None:
    await ask(bad, "POST", "/userdata/a", b"x")
    status, _ = await ask(bad, "POST", path, b"x")
    assert status in (400, 403)


async def test_a_huge_body_is_refused_by_its_size(bad: Site) -> None:
    status, told = await ask(bad, "POST", "/prompt", b'{"prompt": "' + b"x" * 900_000 + b'"}')
    assert (status, told["error"]["type"]) == (413, "too_large")  # type: ignore[index]


async def test_wrong_methods_are_named(bad: Site) -> None:
    status, told = await ask(bad, "DELETE", "/prompt")
    assert status == 405
    assert "GET" in told["error"]["remedy"]  # type: ignore[index]


async def test_part_of_a_prompt_may_run(bad: Site) -> None:
    prompt = {"1": {"class_type": "Show", "inputs": {"text": "a"}}, "2": {"class_type": "Show", "inputs": {}}}
    answer = await bad.post("/prompt", {"prompt": prompt})
    assert list(answer["node_errors"]) == ["2"]
    (item,) = (await bad.get("/queue"))["queue_pending"]
    assert item[1] == answer["prompt_id"]
    assert item[4] == ["1"]


async def test_a_repeated_request_is_one_job(bad: Site) -> None:
    body = {"prompt": {"1": {"class_type": "Show", "inputs": {"text": "a"}}}}
    headers = {"Idempotency-Key": "k1"}
    first = await bad.post("/prompt", body, headers=headers)
    assert await bad.post("/prompt", body, headers=headers) == first
    await bad.post("/prompt", {**body, "number": 3}, status=409, headers=headers)
    named = {**body, "prompt_id": "0d7c6a8c-5f0f-4c55-9a40-5a8b4d3b7a11"}
    assert await bad.post("/prompt", named) == await bad.post("/prompt", named)
    await bad.post("/prompt", {**named, "front": True}, status=409)
    assert len((await bad.get("/queue"))["queue_pending"]) == 2


async def test_numbers_order_the_queue(bad: Site) -> None:
    body = {"prompt": {"1": {"class_type": "Show", "inputs": {"text": "a"}}}}
    usual, second = await bad.post("/prompt", body), await bad.post("/prompt", body)
    front = await bad.post("/prompt", {**body, "front": True})
    chosen = await bad.post("/prompt", {**body, "number": 0.5})
    assert [usual["number"], second["number"], front["number"]] == [0, 1, -2]
    order = [item[1] for item in (await bad.get("/queue"))["queue_pending"]]
    assert order == [answer["prompt_id"] for answer in (front, usual, chosen, second)]


async def test_secrets_are_not_kept(bad: Site) -> None:
    body = {"prompt": {"1": {"class_type": "Show", "inputs": {"text": "a"}}}, "extra_data": {"api_key_comfy_org": "s3"}}
    await bad.post("/prompt", body)
    assert "s3" not in str(await bad.get("/queue"))


async def test_nodes_not_known_yet(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0") as site:
        object.__setattr__(site.running.services.settings.serve, "node_wait_seconds", 0.05)
        for method, path, body in (("GET", "/object_info", None), ("POST", "/prompt", '{"prompt": {}}')):
            status, told = await ask(site, method, path, body)
            assert (status, told["error"]["type"]) == (503, "unavailable")  # type: ignore[index]
        assert (await ask(site, "GET", "/system_stats"))[0] == 200
