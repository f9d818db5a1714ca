from __future__ import annotations

import sys
from typing import Any

from app.engine.sizes import size_of


class Tensor:
    """Says its bytes as arrays and tensors do."""

    def __init__(self, nbytes: int):
        self.nbytes = nbytes


def test_arrays_say_their_size() -> None:
    assert size_of(Tensor(4096)) == 4096


def test_containers_are_walked() -> None:
    inner = Tensor(1000)
    held = {"samples": inner, "more": [(Tensor(10), Tensor(20))]}
    assert size_of(held) >= 1030
    assert size_of(held) - 1030 < 2000


def test_a_shared_value_counts_once() -> None:
    shared = Tensor(1_000_000)
    assert size_of([shared, shared, {"again": shared}]) < 1_100_000


def test_circles_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert size_of(endless) == sys.getsizeof(endless)


def test_depth_costs_no_stack() -> None:
    deep: Any = Tensor(5)
    for _ in range(50_000):
        deep = [deep]
    assert size_of(deep) > 50_000


def test_other_objects_count_as_python_says() -> None:
    assert size_of("x" * 10_000) >= 10_000
    assert size_of(object()) > 0
