"""Dispatching to workers that are scripts in this process: every order of events, without waiting for processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from app.engine.events import (
    NodeFinished,
    NodesCached,
    NodeStarted,
    Preview,
    Progress,
    RunFailed,
    RunInterrupted,
    RunSucceeded,
)
from app.link.messages import (
    Cancel,
    Done,
    Free,
    Heartbeat,
    Ready,
    RunEvent,
    decode,
    encode_event,
)
from app.server import dispatch as dispatch_module
from app.store import jobs
from tests.server.scene import Scene


async def until(good: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not good():
            await asyncio.sleep(0.01)


async def test_a_worker_gets_one_job_at_a_time(scene: Scene) -> None:
    worker, channel = await scene.join()
    for name in ("j", "k"):
        await scene.submit(name)
    assert [job.job_id for job in channel.jobs()] == ["j"]
    await scene.say(worker, RunSucceeded())
    await scene.dispatcher.heard(worker, Done("j", 1))
    assert [job.job_id for job in channel.jobs()] == ["j"]
    await scene.dispatcher.heard(worker, Ready())
    await scene.settle()
    assert [job.job_id for job in channel.jobs()] == ["j", "k"]


async def test_two_workers_share_the_queue(scene: Scene) -> None:
    for name in ("j", "k", "l"):
        await scene.submit(name)
    (_, first), (_, second) = await scene.join(1), await scene.join(2)
    assert [job.job_id for channel in (first, second) for job in channel.jobs()] == ["j", "k"]
    assert len(scene.dispatcher.runs) == 2


async def test_a_run_leaves_a_history_entry_before_the_client_is_told(scene: Scene) -> None:
    worker, _ = await scene.join()
    await scene.submit()
    ui = {"images": [{"staged": scene.outputs.stage(b"x", ".png"), "prefix": "p", "type": "output"}]}
    await scene.say(worker, NodesCached(()), NodeStarted("1", "A", "1"), Preview("1", "image/png", b"x"))
    await scene.say(worker, NodeFinished("1", "A", "1", False, ui), RunSucceeded())
    assert scene.hub.kinds() == [
        "execution_start",
        "execution_cached",
        "progress_state",
        "executing",
        "executed",
        "progress_state",
        "execution_success",
        "executing",
    ]
    assert scene.hub.pictures == 1
    record = await scene.job()
    assert (record.state, record.results["1"]["images"][0]["filename"]) == ("succeeded", "p_00001_.png")
    assert {to for kind, _, to in scene.hub.sent if kind != "status"} == {"c"}


async def test_the_next_job_is_given_while_the_end_of_the_last_is_written_and_told_after_it(scene: Scene) -> None:
    worker, channel = await scene.join()
    for name in ("j", "k"):
        await scene.submit(name)
    ended = encode_event("j", 1, RunSucceeded())
    assert isinstance(ended, str)
    await scene.dispatcher.heard(worker, decode(ended))
    assert worker.run is None
    await scene.dispatcher.heard(worker, Ready())
    await scene.settle()
    assert [job.job_id for job in channel.jobs()] == ["j", "k"]
    await scene.say(worker, NodesCached(()), RunSucceeded(), job="k")
    told = [kind for kind in scene.hub.kinds() if kind in ("execution_start", "execution_success")]
    assert told == ["execution_start", "execution_success"] * 2
    assert [(await scene.job(name)).state for name in ("j", "k")] == ["succeeded"] * 2


async def test_words_about_another_claim_are_not_heard(scene: Scene) -> None:
    worker, _ = await scene.join()
    await scene.submit()
    before = len(scene.hub.sent)
    await scene.say(worker, RunSucceeded(), token=7)
    await scene.say(worker, RunSucceeded(), job="another")
    await scene.dispatcher.heard(worker, Done("j", 7))
    assert len(scene.hub.sent) == before
    assert (await scene.job()).state == "running"


async def test_a_worker_that_leaves_hands_its_job_to_the_next(scene: Scene) -> None:
    worker, _ = await scene.join(5)
    await scene.submit()
    await scene.dispatcher.left(worker)
    told = next(data for kind, data, _ in scene.hub.sent if kind == "job_requeued")
    assert (told["reason"], told["losses"]) == ("ended, number 5", 1)
    _, channel = await scene.join(6)
    assert [(job.job_id, job.token) for job in channel.jobs()] == [("j", 2)]
    await scene.dispatcher.left(worker)  # again is no second loss
    assert (await scene.job()).losses == 1


async def test_done_without_an_end_is_a_loss(scene: Scene) -> None:
    worker, _ = await scene.join()
    await scene.submit()
    await scene.dispatcher.heard(worker, Done("j", 1))
    record = await scene.job()
    assert (record.state, record.losses) == ("queued", 1)


async def test_a_connection_that_breaks_while_a_job_is_sent(scene: Scene) -> None:
    worker, channel = await scene.join()
    channel.broken = True
    await scene.submit()
    assert (await scene.job()).state == "running"
    await scene.dispatcher.left(worker)
    assert (await scene.job()).state == "queued"


async def test_three_losses_name_the_node(scene: Scene) -> None:
    await scene.submit()
    for token in (1, 2, 3):
        worker, _ = await scene.join(token)
        await scene.say(worker, NodeStarted("1", "A", "1"), token=token)
        await scene.dispatcher.left(worker)
    record = await scene.job()
    assert record.state == "failed"
    assert record.error is not None
    assert (record.error["exception_type"], record.error["node_id"]) == ("WorkerLost", "1")
    assert "ended, number 3" in record.error["exception_message"]


async def test_cancelling_a_worker_that_yields(scene: Scene) -> None:
    worker, channel = await scene.join()
    await scene.submit()
    assert await scene.dispatcher.cancel("j")
    assert channel.told[-1] == Cancel("j", 1)
    await scene.say(worker, RunInterrupted("1", "A"))
    await asyncio.sleep(0.1)
    assert scene.processes.killed == []
    assert (await scene.job()).state == "cancelled"
    assert not await scene.dispatcher.cancel("j")


async def test_cancelling_a_worker_that_does_not_yield(scene: Scene) -> None:
    _, channel = await scene.join(9)
    await scene.submit()
    began = time.monotonic()
    assert await scene.dispatcher.cancel("j")
    assert time.monotonic() - began < 0.05
    await until(lambda: channel.closed)
    assert scene.processes.killed == [9]
    assert (await scene.job()).state == "cancelled"
    assert "execution_interrupted" in scene.hub.kinds()


async def test_a_worker_that_dies_of_a_cancelled_job_does_not_get_it_again(scene: Scene) -> None:
    worker, _ = await scene.join()
    await scene.submit()
    await scene.dispatcher.cancel("j")
    await scene.dispatcher.left(worker)
    assert (await scene.job()).state == "cancelled"


async def test_an_output_that_cannot_be_published_ends_the_job_at_the_worker_too(scene: Scene) -> None:
    worker, channel = await scene.join()
    await scene.submit()
    ui = {"images": [{"staged": "0" * 32 + ".png", "prefix": "p", "type": "output"}]}
    await scene.say(worker, NodeFinished("1", "A", "1", False, ui), RunSucceeded())
    assert channel.told[-1] == Cancel("j", 1)
    record = await scene.job()
    assert record.state == "failed"
    assert record.error is not None
    assert "could not be saved" in record.error["exception_message"]


async def test_a_silent_worker_is_ended(scene: Scene) -> None:
    worker, channel = await scene.join(4)
    await scene.submit()
    await scene.database.write(lambda connection: jobs.renew(connection, "j", 1, time.monotonic() - 1))
    await scene.dispatcher._sweep_once()
    assert scene.processes.killed == [4]
    assert channel.closed
    assert worker.id not in scene.dispatcher.workers
    assert (await scene.job()).state == "queued"


async def test_a_beat_renews_the_lease(scene: Scene) -> None:
    worker, _ = await scene.join(4)
    await scene.submit()
    await scene.database.write(lambda connection: jobs.renew(connection, "j", 1, time.monotonic() - 1))
    await scene.dispatcher.heard(worker, Heartbeat("j", 1, ({"name": "cpu", "vram_free": 5},)))
    await scene.dispatcher._sweep_once()
    assert scene.processes.killed == []
    assert worker.devices == ({"name": "cpu", "vram_free": 5},)


async def test_an_idle_worker_that_falls_silent_is_ended_too(scene: Scene) -> None:
    worker, channel = await scene.join(4)
    worker.heard_at -= dispatch_module._SILENT_BEATS * 30 + 1
    await scene.dispatcher._sweep_once()
    assert channel.closed


async def test_a_job_that_nobody_holds_is_found(scene: Scene) -> None:
    await scene.submit()
    record = await scene.database.write(
        lambda connection: jobs.claim(connection, "nobody", lease_until=time.monotonic() - 1, now=1.0)
    )
    assert record is not None
    await scene.dispatcher._sweep_once()
    assert (await scene.job()).state == "queued"
    assert "job_requeued" in scene.hub.kinds()


async def test_failures_are_told_and_kept(scene: Scene) -> None:
    worker, _ = await scene.join()
    await scene.submit()
    await scene.say(worker, RunFailed("1", "A", "broke", "E", ("t",), {}, (), "mend"))
    record = await scene.job()
    assert record.error is not None
    assert (record.state, record.error["remedy"]) == ("failed", "mend")


async def test_memory_is_asked_for_from_all_workers(scene: Scene) -> None:
    (_, first), (_, second) = await scene.join(1), await scene.join(2)
    second.broken = True
    await scene.dispatcher.free(Free(True, True))
    assert first.told == [Free(True, True)]


async def test_the_same_request_does_not_wake_anybody(scene: Scene) -> None:
    _, channel = await scene.join()
    await scene.submit()
    before = len(scene.hub.sent)
    await scene.submit()
    assert len(scene.hub.sent) == before
    assert len(channel.jobs()) == 1


async def test_stopping_queues_without_counting(scene: Scene) -> None:
    _, channel = await scene.join()
    await scene.submit()
    await scene.dispatcher.close()
    record = await scene.job()
    assert (record.state, record.losses) == ("queued", 0)
    assert channel.closed
    assert scene.dispatcher.workers == {}


async def test_waiting_jobs_are_cancelled_without_a_worker(scene: Scene) -> None:
    for name in ("j", "k"):
        await scene.submit(name)
    assert await scene.dispatcher.cancel("j")
    assert await scene.dispatcher.remove_queued(["k", "absent"]) == 1
    _, channel = await scene.join()
    assert channel.jobs() == []
    assert [(await scene.job(name)).state for name in ("j", "k")] == ["cancelled", "cancelled"]


async def test_running_jobs_are_cancelled_together(scene: Scene) -> None:
    for name in ("j", "k", "l"):
        await scene.submit(name)
    (_, first), (_, second) = await scene.join(1), await scene.join(2)
    await scene.dispatcher.cancel_all()
    assert (first.told[-1], second.told[-1]) == (Cancel("j", 1), Cancel("k", 1))
    assert (await scene.job("l")).state in ("queued", "running")


def test_events_arrive_as_messages() -> None:
    assert isinstance(decode(str(encode_event("j", 1, RunSucceeded()))), RunEvent)


async def test_a_cancelled_worker_has_the_time_of_a_step_and_then_its_grace(scene: Scene) -> None:
    worker, _ = await scene.join(9)
    await scene.submit()
    await scene.say(worker, NodeStarted("1", "A", "1"), Progress("1", 1, 9))
    await asyncio.sleep(0.3)
    await scene.say(worker, Progress("1", 2, 9))
    run = worker.run
    assert run is not None
    assert run.step_seconds >= 0.3
    await scene.dispatcher.cancel("j")
    await scene.say(worker, Progress("1", 3, 9), RunInterrupted("1", "A"))  # it yields after its step
    assert (await scene.job()).state == "cancelled"
    assert scene.processes.killed == []


async def test_a_new_node_has_no_steps_yet(scene: Scene) -> None:
    worker, _ = await scene.join(9)
    await scene.submit()
    await scene.say(worker, NodeStarted("1", "A", "1"))
    await asyncio.sleep(0.05)
    await scene.say(worker, Progress("1", 1, 9), NodeStarted("2", "A", "2"))
    assert worker.run is not None
    assert worker.run.step_seconds == 0.0


async def test_a_worker_that_joins_is_told_to_be_well(scene: Scene) -> None:
    await scene.join(7)
    assert scene.processes.well == [7]


async def test_a_worker_that_works_on_what_it_has_no_claim_to_is_told_to_stop(scene: Scene) -> None:
    worker, channel = await scene.join()
    await scene.say(worker, NodesCached(()), job="gone", token=4)
    assert channel.told[-1] == Cancel("gone", 4)


async def test_the_count_of_the_queue_is_mended_when_all_is_quiet(scene: Scene) -> None:
    await scene.submit()
    scene.dispatcher.news.count(5)
    await scene.dispatcher._sweep_once()
    assert scene.dispatcher.news.remaining == 1
