from __future__ import annotations

from typing import Any

from app.engine.validators import custom_complaints
from app.graph.prompt import parse_prompt


def asked(bench: Any, **inputs: Any) -> Any:
    data = {
        "a": {"class_type": "Constant", "inputs": {"value": 1}},
        "n": {"class_type": "Add", "inputs": inputs},
    }
    return custom_complaints(parse_prompt(data), ["a", "n"], bench.nodes)


def test_classes_without_a_validator_are_not_asked(bench: Any) -> None:
    assert asked(bench, a=1) == {}


def test_a_validator_gets_constants_none_for_links_and_received_types(bench: Any) -> None:
    seen: list[Any] = []

    @bench.nodes["Add"].validates
    def _(a: Any, b: Any, input_types: Any) -> None:
        seen.append((a, b, dict(input_types)))

    assert asked(bench, a=["a", 0], b=5) == {}
    assert seen == [(None, 5, {"a": "*"})]


def test_a_complaint_is_told_at_each_input_that_the_validator_takes(bench: Any) -> None:
    bench.nodes["Add"].validates(lambda a, b: "they differ")
    found = asked(bench, a=1, b=2)["n"]
    assert [each.type for each in found] == ["custom_validation_failed"] * 2
    assert [each.details for each in found] == ["a - they differ", "b - they differ"]
    assert found[0].extra_info["input_name"] == "a"


def test_an_empty_complaint_names_only_the_input(bench: Any) -> None:
    bench.nodes["Add"].validates(lambda b: "")
    assert [each.details for each in asked(bench, a=1, b=2)["n"]] == ["b"]


def test_a_validator_that_fails_is_a_complaint(bench: Any) -> None:
    bench.nodes["Add"].validates(lambda a: 1 / 0)
    (found,) = asked(bench, a=1)["n"]
    assert found.type == "exception_during_validation"
    assert found.extra_info["exception_type"] == "ZeroDivisionError"
    assert found.extra_info["remedy"]


def test_one_that_judges_types_alone_complains_of_a_link(bench: Any) -> None:
    bench.nodes["Add"].validates(lambda input_types: "not these")
    assert [each.details for each in asked(bench, b=1, a=["a", 0])["n"]] == ["a - not these"]


def test_one_that_was_given_nothing_is_not_heeded(bench: Any) -> None:
    bench.nodes["Add"].validates(lambda: "never")
    assert asked(bench, a=1) == {}
    bench.nodes["Add"].validates(lambda b=None: "never")
    assert asked(bench, a=1) == {}
