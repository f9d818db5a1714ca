"""JSON in and out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import InvalidPrompt, InvalidRequest, Missing, TooLarge
from app.server.replies import MAX_DEPTH, error_body, flag, parse_json, shorten, text_list, to_json, whole_number

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"a": 1}, '{"a":1}'),
        ([NAN, INF, -INF, 1.5], "[null,null,null,1.5]"),
        ({"a": ({"b": NAN},)}, '{"a":[{"b":null}]}'),
        ("\ud800", '"\\ud800"'),
    ],
)
def test_answers_are_strict_json(data: Any, text: str) -> None:
    assert to_json(data) == text
    json.loads(text)


@pytest.mark.parametrize("text", ["", "{", "tru", b"\xff", "9" * 5000, '{"a": 1,}'])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(InvalidRequest, match="not JSON"):
        parse_json(text)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_what_is_too_deep(depth: int, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    with pytest.raises(TooLarge):
        parse_json(opening * depth + "1" + closing * depth)


def test_what_is_deep_enough() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_errors_are_told_in_one_shape() -> None:
    told = error_body(Missing("No file.", remedy="Save it."))
    assert told["error"]["type"] == "missing"
    assert told["error"]["details"] == told["error"]["remedy"] == "Save it."
    assert told["node_errors"] == {}
    prompt = InvalidPrompt("m", kind="k", details="d", extra_info={"a": 1}, node_errors={"1": {}}, remedy="r")
    assert error_body(prompt) == {
        "error": {"type": "k", "message": "m", "details": "d", "extra_info": {"a": 1}, "remedy": "r"},
        "node_errors": {"1": {}},
    }


def test_fields() -> None:
    assert text_list({}, "a") is None
    assert text_list({"a": ["x"]}, "a") == ["x"]
    assert (flag({}, "a"), flag({"a": None}, "a"), flag({"a": True}, "a")) == (False, False, True)
    for value in ("x", [1], {"b": 1}, 5):
        with pytest.raises(InvalidRequest):
            text_list({"a": value}, "a")
    for value in ("true", 1, [True]):
        with pytest.raises(InvalidRequest):
            flag({"a": value}, "a")


def test_numbers_in_queries() -> None:
    assert whole_number(None, "n", 5) == 5
    assert whole_number("", "n", None) is None
    assert whole_number("-12", "n", None) == -12
    for text in ("1.5", "x", "--1", "٣", "1e3", "9" * 20, " 1"):
        with pytest.raises(InvalidRequest):
            whole_number(text, "n", None)
    with pytest.raises(InvalidRequest):
        whole_number("-1", "n", None, lowest=0)


def test_values_in_messages_are_short() -> None:
    assert shorten({"a": 1}) == "a dict"
    assert len(shorten("x" * 1000)) <= 60
    assert shorten(None) == "None"
