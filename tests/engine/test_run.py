from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest

from app.engine.cache import Cache
from app.engine.events import (
    Event,
    NodeBlocked,
    NodeFinished,
    NodesCached,
    NodeStarted,
    RunFailed,
    RunInterrupted,
    RunSucceeded,
)
from app.engine.run import run
from app.engine.site import CallSite, RunExtras
from app.errors import Cancelled, OutOfMemory
from app.graph.declaration import Port
from app.graph.prompt import parse_prompt
from app.graph.returned import Blocker

Anything = Annotated[Any, Port("*")]

LINE = {"a": ("Constant", {"value": 2}), "b": ("Add", {"a": ["a", 0], "b": 3}), "c": ("Show", {"value": ["b", 0]})}


def test_a_line_runs_in_order_and_tells_each_step(bench: Any) -> None:
    kinds = [(type(event), getattr(event, "node_id", None)) for event in bench.run(LINE)]
    assert kinds == [
        (NodesCached, None),
        (NodeStarted, "a"),
        (NodeFinished, "a"),
        (NodeStarted, "b"),
        (NodeFinished, "b"),
        (NodeStarted, "c"),
        (NodeFinished, "c"),
        (RunSucceeded, None),
    ]
    assert bench.shown() == {"c": ["5"]}


def test_what_no_output_needs_does_not_run(bench: Any) -> None:
    bench.run({**LINE, "aside": ("Fail", {}), "more": ("Show", {"value": ["aside", 0]})}, outputs=["c"])
    assert [event.node_id for event in bench.events_of(NodeFinished)] == ["a", "b", "c"]


def test_a_shared_parent_runs_once(bench: Any) -> None:
    bench.run({**LINE, "d": ("Show", {"value": ["a", 0]}), "e": ("Show", {"value": ["a", 0], "other": ["b", 0]})})
    assert [event.node_id for event in bench.events_of(NodeStarted)].count("a") == 1


def test_a_branch_ends_before_the_next_begins(bench: Any) -> None:
    bench.run(
        {
            "a1": ("Constant", {"value": 1}),
            "b1": ("Constant", {"value": 2}),
            "a2": ("Add", {"a": ["a1", 0]}),
            "b2": ("Add", {"a": ["b1", 0]}),
            "a3": ("Show", {"value": ["a2", 0]}),
            "b3": ("Show", {"value": ["b2", 0]}),
        }
    )
    assert [event.node_id for event in bench.events_of(NodeStarted)] == ["a1", "a2", "a3", "b1", "b2", "b3"]


def test_equal_prompts_run_nothing_and_announce_outputs_again(bench: Any) -> None:
    bench.run(LINE)
    events = bench.run(
        {"z": ("Show", {"value": ["y", 0]}), "y": ("Add", {"b": 3.0, "a": ["x", 0]}), "x": ("Constant", {"value": 2})}
    )
    assert bench.cached() == ("x", "y", "z")
    assert [type(event) for event in events] == [NodesCached, NodeFinished, RunSucceeded]
    assert events[1] == NodeFinished("z", "Show", "z", cached=True, ui={"text": ["5"]})


SAMPLER = {
    "model": ("Constant", {"value": 1}),
    "text": ("Constant", {"value": 2}),
    "sample": ("Collect", {"a": ["model", 0], "b": ["text", 0]}),
    "decode": ("Listed", {"values": ["sample", 0]}),
    "save": ("Show", {"value": ["decode", 0]}),
}


def with_seed(seed: int) -> dict[str, Any]:
    sample = ("Sample", {"model": ["model", 0], "text": ["text", 0], "seed": seed})
    return {**SAMPLER, "sample": sample, "decode": ("Add", {"a": ["sample", 0]})}


