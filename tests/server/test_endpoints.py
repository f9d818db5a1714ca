"""Saved workflows as functions, with a real worker process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.support import Site, show

GRAPH = {
    "1": {"class_type": "Work", "inputs": {"steps": 2, "seconds": 0.0}, "_meta": {"title": "input:steps"}},
    "2": {
        "class_type": "Show",
        "inputs": {"text": "hello", "value": ["1", 0]},
        "_meta": {"title": "input:words"},
    },
}
LAYOUT = {
    "nodes": [
        {
            "id": 5, "type": "Show", "title": "input:words", "widgets_values": ["from the canvas"],
            "inputs": [{"name": "value", "type": "*", "link": None}], "outputs": [],
        }
    ],
    "links": [],
}  # fmt: skip


async def save(site: Site, name: str, data: Any) -> None:
    """Save a workflow as the editor does."""
    path = f"/api/userdata/workflows%2F{name}.json"
    async with site.session.post(site.running.url + path, data=json.dumps(data)) as answer:
        assert answer.status == 200


async def test_a_workflow_runs_with_its_inputs(site: Site) -> None:
    await save(site, "greet", GRAPH)
    told = await site.get("/api/workflows/greet")
    assert told["inputs"]["properties"]["words"] == {"type": "string", "default": "hello"}
    ran = await site.post("/api/workflows/greet/run?wait=30", {"words": "good morning", "steps": 1})
    assert ran["status"] == "completed"
    assert ran["outputs"]["2"]["text"] == ["good morning"]
    (file,) = ran["files"]
    async with site.session.get(site.running.url + file["url"]) as answer:
        assert await answer.read() == b"picture good morning"
    job = await site.get(f"/api/jobs/{ran['prompt_id']}")
    assert job["workflow"]["prompt"]["1"]["inputs"]["steps"] == 1
    assert job["workflow"]["extra_data"]["workflow_name"] == "greet"


async def test_what_is_left_out_keeps_the_saved_value(site: Site) -> None:
    await save(site, "drawn", LAYOUT)
    async with site.session.post(f"{site.running.url}/workflows/drawn/run?wait=30") as answer:
        ran = await answer.json()
    assert ran["outputs"]["5"]["text"] == ["from the canvas"]


async def test_without_waiting_the_answer_comes_at_once(site: Site) -> None:
    await save(site, "greet", GRAPH)
    ran = await site.post("/api/workflows/greet/run?client_id=me", {"words": "later"})
    assert ran["status"] in ("pending", "in_progress", "completed")
    assert (await site.finished(ran["prompt_id"]))["outputs"]["2"]["text"] == ["later"]
    assert (await site.get(f"/api/jobs/{ran['prompt_id']}"))["workflow"]["extra_data"]["client_id"] == "me"


async def test_outputs_with_names(site: Site) -> None:
    named = {**GRAPH, "2": {**GRAPH["2"], "_meta": {"title": "input:words; output:card"}}}
    named["3"] = {"class_type": "Say", "inputs": {"text": "done"}, "_meta": {"title": "output:note"}}
    await save(site, "greet", named)
    told = await site.get("/api/workflows/greet")
    assert told["outputs"]["card"] == {"node_id": "2", "class_type": "Show", "description": ""}
    ran = await site.post("/api/workflows/greet/run?wait=30", {"words": "good morning"})
    assert set(ran["results"]) == {"card", "note"}
    (file,) = ran["results"]["card"]["files"]
    async with site.session.get(site.running.url + file["url"]) as answer:
        assert await answer.read() == b"picture good morning"
    assert ran["results"]["note"] == {"node_id": "3", "files": [], "text": ["done"], "shown": {"text": ["done"]}}
    described = (await site.get("/openapi.json"))["paths"]["/api/workflows/greet/run"]["post"]["responses"]["200"]
    schema = described["content"]["application/json"]["schema"]["allOf"][1]["properties"]["results"]
    assert schema["required"] == ["card", "note"]


async def test_what_has_not_run_yet_has_given_nothing(quiet_site: Site) -> None:
    from app.graph.spec import spec_to_json
    from tests.server.fake_worker import SPECS

    quiet_site.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
    await save(quiet_site, "say", {"1": {**show("x"), "_meta": {"title": "output:a"}}})
    ran = await quiet_site.post("/api/workflows/say/run", {})
    assert ran["results"] == {"a": {"node_id": "1", "files": [], "text": [], "shown": {}}}


async def test_workflows_of_before_run_with_what_stands_in(quiet_site: Site) -> None:
    """Both kinds of file, before any worker has come: what packs registered is kept with the nodes."""
    from app.graph.spec import spec_to_json
    from tests.server.fake_worker import SPECS

    catalogue = quiet_site.running.services.catalogue
    catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
    old = {
        "old_node_id": "Tell",
        "new_node_id": "Say",
        "old_widget_ids": ["volume", "message"],
        "input_mapping": [{"new_id": "text", "old_id": "message"}],
    }
    catalogue.learn_replacements([old])
    catalogue.keep(quiet_site.base / "kept.json")
    catalogue.learn_replacements(None)
    catalogue.recall(quiet_site.base / "kept.json")
    drawn = {"id": 5, "type": "Tell", "title": "input:text", "widgets_values": [3, "hello"], "inputs": []}
    await save(quiet_site, "drawn", {"nodes": [{**drawn, "outputs": []}], "links": []})
    inputs = {"volume": 3, "message": "hello"}
    await save(quiet_site, "plain", {"5": {"class_type": "Tell", "inputs": inputs, "_meta": {"title": "input:text"}}})
    for name in ("drawn", "plain"):
        ran = await quiet_site.post(f"/api/workflows/{name}/run", {"text": "bye"})
        job = await quiet_site.get(f"/api/jobs/{ran['prompt_id']}")
        assert job["workflow"]["prompt"]["5"]["class_type"] == "Say"
        assert job["workflow"]["prompt"]["5"]["inputs"] == {"text": "bye"}


async def test_the_same_key_gives_the_same_job(site: Site) -> None:
    await save(site, "greet", GRAPH)
    key = {"Idempotency-Key": "k"}
    first = await site.post("/api/workflows/greet/run", {"words": "a"}, headers=key)
    again = await site.post("/api/workflows/greet/run?wait=30", {"words": "a"}, headers=key)
    assert again["prompt_id"] == first["prompt_id"]
    assert again["status"] == "completed"
    await site.post("/api/workflows/greet/run", {"words": "b"}, status=409, headers=key)


async def test_a_failure_is_told(site: Site) -> None:
    graph = {"1": {"class_type": "Fail", "inputs": {"message": "no"}, "_meta": {"title": "input:why"}}}
    await save(site, "broken", {**graph, "2": show("x", ["1", 0])})
    ran = await site.post("/api/workflows/broken/run?wait=30", {"why": "the kettle is empty"})
    assert (ran["status"], ran["files"]) == ("failed", [])
    assert "the kettle is empty" in ran["error"]["exception_message"]


async def test_the_list_tells_which_cannot_run_and_why(site: Site) -> None:
    assert await site.get("/workflows") == {"workflows": []}
    await save(site, "greet", GRAPH)
    await save(site, "folder%2Finner", GRAPH)
    await save(site, "odd", {"1": {**GRAPH["1"], "_meta": {"title": "input:steps@nothing"}}})
    listed = {each["name"]: each for each in (await site.get("/api/workflows"))["workflows"]}
    assert listed["greet"]["error"] is None
    assert "no free value 'nothing'" in listed["odd"]["error"]
    assert listed["odd"]["inputs"] == {}
    inner = await site.post("/api/workflows/folder%2Finner/run?wait=30", {})
    assert inner["status"] == "completed"
    paths = (await site.get("/openapi.json"))["paths"]
    assert {"/api/workflows/greet/run", "/api/workflows/folder%2Finner/run"} <= set(paths)
    assert "/api/workflows/odd/run" not in paths


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("greet/run", {"steps": "many"}, 400, "whole number"),
        ("greet/run", {"colour": 1}, 400, "The inputs are: steps, words"),
        ("greet/run", [], 400, "object"),
        ("greet/run?wait=long", {}, 400, "wait"),
        ("greet/run?wait=1e9", {}, 400, "600"),
        ("greet/run?wait=nan", {}, 400, "wait"),
        ("nothing/run", {}, 404, "GET /api/workflows"),
        ("..%2Fcomfy.settings/run", {}, 403, "plain"),
        ("..%2F..%2F..%2Fx/run", {}, 403, ""),
        ("text/run", {}, 400, "damaged"),
    ],
)
async def test_refusals(quiet_site: Site, path: str, body: Any, status: int, told: str) -> None:
    from app.graph.spec import spec_to_json
    from tests.server.fake_worker import SPECS

    quiet_site.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
    await save(quiet_site, "greet", GRAPH)
    (quiet_site.base / "user" / "default" / "workflows" / "text.json").write_text("{")
    refused = await quiet_site.post(f"/api/workflows/{path}", body, status=status)
    assert told in json.dumps(refused, ensure_ascii=False)
    assert refused["error"]["message"]
