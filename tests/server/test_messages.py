"""What clients are really told is what the types say; the editor's types are made from these."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

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
from app.errors import InvalidPrompt, Missing
from app.graph.prompt import parse_prompt
from app.graph.spec import InputSpec, NodeSpec, object_info
from app.graph.validate import validate
from app.server.messages import ErrorBody, Messages, NodeInfo, PreviewMetadata
from app.server.replies import error_body
from app.server.wire import Picture, RunTranslator, Said
from tests.graph.classes import node_specs
from tests.server.conforms import faults

STARTED = NodeStarted("3", "KSampler", "3")
RUNS: list[tuple[Event, ...]] = [
    (NodesCached(("4",)), STARTED, Progress("3", 1, 2), NodeFinished("3", "KSampler", "3", False), RunSucceeded()),
    (NodeFinished("9", "SaveImage", "9", False, ui={"images": [{"filename": "a.png"}]}), RunSucceeded()),
    (NodeFinished("9", "SaveImage", "9", True), RunSucceeded()),
    (NodeBlocked("9", "SaveImage", "no picture"), RunSucceeded()),
    (STARTED, RunFailed("3", "KSampler", "too big", "MemoryError", ("line 1",), {"steps": [20]}, ("4",), "smaller")),
    (STARTED, RunInterrupted("3", "KSampler", ("4",))),
]


def told(events: tuple[Event, ...]) -> list[Said | Picture]:
    made = RunTranslator("p", frozenset({"9"}), lambda: ("3", "9"), lambda: 1000.0)
    return [*made.begin(), *(said for event in events for said in made.translate(event))]


def as_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


@pytest.mark.parametrize("events", RUNS, ids=lambda events: type(events[-1]).__name__)
def test_messages_of_a_run(events: tuple[Event, ...]) -> None:
    hints = get_type_hints(Messages)
    for said in told(events):
        assert isinstance(said, Said)
        assert faults(as_json(said.data), hints[said.type], said.type) == []


def test_all_messages_of_a_run_are_seen_above() -> None:
    seen = {said.type for events in RUNS for said in told(events) if isinstance(said, Said)}
    of_others = {"status", "feature_flags", "job_requeued", "nodes_changed", "logs"}
    assert seen == set(get_type_hints(Messages)) - of_others


def test_a_preview() -> None:
    (picture,) = [said for said in told((Preview("3", "image/jpeg", b"x"),)) if isinstance(said, Picture)]
    assert faults(as_json(picture.metadata), PreviewMetadata) == []


def test_node_classes() -> None:
    hidden = NodeSpec("H", (InputSpec("a", ("x", "y")),), hidden={"prompt": "PROMPT"})
    for spec in (*node_specs().values(), hidden):
        assert faults(as_json(object_info(spec, {})), NodeInfo, spec.id) == []


def test_refusals() -> None:
    with pytest.raises(InvalidPrompt) as refused:
        validate(parse_prompt({"9": {"class_type": "SaveImage", "inputs": {"images": 5}}}), node_specs(), {})
    assert refused.value.node_errors
    for error in (refused.value, Missing("Gone.", remedy="Look elsewhere.")):
        assert faults(as_json(error_body(error)), ErrorBody) == []


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"prompt_id": 5, "node": None}, ".prompt_id is 5"),
        ({"node": None}, "lacks prompt_id"),
        ({"prompt_id": "p", "node": True}, ".node is True"),
        ([], "no object"),
    ],
)
def test_a_wrong_message_is_found_out(value: Any, fault: str) -> None:
    (found,) = faults(value, get_type_hints(Messages)["executing"])
    assert fault in found
