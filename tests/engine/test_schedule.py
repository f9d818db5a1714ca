from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.engine.schedule import Schedule


def drained(schedule: Schedule) -> list[str]:
    order = []
    while (node_id := schedule.pop()) is not None:
        order.append(node_id)
        schedule.finish(node_id)
    return order


def test_parents_come_first() -> None:
    schedule = Schedule()
    schedule.add("a", [])
    schedule.add("b", ["a"])
    schedule.add("c", ["a", "b"])
    assert drained(schedule) == ["a", "b", "c"]
    assert len(schedule) == 0


def test_what_is_not_scheduled_is_not_waited_for() -> None:
    schedule = Schedule()
    schedule.add("b", ["finished", "b2", "finished"])
    assert schedule.pop() == "b"


def test_outputs_go_first_among_ready_ones_and_else_the_oldest() -> None:
    schedule = Schedule()
    schedule.add("a", [])
    schedule.add("b", [])
    schedule.add("out", [], first=True)
    assert drained(schedule) == ["out", "a", "b"]


def test_a_node_may_find_that_it_needs_more() -> None:
    schedule = Schedule()
    schedule.add("a", [])
    assert schedule.pop() == "a"
    schedule.add("b", [])
    schedule.wait_for("a", ["b", "b"])
    assert schedule.pop() == "b"
    assert schedule.pop() is None
    schedule.finish("b")
    assert schedule.pop() == "a"


def test_waiting_for_nothing_makes_ready_again() -> None:
    schedule = Schedule()
    schedule.add("a", [])
    schedule.pop()
    schedule.wait_for("a", [])
    assert schedule.pop() == "a"


def test_a_circle_is_never_ready() -> None:
    schedule = Schedule()
    schedule.add("a", [])
    schedule.pop()
    schedule.add("b", ["a"])
    schedule.wait_for("a", ["b"])
    assert schedule.pop() is None
    assert set(schedule.unfinished) == {"a", "b"}
    assert "a" in schedule and "c" not in schedule


@given(st.lists(st.sets(st.integers(0, 19), max_size=5), min_size=1, max_size=20))
def test_every_node_runs_once_and_after_its_parents(parents: list[set[int]]) -> None:
    schedule = Schedule()
    below = {str(i): [str(p) for p in sorted(given_parents) if p < i] for i, given_parents in enumerate(parents)}
    for node_id, needed in below.items():
        schedule.add(node_id, needed)
    order = drained(schedule)
    assert sorted(order) == sorted(below)
    assert all(order.index(parent) < order.index(node_id) for node_id, needed in below.items() for parent in needed)
