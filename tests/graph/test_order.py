from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.graph.order import MAX_CYCLES, ancestors, parents_of, topological
from app.graph.prompt import Prompt, parse_prompt


def graph(**parents: list[str]) -> Prompt:
    return parse_prompt(
        {
            node: {"class_type": "A", "inputs": {f"i{n}": [parent, 0] for n, parent in enumerate(listed)}}
            for node, listed in parents.items()
        }
    )


def test_parents_come_first_in_input_order_and_once() -> None:
    prompt = graph(a=[], b=[], c=["b", "a", "b", "missing"])
    assert parents_of(prompt, "c") == ["b", "a"]
    assert ancestors(prompt, ["c"]).order == ("b", "a", "c")


def test_what_no_target_needs_is_left_out() -> None:
    prompt = graph(a=[], b=["a"], aside=["a"])
    assert ancestors(prompt, ["b"]).order == ("a", "b")


def test_a_branch_ends_before_the_next_begins() -> None:
    prompt = graph(a=[], b=["a"], c=[], d=["c"], end=["b", "d"])
    assert ancestors(prompt, ["end"]).order == ("a", "b", "c", "d", "end")


def test_a_cycle_is_told_from_child_to_parent() -> None:
    found = ancestors(graph(a=["c"], b=["a"], c=["b"], out=["c"]), ["out"])
    assert found.cycles == (("a", "c", "b", "a"),)
    assert set(found.order) == {"a", "b", "c", "out"}


def test_a_node_that_reads_itself_is_a_cycle() -> None:
    assert ancestors(graph(a=["a"]), ["a"]).cycles == (("a", "a"),)


def test_two_cycles_are_both_told() -> None:
    found = ancestors(graph(a=["b"], b=["a"], c=["d"], d=["c"]), ["a", "c"])
    assert len(found.cycles) == 2


def test_past_the_limit_only_the_closing_link_is_told() -> None:
    names = [f"n{i}" for i in range(MAX_CYCLES + 5)]
    prompt = graph(**{name: names[: i + 1] for i, name in enumerate(names)})
    found = ancestors(prompt, [names[-1]])
    assert len(found.cycles) == len(names)
    assert all(len(cycle) == 2 for cycle in found.cycles[MAX_CYCLES:])


def test_depth_costs_no_stack() -> None:
    depth = 100_000
    found = topological([str(depth)], lambda node: [str(int(node) - 1)] if node != "0" else [])
    assert found.order[0] == "0"
    assert len(found.order) == depth + 1


@given(st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), max_size=13))
def test_order_respects_every_link_unless_there_is_a_cycle(links: dict[int, list[int]]) -> None:
    prompt = graph(**{f"n{node}": [f"n{parent}" for parent in parents] for node, parents in links.items()})
    found = ancestors(prompt, list(prompt.nodes))
    place = {node: index for index, node in enumerate(found.order)}
    assert sorted(place) == sorted(prompt.nodes)
    backward = [
        (node, parent) for node in prompt.nodes for parent in parents_of(prompt, node) if place[parent] >= place[node]
    ]
    assert bool(backward) == bool(found.cycles)
    assert {(cycle[0], cycle[1]) for cycle in found.cycles} == set(backward)
