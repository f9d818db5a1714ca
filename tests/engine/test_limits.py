"""What comes over links is held against what our own classes declare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest

from app.engine.events import NodeBlocked, RunFailed, RunSucceeded
from app.errors import InvalidPrompt
from app.graph.declaration import FileIn, FunctionNode, Lazy, Options, Port, Range, node
from app.graph.prompt import parse_prompt
from app.graph.returned import Returned
from app.graph.validate import validate

Anything = Annotated[Any, Port("*")]


class Scalar:
    """A number of another library, such as a tensor without dimensions."""

    shape = ()

    def __init__(self, value: int):
        self.value = value

    def __int__(self) -> int:
        return self.value


@node("Sized", category="toy", id="Sized", output_node=True)
def sized(
    *,
    width: Annotated[int, Range(16, 16384, step=8)] = 512,
    strength: Annotated[float, Range(0.0, 1.0)] = 1.0,
    text: str = "",
    mode: Literal["fast", "good"] = "fast",
    flag: bool = False,
    file: Annotated[str, FileIn("checkpoints")] = "",
    seed: int | None = None,
) -> Annotated[Returned, Port("*")]:
    """Shows what it was called with."""
    return Returned((width,), {"text": [(width, strength, text, mode, flag, file, seed)]})


@pytest.fixture
def table(bench: Any) -> Any:
    bench.add(FunctionNode(sized.body, sized.spec, sized._ports))
    return bench


def over_a_link(bench: Any, name: str, value: Any, **more: Any) -> Any:
    """The last event of a run in which the input is linked to a node that gives the value."""
    bench.nodes["Constant"].body = lambda value=None: value
    constant = {"value": {"__value__": value} if isinstance(value, list) else value}
    prompt = {"c": ("Constant", constant), "s": ("Sized", {name: ["c", 0], **more})}
    return bench.run(prompt)[-1]


def given(bench: Any, name: str, value: Any) -> Any:
    """What the body is given for the input."""
    assert isinstance(over_a_link(bench, name, value), RunSucceeded), bench.events[-1]
    names = ("width", "strength", "text", "mode", "flag", "file", "seed")
    return bench.shown()["s"][0][names.index(name)]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("width", 0, "Value 0 smaller than min of 16: width"),
        ("width", -8, "Value -8 smaller than min of 16: width"),
        ("width", 10**9, "Value 1000000000 bigger than max of 16384: width"),
        ("width", "wide", "Failed to convert an input value to a INT value: width, wide, "),
        ("strength", 7.0, "Value 7.0 bigger than max of 1.0: strength"),
        ("strength", float("nan"), "Failed to convert an input value to a FLOAT value: strength, nan, not a number"),
        ("strength", float("inf"), "Value inf bigger than max of 1.0: strength"),
        ("strength", 10**400, "Failed to convert an input value to a FLOAT value: strength, 1000"),
        ("mode", "slow", "Value not in list: mode: 'slow' not in ['fast', 'good']"),
    ],
)
def test_a_value_is_refused_in_the_words_for_literals(table: Any, name: str, value: Any, said: str) -> None:
    failed = over_a_link(table, name, value)
    assert isinstance(failed, RunFailed)
    assert (failed.node_id, failed.input_name) == ("s", name)
    assert failed.message.startswith(said)
    with pytest.raises(InvalidPrompt) as literal:
        fine = {"width": 64, "strength": 1.0, "text": "", "mode": "fast", "flag": False, "file": "a"}
        prompt = parse_prompt({"s": {"class_type": "Sized", "inputs": {**fine, name: value}}})
        validate(prompt, {"Sized": sized.spec}, {"checkpoints": ("a",)})
    assert literal.value.details == failed.message
    assert failed.remedy == f"{literal.value.remedy} The value came over the link from node c (Constant)."
    assert table.called == ["c"]


@pytest.mark.parametrize("name", ["width", "strength", "text", "flag", "mode"])
@pytest.mark.parametrize("value", [object(), {"samples": 1}, None, b"x"], ids=lambda value: type(value).__name__)
def test_what_is_no_number_text_or_choice_is_refused_by_its_type(table: Any, name: str, value: Any) -> None:
    failed = over_a_link(table, name, value)
    assert isinstance(failed, RunFailed)
    assert failed.input_name == name
    assert f"a value of type {type(value).__name__}" in failed.message
    assert name in failed.remedy


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("width", 16, 16),
        ("width", 16384, 16384),
        ("width", 20, 20),
        ("width", 64.5, 64),
        ("width", "64", 64),
        ("width", Scalar(64), 64),
        ("strength", 1, 1.0),
        ("strength", "0.5", 0.5),
        ("text", 5, "5"),
        ("flag", 1, True),
        ("mode", "good", "good"),
        ("file", "not listed", "not listed"),
        ("seed", None, None),
        ("seed", -5, -5),
    ],
)
def test_what_a_literal_may_be_is_taken_and_converted_alike(table: Any, name: str, value: Any, taken: Any) -> None:
    found = given(table, name, value)
    assert (found, type(found)) == (taken, type(taken))


def test_every_element_of_a_mapped_list_is_looked_at_before_the_first_call(table: Any) -> None:
    table.run({"l": ("Listed", {"values": {"__value__": [64, 128, 7]}}), "s": ("Sized", {"width": ["l", 0]})})
    (failed,) = table.events_of(RunFailed)
    assert failed.message == "Value 7 smaller than min of 16: width"
    assert failed.current_inputs == {"width": [64, 128, 7]}
    assert table.called == ["l"]


def test_whole_lists_are_looked_at_element_by_element(table: Any, declare: Callable[..., Any]) -> None:
    @declare("Many", output_node=True, input_is_list=True)
    def many(*, sizes: Annotated[Any, Port("INT"), Range(1, 9)]) -> Annotated[Returned, Port("*")]:
        """Shows whole lists."""
        return Returned((sizes,), {"text": [sizes]})

    table.run({"l": ("Listed", {"values": {"__value__": [1, "2", 9]}}), "m": ("Many", {"sizes": ["l", 0]})})
    assert table.shown() == {"m": [[1, 2, 9]]}
    table.run({"l": ("Listed", {"values": {"__value__": [1, 10]}}), "m": ("Many", {"sizes": ["l", 0]})})
    assert table.events[-1].message == "Value 10 bigger than max of 9: sizes"


def test_empty_lists_leave_nothing_to_look_at(table: Any) -> None:
    table.run({"l": ("Listed", {"values": {"__value__": []}}), "s": ("Sized", {"width": ["l", 0]})})
    assert isinstance(table.events[-1], RunSucceeded)
    assert table.shown()["s"][0][0] == 512


def test_classes_of_packs_are_given_what_they_are_given(table: Any) -> None:
    table.nodes["Sized"].spec = replace(sized.spec, checks_links=False)
    assert given(table, "width", 0) == 0
    assert given(table, "mode", "slow") == "slow"


def test_a_blocked_call_is_not_looked_at(table: Any) -> None:
    blocked = ("Block", {"message": "not now"})
    table.run({"c": ("Constant", {"value": 0}), "b": blocked, "s": ("Sized", {"width": ["c", 0], "text": ["b", 0]})})
    assert isinstance(table.events[-1], RunSucceeded)
    assert [event.message for event in table.events_of(NodeBlocked)] == ["not now"]


def test_links_themselves_and_inputs_that_nobody_asked_for_pass(table: Any, declare: Callable[..., Any]) -> None:
    @declare("Special", output_node=True)
    def special(
        *, late: Annotated[int, Lazy(), Range(1, 2)], raw: Annotated[int, Options(rawLink=True), Range(1, 2)]
    ) -> Annotated[Returned, Port("*")]:
        """Asks for nothing."""
        return Returned((late,), {"text": [(late, raw)]})

    @special.needs
    def _() -> list[str]:
        return []

    constants = {"c": ("Constant", {"value": 9}), "d": ("Constant", {"value": 8})}
    table.run({**constants, "s": ("Special", {"late": ["d", 0], "raw": ["c", 0]})})
    assert table.shown() == {"s": [(None, ["c", 0])]}


def expanding(inputs: Mapping[str, Any]) -> Callable[..., Returned]:
    def expand(value: Any = None) -> Returned:
        graph = {
            "in.c": {"class_type": "Constant", "inputs": {"value": value}},
            "in.s": {"class_type": "Sized", "inputs": dict(inputs)},
        }
        return Returned((["in.s", 0],), {}, graph)

    return expand


def test_a_node_inside_an_expansion_is_refused_and_the_one_that_is_seen_is_blamed(
    table: Any, declare: Callable[..., Any]
) -> None:
    outer: FunctionNode = declare("Outer")(lambda_node)
    outer.body = expanding({"width": ["in.c", 0]})
    table.run({"o": ("Outer", {"value": 7}), "x": ("Show", {"value": ["o", 0]})})
    (failed,) = table.events_of(RunFailed)
    assert (failed.node_id, failed.class_type, failed.input_name) == ("o", "Outer", None)
    assert failed.message == "Value 7 smaller than min of 16: width"


def test_choices_inside_an_expansion_are_free_as_they_are_when_it_is_made(
    table: Any, declare: Callable[..., Any]
) -> None:
    outer: FunctionNode = declare("Outer")(lambda_node)
    outer.body = expanding({"mode": ["in.c", 0]})
    table.run({"o": ("Outer", {"value": "slow"}), "x": ("Show", {"value": ["o", 0]})})
    assert isinstance(table.events[-1], RunSucceeded)


def lambda_node(*, value: Anything = None) -> Annotated[Returned, Port("*")]:
    """Stands where a test puts its own body."""
    return Returned((value,))


def test_thousands_of_linked_values_cost_little(table: Any) -> None:
    @node("Next", category="toy", id="Next")
    def following(*, value: Annotated[int, Range(0, 10**6)], mode: Literal["a", "b"] = "a") -> int:
        """Counts."""
        return value + 1

    table.add(following)
    size = 10_000
    prompt: dict[str, Any] = {"n0": ("Constant", {"value": 0})}
    prompt |= {f"n{i}": ("Next", {"value": [f"n{i - 1}", 0]}) for i in range(1, size)}
    prompt["o"] = ("Show", {"value": [f"n{size - 1}", 0]})
    began = time.perf_counter()
    table.run(prompt)
    assert table.shown() == {"o": [str(size - 1)]}
    assert time.perf_counter() - began < 20
