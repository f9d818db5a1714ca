"""The clients' socket with a live server and worker: who hears what, in which order, and pictures in either frame."""

from __future__ import annotations

import json
import struct
from typing import Any

from tests.server.support import Site, ear, show

WORK = {"1": {"class_type": "Work", "inputs": {"steps": 2, "seconds": 0.0}}, "2": show("done", ["1", 0])}
LONG = {"1": {"class_type": "Work", "inputs": {"steps": 600, "seconds": 0.05}}, "2": show("done", ["1", 0])}
# What only the one who submitted hears; without one, nobody does.
PRIVATE = {"execution_start", "execution_cached", "executing", "executed", "execution_success"}


def told(heard: list[Any], kind: str) -> list[dict[str, Any]]:
    """The data of all messages of a type."""
    return [said["data"] for said in heard if not isinstance(said, bytes) and said["type"] == kind]


async def test_a_run_is_told_in_order_to_the_one_who_submitted(site: Site) -> None:
    async with ear(site, "me") as mine, ear(site, "you") as yours:
        assert mine.heard[0]["data"]["sid"] == "me"
        job = await site.submit(WORK, client_id="me")
        await mine.until("executing", node=None)
        last = await site.submit({"1": show("x")}, client_id="you")
        await yours.until("executing", node=None, prompt_id=last)

    order = [
        kind for kind in mine.types if kind not in ("status", "binary", "progress", "progress_state", "nodes_changed")
    ]
    assert order == [
        "execution_start", "execution_cached", "executing", "executing", "executed", "execution_success", "executing",
    ]  # fmt: skip
    assert [each["node"] for each in told(mine.heard, "executing")] == ["1", "2", None]
    assert {each["prompt_id"] for kind in PRIVATE for each in told(mine.heard, kind)} == {job}
    assert told(mine.heard, "executed")[0]["output"]["text"] == ["done"]
    first, ended = mine.types.index("progress_state"), mine.types.index("execution_success")
    assert first < mine.types.index("executing") < ended
    assert "status" in mine.types[ended:], "the queue is told before the run is said to be over"
    assert all(each["prompt_id"] == last for kind in PRIVATE for each in told(yours.heard, kind))
    assert "binary" not in yours.types


async def test_progress_says_which_node_and_how_far(site: Site) -> None:
    async with ear(site, "me") as mine:
        job = await site.submit(WORK, client_id="me")
        await mine.until("executing", node=None)
    nodes = told(mine.heard, "progress_state")[-1]["nodes"]
    assert nodes["1"] == {
        "value": 2, "max": 2, "state": "finished", "node_id": "1", "prompt_id": job, "display_node_id": "1",
        "parent_node_id": None, "real_node_id": "1",
    }  # fmt: skip
    assert told(mine.heard, "progress")[-1] == {"value": 2, "max": 2, "prompt_id": job, "node": "1"}


async def test_pictures_come_in_the_frame_that_a_client_takes(site: Site) -> None:
    async with ear(site, "new", {"supports_preview_metadata": True}) as new, ear(site, "old") as old:
        flags = await new.until("feature_flags")
        assert flags["data"] == await site.get("/features")
        job = await site.submit(WORK, client_id="new")
        await new.until("executing", node=None)
        await site.submit({**WORK, "2": show("again", ["1", 0])}, client_id="old")
        await old.until("executing", node=None)
    frames = [said for said in new.heard if isinstance(said, bytes)]
    assert frames
    for frame in frames:
        kind, length = struct.unpack(">II", frame[:8])
        about = json.loads(frame[8 : 8 + length])
        assert kind == 4
        assert (about["node_id"], about["prompt_id"], about["image_type"]) == ("1", job, "image/jpeg")
        assert {"display_node_id", "parent_node_id", "real_node_id"} <= set(about)
        assert frame[8 + length :] == b"\xff\xd8preview"
    plain = [said for said in old.heard if isinstance(said, bytes)]
    assert plain
    assert all(frame == struct.pack(">II", 1, 1) + b"\xff\xd8preview" for frame in plain)


