"""Work side by side: the same results, in order, with the caller's cores shared out and given back."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from app.diffusion.kernels.lanes import SMALL_WORK, cores_for, side_by_side, spread


@pytest.fixture
def two_cores() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_cores")
def test_each_lane_has_its_share_and_all_comes_back() -> None:
    meeting = threading.Barrier(2, timeout=60)  # broken unless both run at once

    def lane(number: int) -> Tensor:
        meeting.wait()
        return torch.tensor([number, torch.get_num_threads(), int(torch.is_inference_mode_enabled())])

    with torch.inference_mode():
        results = side_by_side([lambda: lane(0), lambda: lane(1)])
    assert [result.tolist() for result in results] == [[0, 1, 1], [1, 1, 1]]
    assert torch.get_num_threads() == 2
    born_later: list[int] = []
    thread = threading.Thread(target=lambda: born_later.append(int(torch.ones(2).sum()) and torch.get_num_threads()))
    thread.start()
    thread.join()
    assert born_later == [2]


@pytest.mark.usefixtures("two_cores")
def test_without_inference_mode_there_are_no_gradients_either() -> None:
    weight = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        results = side_by_side([lambda: weight * 2, lambda: weight * 3])
    assert not any(result.requires_grad for result in results)


@pytest.mark.usefixtures("two_cores")
def test_a_failure_in_one_lane_is_the_callers() -> None:
    def fails() -> Tensor:
        raise ValueError("no such shape")

    with pytest.raises(ValueError, match="no such shape"):
        side_by_side([lambda: torch.ones(1), fails])
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_cores")
def test_small_work_has_one_core_for_itself() -> None:
    processor, elsewhere = torch.device("cpu"), torch.device("meta")
    for work, device, cores in ((SMALL_WORK, processor, 1), (SMALL_WORK + 1, processor, 2), (1, elsewhere, 2)):
        with cores_for(work, device):
            assert torch.get_num_threads() == cores
        assert torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="no such shape"), cores_for(1, processor):
        raise ValueError("no such shape")
    assert torch.get_num_threads() == 2


def test_results_keep_their_order() -> None:
    assert spread(lambda number: number * 2, list(range(100))) == list(range(0, 200, 2))
    assert spread(str, []) == [] and spread(str, [5]) == ["5"] and side_by_side([]) == []


@pytest.mark.usefixtures("two_cores")
def test_each_core_works_alone_and_the_threads_stay_as_they_were() -> None:
    assert set(spread(lambda _: torch.get_num_threads(), list(range(8)))) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("gradients", [False, True])
def test_gradients_are_taken_where_the_caller_takes_them(gradients: bool) -> None:
    weight = torch.ones(2, requires_grad=True)
    with torch.set_grad_enabled(gradients):
        assert [result.requires_grad for result in spread(lambda by: weight * by, [2, 3])] == [gradients] * 2


@pytest.mark.usefixtures("two_cores")
def test_the_first_failure_is_told() -> None:
    def fail(number: int) -> int:
        if number in (3, 5):
            raise ValueError(str(number))
        return number

    with pytest.raises(ValueError, match="3"):
        spread(fail, list(range(8)))


def test_one_core_does_one_after_the_other() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = threading.get_ident()
        assert side_by_side([threading.get_ident, threading.get_ident]) == [here, here]
    finally:
        torch.set_num_threads(before)
