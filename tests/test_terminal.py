from __future__ import annotations

import io
from dataclasses import replace

import pytest

from app.engine.events import Event, NodeFinished, NodeStarted, Progress, RunFailed, RunInterrupted
from app.errors import InvalidPrompt, Missing
from app.terminal import RunReport, error_text, failure_text


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


FAILED = RunFailed(
    "3",
    "KSampler",
    "It broke.",
    "ValueError",
    (),
    current_inputs={"seed": [7], "text": ["a", "b"]},
    remedy="Mend it.",
)


def told(*events: Event, stream: io.StringIO | None = None, quiet: bool = False) -> str:
    stream = stream or io.StringIO()
    report = RunReport(stream, quiet)
    for event in events:
        report.hear(event)
    return stream.getvalue()


def test_nodes_are_told_with_their_time() -> None:
    assert told(NodeFinished("3", "KSampler", "3", cached=False, seconds=1.5)) == "KSampler 1.50 s\n"
    assert told(NodeFinished("3", "KSampler", "3", cached=True)) == ""


def test_the_bar_is_for_terminals_only() -> None:
    events = (NodeStarted("3", "KSampler", "3"), Progress("3", 5, 10))
    assert told(*events) == ""
    assert told(*events, stream=Screen()) == "\rKSampler " + "█" * 12 + "·" * 12 + " 5/10"


def test_the_bar_is_not_drawn_too_often_but_always_at_the_end() -> None:
    text = told(*(Progress("3", value, 100) for value in range(1, 101)), stream=Screen())
    assert text.count("\r") <= 4
    assert text.endswith("100/100")


def test_the_bar_makes_room_for_lines() -> None:
    text = told(Progress("3", 1, 1), NodeFinished("3", "A", "3", cached=False), stream=Screen())
    assert text.endswith("\r\x1b[2KA 0.00 s\n")


def test_quiet_tells_failures_only() -> None:
    events = (Progress("3", 1, 1), NodeFinished("3", "A", "3", cached=False), RunInterrupted("3", "A"))
    assert told(*events, stream=Screen(), quiet=True) == ""
    assert "It broke." in told(FAILED, quiet=True)


def test_a_failure_names_node_value_and_way_out() -> None:
    assert failure_text(FAILED) == "Node 3 (KSampler): It broke.\nMend it.\nIt was given seed=7."
    assert failure_text(replace(FAILED, input_name="seed")).startswith("Node 3 (KSampler), input seed: It broke.")
    assert failure_text(RunFailed("", "", "No.", "X", ())) == "No."


def test_an_error_is_told_with_its_remedy() -> None:
    assert error_text(Missing("Gone.", remedy="Look again.")) == "Gone. Look again."


@pytest.mark.parametrize("details", ["steps", ""])
def test_every_complaint_of_a_graph_is_told(details: str) -> None:
    complaint = {"message": "Too small", "details": details, "extra_info": {"remedy": "Use 1."}}
    errors = {"3": {"class_type": "KSampler", "errors": [complaint, complaint]}}
    text = error_text(InvalidPrompt("Cannot run.", node_errors=errors))
    line = f"Node 3 (KSampler): Too small{': steps' if details else ''}. Use 1."
    assert text == f"Cannot run.\n{line}\n{line}"
