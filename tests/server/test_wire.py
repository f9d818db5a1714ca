"""Events become messages: their order, their content, and no more of them than a run needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from app.engine.events import (
    Event,
    NodeBlocked,
    NodeFinished,
    NodesCached,
    NodeStarted,
    Preview,
    Progress,
    RunFailed,
    RunInterrupted,
    RunSucceeded,
)
from app.server.wire import Picture, RunTranslator, Said


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def translator(clock: Clock | None = None, outputs: tuple[str, ...] = ("9",)) -> RunTranslator:
    return RunTranslator("p", frozenset(outputs), lambda: ("1", "9"), clock or Clock())


def types(said: list[Said | Picture]) -> list[str]:
    return [item.type if isinstance(item, Said) else "picture" for item in said]


def finished(node_id: str, cached: bool = False, ui: Any = None) -> NodeFinished:
    return NodeFinished(node_id, "A", node_id, cached, ui)


def test_a_run() -> None:
    made = translator()
    said = made.begin()
    for event in (
        NodesCached(("3",)),
        NodeStarted("9", "Save", "9"),
        finished("9", ui={"images": [{"filename": "x"}]}),
        RunSucceeded(),
    ):
        said += made.translate(event)  # type: ignore[arg-type]
    assert types(list(said)) == [
        "execution_start", "execution_cached", "progress_state", "executing", "executed", "progress_state",
        "execution_success",
    ]  # fmt: skip
    first, cached, *_ = said
    assert isinstance(first, Said) and isinstance(cached, Said)
    assert first.data == {"prompt_id": "p", "timestamp": 1_000_000}
    assert cached.data["nodes"] == ["3"]
    assert made.outcome is not None
    assert made.outcome.state == "succeeded"
    assert made.outcome.results == {"9": {"images": [{"filename": "x"}]}}
    assert made.outcome.meta == {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}}
    assert [kind for kind, _ in made.outcome.messages] == ["execution_start", "execution_cached", "execution_success"]


def test_cached_nodes_are_told_of_only_if_they_are_outputs() -> None:
    made = translator()
    assert made.translate(finished("1", cached=True)) == []
    said = made.translate(finished("9", cached=True))
    assert types(said) == ["executed", "progress_state"]
    assert isinstance(said[0], Said)
    assert said[0].data["output"] is None


def test_nodes_of_an_expansion_are_shown_where_they_come_from() -> None:
    made = translator()
    made.translate(NodeStarted("9.0.1", "A", "9"))
    (progress,) = [
        said for said in made.translate(Progress("9.0.1", 1, 1)) if isinstance(said, Said) and said.type == "progress"
    ]
    assert progress.data["node"] == "9.0.1"
    assert made.state["9.0.1"]["display_node_id"] == made.state["9.0.1"]["real_node_id"] == "9"
    assert made.state["9.0.1"]["parent_node_id"] == "9"
    (picture,) = made.translate(Preview("9.0.1", "image/png", b"x"))
    assert isinstance(picture, Picture)
    assert (picture.metadata["display_node_id"], picture.metadata["image_type"]) == ("9", "image/png")
    *_, failed = made.translate(RunFailed("9.0.1", "A", "m", "E", ()))
    assert isinstance(failed, Said)
    assert failed.data["node_id"] == "9"


def test_fast_steps_are_thinned_and_the_last_is_told() -> None:
    clock = Clock()
    made = translator(clock)
    made.translate(NodeStarted("1", "A", "1"))
    told = 0
    for step in range(1000):
        clock.now += 0.001
        told += "progress" in types(made.translate(Progress("1", step + 1, 1000)))
    assert 30 <= told <= 36
    assert made.state["1"]["value"] == 1000


def test_the_table_of_nodes_does_not_cost_the_square_of_the_graph() -> None:
    clock = Clock()
    made = translator(clock)
    entries = 0
    for number in range(2000):
        clock.now += 0.001
        events: tuple[Event, ...] = (NodeStarted(str(number), "A", str(number)), finished(str(number)))
        for event in events:
            entries += sum(
                len(said.data["nodes"])
                for said in made.translate(event)
                if isinstance(said, Said) and said.type == "progress_state"
            )
    assert entries < 40_000
    said = made.translate(RunSucceeded())
    assert isinstance(said[0], Said)
    assert len(said[0].data["nodes"]) == 2000


def test_a_failure_carries_all_that_clients_show() -> None:
    made = translator()
    made.translate(NodeStarted("1", "A", "1"))
    event = RunFailed(
        "1", "A", "too big", "torch.OutOfMemoryError", ("t",), {"x": [1]}, ("0",), "Make it smaller.", "x"
    )
    (said,) = made.translate(event)
    assert isinstance(said, Said)
    assert {**said.data, "timestamp": 0} == {
        "prompt_id": "p",
        "node_id": "1",
        "node_type": "A",
        "executed": ["0"],
        "exception_message": "too big\nMake it smaller.",
        "exception_type": "torch.OutOfMemoryError",
        "traceback": ["t"],
        "current_inputs": {"x": [1]},
        "current_outputs": ["1", "9"],
        "remedy": "Make it smaller.",
        "input_name": "x",
        "timestamp": 0,
    }
    assert made.outcome is not None
    assert (made.outcome.state, made.outcome.error) == ("failed", said.data)


def test_an_interruption_names_the_node_that_ran() -> None:
    made = translator()
    made.translate(NodeStarted("1", "A", "1"))
    (said,) = made.translate(RunInterrupted("", ""))
    assert isinstance(said, Said)
    assert (said.data["node_id"], said.data["node_type"], said.to_all) == ("1", "A", True)
    assert made.outcome is not None
    assert made.outcome.state == "cancelled"


def test_a_blocked_node_does_not_end_the_run() -> None:
    made = translator()
    (said,) = made.translate(NodeBlocked("1", "A", "not today"))
    assert isinstance(said, Said)
    assert said.data["exception_message"] == "Execution Blocked: not today"
    assert made.outcome is None
    assert made.messages == []


@pytest.mark.parametrize("kind", ["progress", "progress_state"])
def test_what_goes_by_is_not_stored(kind: str) -> None:
    made = translator()
    made.translate(NodeStarted("1", "A", "1"))
    said = [*made.translate(Progress("1", 1, 1)), made.progress_state()]
    assert all(item.to_all and not item.stored for item in said if isinstance(item, Said) and item.type == kind)


def test_what_nodes_did_is_added_up() -> None:
    made = translator()
    for seconds in (1.0, 2.0):
        made.translate(NodeFinished("4", "A", "4", False, None, seconds, 50, "why", 7, ("s", "a")))
    made.translate(NodeFinished("4.1", "Inner", "4", False, None, 5.0, 90))
    made.translate(finished("9", cached=True))
    node = made.nodes["4"]
    assert (node.runs, node.seconds, node.peak_bytes, node.result_bytes, node.reason) == (2, 8.0, 90, 7, "why")
    assert (made.nodes["9"].runs, made.nodes["9"].cached) == (0, 1)


def test_what_the_cache_served_is_in_the_record() -> None:
    made = translator()
    made.translate(NodesCached(("3", "9"), ("Sampler", "Save")))
    made.translate(finished("9", cached=True))
    assert {name: (run.class_type, run.runs, run.cached) for name, run in made.nodes.items()} == {
        "3": ("Sampler", 0, 1),
        "9": ("A", 0, 1),
    }
    made.translate(finished("9", cached=True))
    assert made.nodes["9"].cached == 2, "in a later round of a loop"


def test_what_each_round_of_a_loop_shows_is_kept() -> None:
    made = translator()
    for name in ("a", "b"):
        made.translate(finished("9", ui={"images": [{"filename": name}]}))
    assert made.results["9"] == {"images": [{"filename": "a"}, {"filename": "b"}]}