async def test_without_a_client_everybody_sees_progress_and_nobody_the_rest(site: Site) -> None:
    async with ear(site, "a") as first, ear(site, "b") as second:
        job = await site.submit(WORK)
        await site.finished(job)
        for each in (first, second):
            await each.until("status", status={"exec_info": {"queue_remaining": 0, "paused": False}})
            assert {"progress", "progress_state", "binary"} <= set(each.types)
            assert not PRIVATE & set(each.types)


async def test_an_interrupted_run_without_a_client_is_told_to_all(site: Site) -> None:
    async with ear(site, "a") as mine:
        job = await site.submit(LONG)
        await mine.until("progress")
        await site.post("/interrupt", {"prompt_id": job})
        said = await mine.until("execution_interrupted", prompt_id=job)
    assert said["data"]["node_id"] == "1"
    assert said["data"]["node_type"] == "Work"
    assert (await site.get(f"/history/{job}"))[job]["status"]["status_str"] == "error"


async def test_a_second_socket_of_one_client_takes_its_place(site: Site) -> None:
    """A reconnection that overlaps with the late end of the socket before keeps its route."""
    async with ear(site, "me") as before:
        async with ear(site, "me") as after:
            await before.socket.close()
            await site.submit({"1": show("kept")}, client_id="me")
            await after.until("executing", node=None)
            assert told(after.heard, "executed")[0]["output"]["text"] == ["kept"]
        assert not PRIVATE & set(before.types)


async def test_who_comes_back_while_a_node_runs_is_told_which(site: Site) -> None:
    async with ear(site, "me") as before:
        job = await site.submit(LONG, client_id="me")
        await before.until("progress")
    async with ear(site, "me") as after, ear(site, "other") as other:
        assert (await after.until("executing"))["data"] == {"node": "1"}
        assert job in {each["prompt_id"] for each in told([await after.until("progress_state")], "progress_state")}
        await site.post("/interrupt", {})
        await after.until("execution_interrupted")
        await other.until("status")
    assert "executing" not in other.types


async def test_log_lines_come_to_those_who_asked(site: Site) -> None:
    async with ear(site, "me") as mine, ear(site, "you") as yours:
        async with site.session.patch(
            f"{site.running.url}/internal/logs/subscribe", json={"clientId": "me", "enabled": True}
        ) as answer:
            assert answer.status == 200
        site.running.services.logs.add("a line of the log")
        said = await mine.until("logs")
        assert said["data"]["entries"][0]["m"] == "a line of the log\n"
        await site.submit({"1": show("x")}, client_id="you")
        await yours.until("executing", node=None)
        assert "logs" not in yours.types


async def test_a_client_s_own_words_come_back_with_every_message(site: Site) -> None:
    async with ear(site, "tagged", {"supports_preview_metadata": True}) as heard:
        graph = {"1": {"class_type": "Work", "inputs": {"steps": 1, "seconds": 0.0}}, "2": show("x", ["1", 0])}
        tags = {"window": "left", "prompt_id": "not this"}
        job = await site.submit(graph, client_id="tagged", extra_data={"metadata": tags})
        await heard.until("executing", node=None)
        told = [said for said in heard.heard if isinstance(said, dict) and "prompt_id" in said["data"]]
        assert {said["type"] for said in told} >= {"execution_start", "progress", "executed", "execution_success"}
        assert all((said["data"]["window"], said["data"]["prompt_id"]) == ("left", job) for said in told)
        (frame,) = [said for said in heard.heard if isinstance(said, bytes)]
        assert b'"window": "left"' in frame
        stored = await site.get(f"/api/jobs/{job}/events")
        assert all(event["data"]["window"] == "left" for event in stored["events"])
        await site.submit(graph, client_id="tagged", extra_data={"metadata": {"long": "x" * 5000}})
        assert "long" not in (await heard.until("execution_start"))["data"]
