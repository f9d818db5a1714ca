"""Asynchronous bodies, alone and in a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from app.engine.events import NodeFinished, NodeStarted, RunFailed, RunInterrupted, RunSucceeded
from app.engine.loop import CallLoop
from app.engine.node import Returned
from app.engine.run import run
from app.graph.declaration import Port
from app.graph.prompt import parse_prompt

Anything = Annotated[Any, Port("*")]


async def after(turns: int, value: Any) -> Returned:
    for _ in range(turns):
        await asyncio.sleep(0)
    return Returned((value,))


async def never() -> Returned:
    await asyncio.Event().wait()
    return Returned()


@pytest.fixture
def loop() -> Any:
    made = CallLoop()
    yield made
    made.close()


def test_an_empty_loop_has_nothing_and_closes(loop: CallLoop) -> None:
    assert len(loop) == 0
    assert loop.finished(wait=True) is None


def test_calls_that_wait_for_nothing_end_at_once(loop: CallLoop) -> None:
    loop.put("a", [loop.start(after(0, 1)), Returned((2,))])
    assert loop.holds("a")
    assert loop.finished(wait=False) == "a"
    assert loop.take("a") == [Returned((1,)), Returned((2,))]
    assert not loop.holds("a")


def test_waiting_ends_with_the_first_node_that_is_done(loop: CallLoop) -> None:
    loop.put("slow", [loop.start(never())])
    loop.put("fast", [loop.start(after(20, 1))])
    assert loop.finished(wait=False) is None
    assert loop.finished(wait=True) == "fast"
    loop.take("fast")
    assert loop.finished(wait=True) is None


def test_a_failing_call_raises_when_taken(loop: CallLoop) -> None:
    async def failing() -> Returned:
        raise ValueError("inside")

    loop.put("a", [loop.start(failing())])
    assert loop.finished(wait=True) == "a"
    with pytest.raises(ValueError, match="inside"):
        loop.take("a")


def test_closing_cancels_what_still_runs() -> None:
    ended: list[str] = []

    async def patient() -> Returned:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return Returned()

    loop = CallLoop()
    loop.put("a", [loop.start(patient())])
    loop.finished(wait=False)
    loop.close()
    assert ended == ["cancelled"]


def test_an_asynchronous_node_gives_its_value(bench: Any) -> None:
    bench.run({"l": ("Later", {"value": 5, "turns": 3}), "c": ("Show", {"value": ["l", 0]})})
    assert bench.shown() == {"c": ["5"]}


def test_asynchronous_nodes_run_beside_each_other_and_beside_others(bench: Any, declare: Callable[..., Any]) -> None:
    met = asyncio.Event()

    @declare("Meet")
    async def meet(*, opens: bool) -> Anything:
        """Ends only if another one runs at the same time."""
        if opens:
            met.set()
        await asyncio.wait_for(met.wait(), 5)
        return 1

    bench.run(
        {
            "first": ("Meet", {"opens": False}),
            "sync": ("Constant", {"value": 2}),
            "second": ("Meet", {"opens": True}),
            "k": ("Collect", {"a": ["first", 0], "b": ["second", 0]}),
            "c": ("Show", {"value": ["k", 0], "other": ["sync", 0]}),
        }
    )
    assert bench.shown() == {"c": ["([1], [1])"]}
    order = [(type(event), event.node_id) for event in bench.events if isinstance(event, NodeStarted | NodeFinished)]
    assert order.index((NodeStarted, "second")) < order.index((NodeFinished, "first"))


def test_every_element_of_a_list_is_a_call_of_its_own(bench: Any) -> None:
    values = {"__value__": [3, 1, 2]}
    bench.run(
        {
            "v": ("Listed", {"values": values}),
            "l": ("Later", {"value": ["v", 0], "turns": ["v", 0]}),
            "c": ("Show", {"value": ["l", 0]}),
        }
    )
    assert bench.shown() == {"c": ["3", "1", "2"]}


def test_a_failure_in_an_asynchronous_node_is_the_nodes(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Break")
    async def breaking(*, value: Anything = None) -> Anything:
        """Fails later."""
        await asyncio.sleep(0)
        raise ValueError("later")

    bench.run(
        {
            "patient": ("Later", {"turns": 10_000}),
            "b": ("Break", {}),
            "c": ("Show", {"value": ["b", 0], "other": ["patient", 0]}),
        }
    )
    (failed,) = bench.events_of(RunFailed)
    assert (failed.node_id, failed.message) == ("b", "later")


def test_an_interrupt_is_noticed_while_everything_waits(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Wait", output_node=True)
    async def wait() -> None:
        """Waits for ever."""
        await asyncio.Event().wait()

    asked = iter([False] * 4)
    prompt = parse_prompt({"w": {"class_type": "Wait", "inputs": {}}})
    events = list(run(prompt, ["w"], bench.nodes, bench.cache, bench.context, lambda: next(asked, True)))
    assert events[-1] == RunInterrupted("w", "Wait", ())


def test_asynchronous_results_are_stored(bench: Any) -> None:
    nodes = {"l": ("Later", {"value": 5}), "c": ("Show", {"value": ["l", 0]})}
    bench.run(nodes)
    bench.run(nodes)
    assert bench.called == []
    assert isinstance(bench.events[-1], RunSucceeded)
