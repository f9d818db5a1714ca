"""Jobs that quick workers have ahead: given, begun, asked back, lost, with workers that are scripts in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from app.engine.events import NodesCached, RunSucceeded
from app.link.messages import Cancel, Done, Heartbeat, Ready, Return, Returned
from app.server.workers import Worker
from app.store import jobs
from tests.server.scene import Channel, Scene


async def until(good: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not good():
            await asyncio.sleep(0.01)


def told(scene: Scene) -> list[tuple[str, str]]:
    """(what, of which job) was told of begins and ends."""
    kinds = ("execution_start", "execution_success", "execution_interrupted", "job_requeued")
    return [(kind, data["prompt_id"]) for kind, data, _ in scene.hub.sent if kind in kinds]


async def quick(scene: Scene, *names: str) -> tuple[Worker, Channel]:
    """A worker with a quick job behind it that is at the first of these and has the others ahead."""
    scene.dispatcher.handouts.quick_seconds = 1000.0
    worker, channel = await scene.join(7, ahead=3)
    await scene.submit("quick")
    for name in names:
        await scene.submit(name)
    await scene.say(worker, RunSucceeded(), job="quick")
    await scene.dispatcher.heard(worker, Done("quick", 1))
    await scene.dispatcher.heard(worker, Ready())
    await scene.settle()
    assert [job.job_id for job in channel.jobs()] == ["quick", *names]
    return worker, channel


async def test_a_worker_whose_job_was_over_in_no_time_has_the_next_ones_ahead(scene: Scene) -> None:
    worker, channel = await quick(scene, "j", "k", "l", "m")
    assert [(await scene.job(name)).state for name in "jklm"] == ["running", "queued", "queued", "queued"]
    assert told(scene)[-1] == ("execution_start", "j")
    await scene.submit("n")
    assert len(channel.jobs()) == 5  # one at hand, three ahead
    for name in "jk":
        await scene.say(worker, NodesCached(()), RunSucceeded(), job=name)
    assert told(scene)[-4:] == [
        ("execution_success", "j"),
        ("execution_start", "k"),
        ("execution_success", "k"),
        ("execution_start", "l"),
    ]
    states = [(await scene.job(name)).state for name in "jklmn"]
    assert states == ["succeeded", "succeeded", "running", "queued", "queued"]
    record = await scene.job("l")
    assert record.started is not None
    assert channel.jobs()[-1].job_id == "n"


async def test_a_slow_job_gives_those_behind_it_back(scene: Scene) -> None:
    worker, channel = await quick(scene, "j", "k", "l")
    scene.dispatcher.handouts.quick_seconds = 0.0
    scene.dispatcher.handouts.watch(worker, scene.dispatcher._recall_soon)  # as the clock does
    await until(lambda: Return("k", 1) in channel.told)
    assert [said for said in channel.told if isinstance(said, Return)] == [Return("l", 1), Return("k", 1)]
    for name in "lk":
        await scene.dispatcher.heard(worker, Returned(name, 1))
    await scene.settle()
    assert [run.record.id for run in worker.runs] == ["j"]
    _, other = await scene.join(8)
    assert [(job.job_id, job.token) for job in other.jobs()] == [("k", 2)]  # the first of both, and no loss
    assert ((await scene.job("k")).losses, ("job_requeued", "k") in told(scene)) == (0, False)


async def test_those_ahead_of_a_lost_worker_just_wait_again(scene: Scene) -> None:
    worker, _ = await quick(scene, "j", "k")
    await scene.dispatcher.left(worker)
    assert [((await scene.job(name)).state, (await scene.job(name)).losses) for name in "jk"] == [
        ("queued", 1),
        ("queued", 0),
    ]


async def test_a_cancel_of_one_ahead_leaves_the_worker_alone(scene: Scene) -> None:
    worker, channel = await quick(scene, "j", "k")
    assert await scene.dispatcher.cancel("k")
    assert channel.told[-1] == Cancel("k", 1)
    await scene.dispatcher.heard(worker, Returned("k", 1))
    await asyncio.sleep(0.1)  # longer than its grace
    assert ((await scene.job("k")).state, scene.processes.killed) == ("cancelled", [])
    assert scene.dispatcher.news.remaining == 1


async def test_a_busy_worker_keeps_what_it_has_ahead_but_a_cancelled_job_ends(scene: Scene) -> None:
    scene.dispatcher.handouts.return_seconds = 0.01
    worker, _ = await quick(scene, "j", "k", "l")
    await scene.dispatcher.pause(True)
    assert [run.record.id for run in worker.runs] == ["j", "k", "l"]
    assert await scene.dispatcher.cancel("k")
    await until(lambda: len(worker.runs) == 2)
    await scene.settle()
    assert ((await scene.job("k")).state, scene.processes.killed) == ("cancelled", [])
    await scene.say(worker, NodesCached(()), job="k")  # it begins with it, not having heard
    assert scene.dispatcher.workers


async def test_a_beat_renews_the_leases_of_all_that_a_worker_holds(scene: Scene) -> None:
    worker, _ = await quick(scene, "j", "k")
    for name in "jk":
        await scene.database.write(lambda connection, name=name: jobs.renew(connection, name, 1, time.monotonic() - 1))
    await scene.dispatcher.heard(worker, Heartbeat("j", 1))
    await scene.dispatcher._sweep_once()
    assert scene.processes.killed == []


async def test_a_worker_is_ended_with_the_lease_of_one_ahead(scene: Scene) -> None:
    await quick(scene, "j", "k")
    await scene.database.write(lambda connection: jobs.renew(connection, "k", 1, time.monotonic() - 1))
    await scene.dispatcher._sweep_once()
    assert scene.processes.killed == [7]
    assert [(await scene.job(name)).losses for name in "jk"] == [1, 0]