def test_changing_only_the_seed_runs_sampler_decoder_and_saver(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Sample")
    def sample(*, model: Anything, text: Anything, seed: int) -> Anything:
        """Stands for a sampler."""
        return model + text + seed

    bench.run(with_seed(7))
    bench.run(with_seed(8))
    assert bench.cached() == ("model", "text")
    assert bench.reasons() == {
        "sample": "seed changed from 7 to 8",
        "decode": "a changed upstream: seed changed from 7 to 8 at node sample (Sample)",
        "save": "value changed upstream: seed changed from 7 to 8 at node sample (Sample)",
    }
    bench.run(with_seed(7))
    assert bench.reasons() == {}


def test_the_first_run_says_so_and_a_dropped_result_too(bench: Any) -> None:
    bench.run(LINE)
    assert set(bench.reasons().values()) == {"it has not run before"}
    bench.cache.clear()
    bench.run(LINE)
    assert set(bench.reasons().values()) == {"it has no stored result"}


def test_two_equal_nodes_share_one_result(bench: Any) -> None:
    bench.run(
        {
            "a": ("Constant", {"value": 1}),
            "b": ("Constant", {"value": 1}),
            "c": ("Collect", {"a": ["a", 0], "b": ["b", 0]}),
            "d": ("Show", {"value": ["c", 0]}),
        }
    )
    assert [event.node_id for event in bench.events_of(NodeStarted)] == ["a", "c", "d"]
    assert bench.shown() == {"d": ["([1], [1])"]}


def test_nodes_with_an_identity_do_not_share(bench: Any) -> None:
    bench.run(
        {
            "a": ("Me", {}),
            "b": ("Me", {}),
            "c": ("Collect", {"a": ["a", 0], "b": ["b", 0]}),
            "d": ("Show", {"value": ["c", 0]}),
        }
    )
    assert bench.shown() == {"d": ["(['a'], ['b'])"]}


def test_a_class_says_itself_when_it_changed(bench: Any) -> None:
    versions = iter([1, 1, 2, float("nan"), float("nan")])
    bench.nodes["Constant"].fingerprints(lambda value: next(versions))
    ran = []
    for _ in range(5):
        bench.run(LINE)
        ran.append("a" in bench.reasons())
    assert ran == [True, False, True, True, True]


def test_a_failing_fingerprint_makes_the_node_run(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench.nodes["Constant"].fingerprints(lambda value: 1 / 0)
    bench.run(LINE)
    bench.run(LINE)
    assert "a" in bench.reasons()
    assert "division by zero" in caplog.text


def test_a_fingerprint_gets_constants_and_none_for_links(bench: Any) -> None:
    seen = []
    bench.nodes["Add"].fingerprints(lambda **inputs: seen.append(inputs))
    bench.run(LINE)
    assert seen == [{"a": None, "b": 3}]


def test_without_a_cache_everything_runs_again(bench: Any) -> None:
    bench.cache = Cache(max_entries=0)
    bench.run(LINE)
    bench.run(LINE)
    assert bench.cached() == ()
    assert bench.shown() == {"c": ["5"]}
    assert set(bench.reasons()) == {"a", "b", "c"}


def test_a_result_that_leaves_the_cache_in_mid_run_is_still_there_for_its_reader(bench: Any) -> None:
    bench.cache = Cache(max_bytes=1, size_of=lambda entry: 1)
    nodes = {"a": ("Constant", {"value": 1}), "b": ("Constant", {"value": 2}), "c": ("Constant", {"value": 3})}
    join = {"j": ("Collect", {"a": ["a", 0], "b": ["b", 0]}), "k": ("Collect", {"a": ["j", 0], "b": ["c", 0]})}
    for _ in range(3):
        bench.run({**nodes, **join, "o": ("Show", {"value": ["k", 0]})})
        assert bench.shown() == {"o": ["([([1], [2])], [3])"]}


class Heavy:
    """A value whose end can be seen."""


def test_values_go_when_their_last_reader_has_run(bench: Any, declare: Callable[..., Any]) -> None:
    alive: list[weakref.ref[Heavy]] = []
    counts: list[int] = []

    @declare("Make")
    def make(*, after: Anything = None) -> Anything:
        """Makes a heavy value."""
        gc.collect()
        counts.append(sum(ref() is not None for ref in alive))
        value = Heavy()
        alive.append(weakref.ref(value))
        return value

    bench.cache = Cache(max_entries=0)
    nodes: dict[str, Any] = {"n0": ("Make", {})}
    nodes |= {f"n{i}": ("Make", {"after": [f"n{i - 1}", 0]}) for i in range(1, 6)}
    bench.run({**nodes, "o": ("Show", {"value": ["n5", 0]})})
    assert max(counts) == 1
    gc.collect()
    assert all(ref() is None for ref in alive)


def test_lists_map_over_calls(bench: Any) -> None:
    bench.run(
        {
            "l": ("Listed", {"values": {"__value__": [1, 2, 3]}}),
            "b": ("Add", {"a": ["l", 0], "b": 10}),
            "c": ("Show", {"value": ["b", 0]}),
        }
    )
    assert bench.shown() == {"c": ["11", "12", "13"]}


def test_sites_count_the_calls_of_a_node(bench: Any) -> None:
    bench.run(
        {
            "l": ("Listed", {"values": {"__value__": [1, 2]}}),
            "s": ("Site", {"value": ["l", 0]}),
            "c": ("Show", {"value": ["s", 0]}),
        }
    )
    assert bench.shown() == {"c": [str(CallSite("s", "Site", "s", "s", 0)), str(CallSite("s", "Site", "s", "s", 1))]}


def test_an_empty_list_beside_others_is_an_error_with_a_remedy(bench: Any) -> None:
    bench.run(
        {
            "l": ("Listed", {"values": {"__value__": []}}),
            "b": ("Add", {"a": ["l", 0], "b": 1}),
            "c": ("Show", {"value": ["b", 0]}),
        }
    )
    (failed,) = bench.events_of(RunFailed)
    assert failed.node_id == "b"
    assert "Input a received an empty list" in failed.message
    assert failed.remedy


def test_hidden_inputs(bench: Any, declare: Callable[..., Any]) -> None:
    got: list[Any] = []

    @declare("Keep", output_node=True)
    def keep(*, value: Anything) -> None:
        """Keeps what it is given."""
        got.append(value)

    bench.extra = RunExtras(extra_pnginfo={"workflow": 1}, secrets={"API_KEY_COMFY_ORG": "key"})
    bench.run({"h": ("Hidden", {}), "k": ("Keep", {"value": ["h", 0]})})
    ((graph, info, dynamic, token, nothing),) = got
    assert graph["k"] == {"class_type": "Keep", "inputs": {"value": ["h", 0]}}
    assert (info, token, nothing) == ({"workflow": 1}, "key", None)
    assert dynamic.has_node("h") and dynamic.get_real_node_id("h") == "h"


def test_a_raw_link_is_given_as_it_is(bench: Any) -> None:
    bench.run({"a": ("Constant", {"value": 1}), "r": ("Raw", {"link": ["a", 0]}), "c": ("Show", {"value": ["r", 0]})})
    assert bench.shown() == {"c": ["['a', 0]"]}


# Failures


def test_a_failure_stops_the_run_and_says_what_happened(bench: Any) -> None:
    bench.run({"a": ("Constant", {"value": 7}), "f": ("Fail", {"value": ["a", 0]}), "c": ("Show", {"value": ["f", 0]})})
    failed = bench.events[-1]
    assert isinstance(failed, RunFailed)
    assert (failed.node_id, failed.class_type, failed.message) == ("f", "Fail", "toy failure")
    assert failed.exception_type == "ValueError"
    assert failed.current_inputs == {"value": [7]}
    assert failed.executed == ("a",)
    assert any("raise ValueError" in line for line in failed.traceback)


def test_a_corrected_prompt_goes_on_where_the_failed_one_stopped(bench: Any) -> None:
    bench.run({"a": ("Constant", {"value": 7}), "f": ("Fail", {"value": ["a", 0]}), "c": ("Show", {"value": ["f", 0]})})
    bench.run({"a": ("Constant", {"value": 7}), "f": ("Add", {"a": ["a", 0]}), "c": ("Show", {"value": ["f", 0]})})
    assert bench.cached() == ("a",)
    assert bench.shown() == {"c": ["7"]}


@pytest.mark.parametrize(
    ("error", "message", "remedy"),
    [
        (OutOfMemory("too big", remedy="shrink it"), "too big", "shrink it"),
        (MemoryError("no room"), "no room", "There was not enough memory"),
        (KeyError(), "KeyError", ""),
    ],
)
def test_errors_carry_their_way_out(
    bench: Any, declare: Callable[..., Any], error: Exception, message: str, remedy: str
) -> None:
    @declare("Raise", output_node=True)
    def failing() -> None:
        """Fails."""
        raise error

    bench.run({"r": ("Raise", {})})
    (failed,) = bench.events_of(RunFailed)
    assert failed.message == message
    assert failed.remedy.startswith(remedy)
    assert bool(failed.remedy) == bool(remedy)


def test_hidden_inputs_are_not_told(bench: Any, declare: Callable[..., Any]) -> None:
    bench.nodes["Me"].body = lambda value, who: 1 / 0
    bench.run({"m": ("Me", {"value": 3}), "c": ("Show", {"value": ["m", 0]})})
    assert bench.events[-1].current_inputs == {"value": [3]}


def test_a_class_that_is_gone_is_told_before_anything_runs(bench: Any) -> None:
    del bench.nodes["Add"]
    bench.run(LINE, outputs=["c"])
    (failed,) = bench.events
    assert isinstance(failed, RunFailed)
    assert (failed.node_id, failed.class_type) == ("b", "Add")
    assert "there is no such node" in failed.message


def test_a_validator_of_the_class_is_asked_before_anything_runs(bench: Any) -> None:
    bench.nodes["Add"].validates(lambda b: "too much" if b > 2 else None)
    bench.run(LINE)
    (failed,) = bench.events
    assert isinstance(failed, RunFailed)
    assert failed.node_id == "b"
    assert failed.message == "Custom validation failed for node: b - too much"
    assert (failed.input_name, bool(failed.remedy)) == ("b", True)


# Interrupts


def test_an_interrupt_stops_before_the_next_call(bench: Any) -> None:
    steps: list[Event] = []
    prompt = parse_prompt({i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in LINE.items()})
    for event in run(prompt, ["c"], bench.nodes, bench.cache, bench.context, lambda: len(steps) >= 3):
        steps.append(event)
    assert steps[-1] == RunInterrupted("b", "Add", ("a",))
    assert [type(event) for event in steps].count(NodeStarted) == 1


def test_a_node_may_notice_the_interrupt_itself(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Cancel", output_node=True)
    def cancel() -> None:
        """Is interrupted while it works."""
        raise Cancelled("stop")

    bench.run({"x": ("Cancel", {})})
    assert bench.events[-1] == RunInterrupted("x", "Cancel", ())


def test_closing_the_generator_stops_the_run(bench: Any) -> None:
    prompt = parse_prompt({i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in LINE.items()})
    events = run(prompt, ["c"], bench.nodes, bench.cache, bench.context, lambda: False)
    assert isinstance(events, Iterator)
    assert isinstance(next(events), NodesCached)
    events.close()  # type: ignore[attr-defined]
    assert bench.called == []


# Blockers


def test_a_blocked_node_does_not_run_and_the_first_reader_is_told(bench: Any) -> None:
    bench.run(
        {
            "x": ("Block", {"message": "not today"}),
            "b": ("Add", {"a": ["x", 0]}),
            "c": ("Show", {"value": ["b", 0]}),
            "d": ("Show", {"value": 5}),
        }
    )
    assert bench.events_of(NodeBlocked) == [NodeBlocked("b", "Add", "not today")]
    assert bench.shown() == {"d": ["5"]}
    assert {event.node_id for event in bench.events_of(NodeStarted)} == {"x", "d"}
    assert isinstance(bench.events[-1], RunSucceeded)


def test_a_silent_blocker_is_not_told(bench: Any) -> None:
    bench.run({"x": ("Block", {}), "c": ("Show", {"value": ["x", 0]})})
    assert bench.events_of(NodeBlocked) == []
    assert bench.shown() == {}


def test_a_blocked_reader_is_told_again_in_the_next_run(bench: Any) -> None:
    nodes = {"x": ("Block", {"message": "not today"}), "c": ("Show", {"value": ["x", 0]})}
    bench.run(nodes)
    bench.run(nodes)
    assert bench.cached() == ("x",)
    assert len(bench.events_of(NodeBlocked)) == 1


def test_only_the_blocked_call_of_a_list_is_left_out(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Some")
    def some(*, values: Anything) -> Annotated[Any, Port("*", is_list=True)]:
        """Blocks the even ones."""
        return [value if value % 2 else Blocker() for value in values]

    bench.run(
        {
            "s": ("Some", {"values": {"__value__": [1, 2, 3]}}),
            "b": ("Add", {"a": ["s", 0]}),
            "c": ("Show", {"value": ["b", 0]}),
        }
    )
    assert bench.shown() == {"c": ["1", "3"]}


def test_whole_lists_are_blocked_by_one_of_their_values(bench: Any) -> None:
    bench.run({"x": ("Block", {}), "k": ("Collect", {"a": ["x", 0]}), "c": ("Show", {"value": ["k", 0]})})
    assert bench.shown() == {}


# Lazy inputs


@pytest.mark.parametrize(("which", "ran"), [("a", {"a"}), ("b", {"b"}), ("ab", {"a", "b"}), ("", set())])
def test_lazy_inputs_are_evaluated_when_asked_for(bench: Any, which: str, ran: set[str]) -> None:
    bench.run(
        {
            "a": ("Constant", {"value": 1}),
            "b": ("Constant", {"value": 2}),
            "p": ("Pick", {"which": which, "a": ["a", 0], "b": ["b", 0]}),
            "c": ("Show", {"value": ["p", 0]}),
        }
    )
    assert {event.node_id for event in bench.events_of(NodeStarted)} == {*ran, "p", "c"}
    value = [which, 1 if "a" in which else None, 2 if "b" in which else None]
    assert bench.shown() == {"c": [str(value)]}


def test_a_lazy_branch_that_fails_is_never_run(bench: Any) -> None:
    bench.run(
        {"f": ("Fail", {}), "p": ("Pick", {"which": "a", "a": 1, "b": ["f", 0]}), "c": ("Show", {"value": ["p", 0]})}
    )
    assert isinstance(bench.events[-1], RunSucceeded)


def test_a_lazy_input_that_another_node_needs_is_there_anyway(bench: Any) -> None:
    bench.run(
        {
            "a": ("Constant", {"value": 1}),
            "first": ("Show", {"value": ["a", 0]}),
            "p": ("Pick", {"which": "", "a": ["a", 0]}),
            "c": ("Show", {"value": ["p", 0], "other": ["first", 0]}),
        }
    )
    assert bench.shown()["c"] == ["['', 1, None]"]


def test_asking_for_an_input_that_is_not_set_fails_with_a_remedy(bench: Any) -> None:
    bench.run(
        {
            "a": ("Constant", {"value": 1}),
            "p": ("Pick", {"which": "b", "a": ["a", 0]}),
            "c": ("Show", {"value": ["p", 0]}),
        }
    )
    (failed,) = bench.events_of(RunFailed)
    assert "needs its input b, which is not set" in failed.message
    assert failed.node_id == "p"


def test_a_lazy_chain_runs_below_the_one_that_asked(bench: Any) -> None:
    bench.run(
        {
            "a": ("Constant", {"value": 1}),
            "b": ("Add", {"a": ["a", 0], "b": 1}),
            "p": ("Pick", {"which": "a", "a": ["b", 0]}),
            "q": ("Pick", {"which": "b", "b": ["p", 0]}),
            "c": ("Show", {"value": ["q", 0]}),
        }
    )
    assert bench.shown() == {"c": [str(["b", None, ["a", 2, None]])]}


# Time and memory


def test_finished_nodes_carry_time_and_peak(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Slow", output_node=True)
    def slow() -> None:
        """Takes a moment."""
        time.sleep(0.02)

    bench.extra = RunExtras(meter=lambda: lambda: 1234)
    bench.run({"s": ("Slow", {})})
    (finished,) = bench.events_of(NodeFinished)
    assert finished.seconds >= 0.02
    assert finished.peak_bytes == 1234


def test_fifty_thousand_nodes_in_a_row_take_seconds(bench: Any) -> None:
    size = 50_000
    nodes: dict[str, Any] = {"n0": ("Constant", {"value": 0})}
    nodes |= {f"n{i}": ("Add", {"a": [f"n{i - 1}", 0], "b": 1}) for i in range(1, size)}
    nodes["o"] = ("Show", {"value": [f"n{size - 1}", 0]})
    began = time.perf_counter()
    bench.run(nodes)
    assert bench.shown() == {"o": [str(size - 1)]}
    bench.run(nodes)
    assert bench.called == []
    assert time.perf_counter() - began < 60


def test_a_cache_that_is_cleared_in_mid_run_loses_nothing_that_is_needed(
    bench: Any, declare: Callable[..., Any]
) -> None:
    @declare("Free")
    def free(*, value: Anything) -> Anything:
        """Clears the cache, as a user may at any time."""
        bench.cache.clear()
        return value

    nodes = {
        "a": ("Constant", {"value": 1}),
        "f": ("Free", {"value": 5}),
        "k": ("Collect", {"a": ["f", 0], "b": ["a", 0]}),
        "c": ("Show", {"value": ["k", 0]}),
    }
    bench.run({"a": nodes["a"], "c": ("Show", {"value": ["a", 0]})})
    bench.run(nodes)
    assert bench.called == ["f", "k", "c"]
    assert bench.shown() == {"c": ["([5], [1])"]}
