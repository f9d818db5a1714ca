from __future__ import annotations

import json

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
    event_from_json,
    event_to_json,
)

EVENTS = [
    NodesCached(("1", "2")),
    NodeStarted("1", "A", "1"),
    Progress("1", 3, 20),
    NodeFinished("1", "A", "1", False, {"images": [{"filename": "a.png"}]}, 0.5, 1024, "seed changed"),
    NodeBlocked("1", "A", "no"),
    RunSucceeded(),
    RunFailed("1", "A", "broke", "ValueError", ("line",), {"x": [1]}, ("0",), "mend it", "x"),
    RunFailed("1", "A", "broke", "ValueError", ()),
    RunInterrupted("1", "A", ("0",)),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_events_travel_as_json(event: Event) -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


def test_a_preview_travels_beside_its_bytes() -> None:
    event = Preview("1", "image/jpeg", b"\xff\xd8")
    data = event_to_json(event)
    assert "image" not in data
    assert event_from_json(json.loads(json.dumps(data)), b"\xff\xd8") == event


def test_an_unknown_event_is_an_error() -> None:
    with pytest.raises(KeyError):
        event_from_json({"event": "unheard_of"})
