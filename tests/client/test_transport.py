"""Forms and messages as bytes."""

from __future__ import annotations

import struct

from app.client.client import heard
from app.client.transport import form
from app.client.values import Event, JobFailed, NodeText, Preview, Refused, files_of


def test_a_form_holds_fields_and_a_file() -> None:
    body, kind = form({"type": "input"}, 'a "b"\r\n.png', b"\0\1")
    boundary = kind.partition("boundary=")[2]
    assert body.startswith(f"--{boundary}\r\n".encode())
    assert body.endswith(f"\r\n--{boundary}--\r\n".encode())
    assert b'filename="a \\"b\\".png"' in body
    assert b'name="type"\r\n\r\ninput\r\n' in body


def test_frames_are_told_apart() -> None:
    assert heard('{"type": "status", "data": {"a": 1}}') == Event("status", {"a": 1})
    assert heard(struct.pack(">II", 1, 2) + b"png") == Preview(b"png", "image/png", {})
    about = b'{"image_type": "image/jpeg", "node_id": "3"}'
    told = heard(struct.pack(">II", 4, len(about)) + about + b"jpeg")
    assert told == Preview(b"jpeg", "image/jpeg", {"image_type": "image/jpeg", "node_id": "3"})
    assert heard(struct.pack(">II", 3, 1) + b"7text") == NodeText("7", "text")
    assert heard(struct.pack(">II", 1000, 1) + b"of a pack") is None
    assert heard(b"\x00\x00\x00\x01") is None


def test_files_among_outputs() -> None:
    outputs = {"1": {"images": [{"filename": "a.png", "subfolder": "b", "type": "temp"}], "text": ["x"], "n": 3}}
    assert [file.value for file in files_of(outputs)] == ["b/a.png [temp]"]


def test_errors_say_what_is_known() -> None:
    assert str(Refused(502, {})) == "502: The server refused."
    assert "cancelled" in str(JobFailed({"id": "j", "status": "cancelled", "execution_error": None}))
