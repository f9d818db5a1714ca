"""Jobs that are over leave nothing behind in the server: neither objects of ours nor tasks."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

from app.engine.events import NodeFinished, NodesCached, NodeStarted, Progress, RunFailed, RunSucceeded
from app.link.messages import Cancel, Done, Ready, Returned
from app.server.workers import Worker
from tests.server.scene import Channel, Scene


def alive() -> Counter[str]:
    """How many objects of the program's classes there are, and what waits on the event loop."""
    gc.collect()
    return Counter(
        type(each).__qualname__
        for each in gc.get_objects()
        if str(type(each).__module__).startswith(("app.", "_asyncio"))
    )


async def work(scene: Scene, worker: Worker, good: bool) -> None:
    """It ends all the jobs that it has, each with a picture."""
    for job in [run.record for run in worker.runs]:
        ui = {"images": [{"staged": scene.outputs.stage(b"x", ".png"), "prefix": job.id, "type": "output"}]}
        end = RunSucceeded() if good else RunFailed("1", "A", "no", "E", (), {}, (), "")
        shown = [NodeStarted("1", "A", "1"), Progress("1", 1, 2), NodeFinished("1", "A", "1", False, ui)]
        await scene.say(worker, NodesCached(()), *shown, end, job=job.id)
        await scene.dispatcher.heard(worker, Done(job.id, job.token))
    await scene.dispatcher.heard(worker, Ready())
    await scene.settle()


async def run(scene: Scene, worker: Worker, channel: Channel, first: int) -> None:
    """Forty jobs: good ones, failures, cancelled ones, some of them held ahead."""
    for n in range(first, first + 40):
        await scene.submit(f"j{n}")
        if n % 7 == 0:
            await scene.submit(f"gone{n}")
            await scene.dispatcher.cancel(f"gone{n}")
            if isinstance(said := channel.told[-1], Cancel):
                await scene.dispatcher.heard(worker, Returned(said.job_id, said.token))
        if n % 3 == 0:
            await work(scene, worker, good=n % 2 == 0)
    while worker.runs:
        await work(scene, worker, good=True)
    channel.told.clear()
    scene.hub.sent.clear()
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > 3:  # this test, and two that look after leases and events
            await asyncio.sleep(0.01)


async def test_no_job_leaves_anything_in_memory(scene: Scene) -> None:
    scene.dispatcher.handouts.quick_seconds = 1000.0
    worker, channel = await scene.join(1, ahead=3)
    counts: list[Counter[str]] = []
    for first in (0, 40, 80):
        await run(scene, worker, channel, first)
        counts.append(alive())
    # What forty jobs leave would be forty or more; a few of the last job's are still in somebody's hands.
    more = {name: number - counts[1][name] for name, number in counts[2].items() if number > counts[1][name] + 20}
    assert more == {}
