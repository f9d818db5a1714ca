"""The client for asyncio against a live server."""

from __future__ import annotations

import pytest

from app.client import AsyncClient, Event, JobFailed, Preview
from tests.client.test_client import LONG, WORK
from tests.server.hosted import Hosted
from tests.server.support import show


async def test_run_fetch_upload(host: Hosted) -> None:
    client = AsyncClient(host.url)
    result = await client.run({"1": show("in a loop")}, 30)
    assert await client.fetch(result.files[0]) == b"picture in a loop"
    file = await client.upload(b"x", "async.png", overwrite=True)
    assert await client.fetch(file) == b"x"


async def test_listen_and_cancel(host: Hosted) -> None:
    client = AsyncClient(host.url)
    heard: list[object] = []
    async with client.listen() as messages:
        job = await client.submit(WORK)
        async for message in messages:
            heard.append(message)
            if isinstance(message, Event) and message.type == "execution_success":
                break
    assert any(isinstance(each, Preview) for each in heard)
    assert (await client.wait(job.id, 30)).outputs["2"]["text"] == ["worked"]

    long = await client.submit(LONG)
    assert await client.cancel(long.id)
    with pytest.raises(JobFailed):
        await client.wait(long.id, 30)
    assert (await client.job(long.id))["status"] == "cancelled"


async def test_the_queue_workflows_and_events(host: Hosted) -> None:
    client = AsyncClient(host.url)
    await client.pause()
    try:
        first, second = [(await client.submit({"1": show(text)})).id for text in ("a", "b")]
        assert await client.reorder(second, before=first)
        assert (await client.queue()).waiting == (second, first)
        assert await client.urge(first, 1)
        assert len(await client.jobs("pending")) == 2
    finally:
        await client.resume()
    kinds = [event.type async for event in client.events(first, timeout=30)]
    assert (kinds[0], kinds[-1]) == ("execution_start", "executing")
    assert (await client.estimate(WORK)).run == ("1", "2")
    assert "Show" in await client.nodes()
    await client.save_workflow("later", {"1": {**show("x"), "_meta": {"title": "output:card"}}})
    assert "later" in await client.workflows()
    assert (await client.run_workflow("later", 30)).named["card"].text == ("x",)
