"""Work that is spread over the cores comes back in order, and leaves the number of threads as it was."""

from __future__ import annotations

import pytest
import torch

from app.weights.spread import spread


def test_results_keep_their_order() -> None:
    assert spread(lambda number: number * 2, list(range(100))) == list(range(0, 200, 2))
    assert spread(str, []) == [] and spread(str, [5]) == ["5"]


def test_each_core_works_alone_and_the_threads_stay_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert set(spread(lambda _: torch.get_num_threads(), list(range(8)))) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_first_failure_is_told() -> None:
    def fail(number: int) -> int:
        if number in (3, 5):
            raise ValueError(str(number))
        return number

    with pytest.raises(ValueError, match="3"):
        spread(fail, list(range(8)))
