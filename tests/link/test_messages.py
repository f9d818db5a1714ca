"""Whatever is said arrives as it was said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.events import NodeFinished, Preview, Progress, RunFailed
from app.errors import InvalidRequest
from app.link.messages import (
    Cancel,
    Done,
    Free,
    Heartbeat,
    Hello,
    Job,
    Message,
    Ready,
    RunEvent,
    Stop,
    StoredJob,
    Welcome,
    bundle,
    decode,
    decode_event,
    encode,
    encode_event,
    unbundle,
)

MESSAGES = [
    Hello(specs=({"id": "A"},), devices=({"name": "cpu"},), versions={"torch": "2"}, name="w", process_id=3),
    Welcome("w1", 30.0),
    Ready(),
    Job("j", 2, {"1": {"class_type": "A", "inputs": {}}}, ("1",), {"extra_pnginfo": {}}, "c"),
    Done("j", 2),
    Heartbeat("j", 2, ({"vram_free": 1},)),
    Cancel("j", 2),
    Free(True, True),
    Stop(),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_round_trip(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "event",
    [
        Progress("3", 1, 20),
        NodeFinished("9", "SaveImage", "9", False, {"images": [{"staged": "x"}]}, 1.5, 10, "seed"),
        RunFailed("3", "K", "broke", "ValueError", ("a", "b"), {"x": [1]}, ("1", "2"), "try", "x"),
    ],
    ids=lambda event: event.name,
)
def test_events_round_trip(event: Progress) -> None:
    said = decode(str(encode_event("j", 4, event)))
    assert isinstance(said, RunEvent)
    assert decode_event(said) == ("j", 4, event)


def test_previews_travel_as_bytes() -> None:
    preview = Preview("3", "image/jpeg", b"\xff\xd8\x00\x01")
    frame = encode_event("j", 4, preview)
    assert isinstance(frame, bytes)
    assert frame.endswith(preview.image)
    assert decode_event(frame) == ("j", 4, preview)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"kind": "nonsense"}', '{"kind": "done"}', '{"kind": "ready", "x": 1}', "[" * 5000]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        decode(text)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0",
        b"\0\0\0\x02{}",
        b"\xff\xff\xff\xff{}",
        b"\0\0\0\x04null",
        b"\0\0\0\x1e" + b'{"job_id":"j","token":1}      ',
    ],
)
def test_broken_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_event(frame)


@given(
    st.lists(st.sampled_from([Ready(), Done("j", 1), Heartbeat("j", 2), RunEvent("j", 1, {"type": "x"})]), max_size=9)
)
def test_bundles_hold_what_was_put_in(messages: list[Message]) -> None:
    texts = list(bundle([encode(message) for message in messages]))
    assert len(texts) <= 1
    assert [message for text in texts for message in unbundle(text)] == messages


def test_bundles_are_bounded_and_foreign_ones_refused() -> None:
    large = RunEvent("j", 1, {"text": "x" * 700_000})
    texts = list(bundle([encode(large), encode(large), encode(Ready())]))
    assert [len(unbundle(text)) for text in texts] == [1, 2]
    for wrong in ("[", "[5]", '[{"kind": "nonsense"}]', "[" * 100_000, '[{"kind": "ready"}, null]'):
        with pytest.raises(InvalidRequest):
            unbundle(wrong)


def test_a_stored_job_arrives_as_a_job() -> None:
    text = '{"1": {"class_type": "A", "inputs": {"text": "\\ud800 \\""}}}'
    said = decode(encode(StoredJob("j", 3, text, ("1",), '{"a": [1]}', "c")))
    assert said == Job("j", 3, json.loads(text), ("1",), {"a": [1]}, "c")
