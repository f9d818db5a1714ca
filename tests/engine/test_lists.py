from __future__ import annotations

from typing import Any

import pytest

from app.engine.lists import blocker_in, calls, expansion_links, merged_ui, slots
from app.engine.node import Absent, Blocker, Returned
from app.errors import InvalidRequest
from app.graph.prompt import Link
from app.graph.spec import NodeSpec, OutputSpec

PLAIN = NodeSpec("A", outputs=(OutputSpec("x", "*"), OutputSpec("y", "*", is_list=True)))
WHOLE = NodeSpec("A", input_is_list=True)


def no_reads(node_id: str, slot: int) -> list[Any]:
    raise AssertionError("nothing links here")


def test_the_worked_example() -> None:
    assert calls({"a": ["x", "y", "z"], "b": ["p", "q"]}, PLAIN) == [
        {"a": "x", "b": "p"},
        {"a": "y", "b": "q"},
        {"a": "z", "b": "q"},
    ]


def test_whole_lists_are_one_call() -> None:
    assert calls({"a": [1, 2], "b": [3]}, WHOLE) == [{"a": [1, 2], "b": [3]}]


@pytest.mark.parametrize("inputs", [{}, {"a": []}, {"a": [], "b": []}])
def test_without_values_there_is_one_call_without_arguments(inputs: dict[str, Any]) -> None:
    assert calls(inputs, PLAIN) == [{}]


def test_one_empty_list_among_others_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match="Input b received an empty list") as error:
        calls({"a": [1], "b": []}, PLAIN)
    assert error.value.input_name == "b"


def test_blockers_are_found_in_values_and_in_whole_lists() -> None:
    stop = Blocker("stop")
    assert blocker_in({"a": 1, "b": stop}, PLAIN) is stop
    assert blocker_in({"a": [stop]}, PLAIN) is None
    assert blocker_in({"a": [1, stop]}, WHOLE) is stop
    assert blocker_in({}, PLAIN) is None


def test_results_are_gathered_by_slot() -> None:
    results = [Returned((1, [2, 3])), Returned((4, [5]))]
    assert slots(results, PLAIN, no_reads) == ([1, 4], [2, 3, 5])


def test_missing_values_are_marked_and_blockers_join_lists_as_one() -> None:
    stop = Blocker()
    assert slots([Returned(), Returned((stop, stop))], PLAIN, no_reads) == ([Absent(), stop], [Absent(), stop])


def test_links_are_read_only_where_a_graph_came_with_them() -> None:
    linked = Returned((["n", 0], Link("n", 1)), {}, {"n": {}})
    assert slots([linked], PLAIN, lambda node_id, slot: [node_id, slot]) == (["n", 0], ["n", 1])
    plain = Returned((["n", 0], ["n", 1]))
    assert slots([plain], PLAIN, no_reads) == ([["n", 0]], ["n", 1])
    assert expansion_links([linked, plain]) == ["n"]


def test_shown_things_join_under_the_keys_of_the_first() -> None:
    results = [Returned(), Returned((), {"images": [1], "text": ["a"]}), Returned((), {"images": [2], "other": [3]})]
    assert merged_ui(results) == {"images": [1, 2], "text": ["a"]}
    assert merged_ui([Returned()]) is None
