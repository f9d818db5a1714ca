"""Who comes back misses nothing: lists, streams and the socket from any number on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.server.support import PATIENCE, Site, ear, opened, show

WORK = {"class_type": "Work", "inputs": {"steps": 3, "seconds": 0.02}}
GRAPH = {"1": WORK, "2": show("x", ["1", 0])}


async def messages(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, str, Any]]:
    """(number, type, data) of each message of a stream."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE):
        async for line in answer.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif fields:
                yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                fields = {}


async def streamed(site: Site, path: str, **headers: str) -> list[tuple[int, str, Any]]:
    wanted = {"Accept": "text/event-stream", **headers}
    async with site.session.get(site.running.url + path, headers=wanted) as answer:
        assert answer.content_type == "text/event-stream"
        return [message async for message in messages(answer)]


async def test_a_stream_of_a_job_ends_with_it_and_goes_on_from_any_number(site: Site) -> None:
    job_id = await site.submit(GRAPH, client_id="c1")
    live = await streamed(site, f"/api/jobs/{job_id}/events")
    kinds = [kind for _, kind, _ in live]
    assert (kinds[0], kinds[-1]) == ("execution_start", "executing")
    assert live[-1][2] == {"node": None, "prompt_id": job_id}
    numbers = [number for number, _, _ in live]
    assert numbers == sorted(set(numbers))
    assert await streamed(site, f"/api/jobs/{job_id}/events") == live
    again = await streamed(site, f"/api/jobs/{job_id}/events", **{"Last-Event-ID": str(numbers[2])})
    assert again == live[3:]
    listed = await site.get(f"/api/jobs/{job_id}/events?since={numbers[2]}")
    assert [event["seq"] for event in listed["events"]] == numbers[3:]


async def test_a_stream_of_all_jobs_goes_on_while_others_run(site: Site) -> None:
    url = f"{site.running.url}/api/events"
    async with site.session.get(url, headers={"Accept": "text/event-stream"}) as answer:
        ids = [await site.submit({"1": show(str(n))}) for n in range(3)]
        ended: list[str] = []
        async for _, kind, data in messages(answer):
            if kind == "execution_success":
                ended.append(data["prompt_id"])
            if len(ended) == 3:
                break
    assert ended == ids
    of_none = await site.get("/api/events?client_id=nobody")
    assert of_none == {"events": [], "next": 0, "has_more": False}


async def test_a_socket_that_comes_back_gets_what_it_missed_once_and_in_order(site: Site) -> None:
    async with ear(site, "c1") as first:
        job_id = await site.submit({"1": WORK, "2": show("x", ["1", 0])}, client_id="c1")
        start = await first.until("execution_start")
    await site.status(job_id, "completed")
    second_id = await site.submit(GRAPH, client_id="c1")
    url = f"{site.running.url}/ws?clientId=c1&since={start['seq']}"
    heard: list[dict[str, Any]] = []
    async with site.session.ws_connect(url) as socket, asyncio.timeout(PATIENCE):
        async for said in socket:
            if said.type == aiohttp.WSMsgType.TEXT:
                heard.append(json.loads(said.data))
                if heard[-1]["type"] == "executing" and heard[-1]["data"] == {"node": None, "prompt_id": second_id}:
                    break
    assert heard[0]["type"] == "status"
    numbers = [message["seq"] for message in heard if "seq" in message]
    stored = (await site.get(f"/api/events?client_id=c1&since={start['seq']}"))["events"]
    assert numbers == [event["seq"] for event in stored]
    assert {event["data"]["prompt_id"] for event in stored} == {job_id, second_id}


async def test_numbers_go_on_over_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as site:
        job_id = await site.submit({"1": show("x")})
        await site.finished(job_id)
        before = (await site.get("/api/events"))["next"]
    async with opened(tmp_path) as site:
        assert (await site.get(f"/api/jobs/{job_id}/events"))["next"] == before
        await site.finished(await site.submit({"1": show("y")}))
        after = (await site.get(f"/api/events?since={before}"))["events"]
    assert after[0]["type"] == "execution_start"
    assert after[0]["seq"] > before


async def test_asking_wrongly(quiet_site: Site) -> None:
    for path in ("/api/events?since=x", "/api/events?since=-1", "/ws?since=1.5", "/api/jobs/absent/events"):
        async with quiet_site.session.get(quiet_site.running.url + path) as answer:
            assert 400 <= answer.status < 500, path
