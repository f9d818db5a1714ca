from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch

from app.diffusion.parameterization import discrete
from app.diffusion.schedules.curves import interpolated
from app.diffusion.schedules.gits import gits, gits_table
from app.errors import InvalidRequest

COEFFICIENTS = [round(0.80 + 0.05 * k, 2) for k in range(15)]
TABLE = gits_table()


def test_every_coefficient_of_the_node_has_rows_for_2_to_20_steps() -> None:
    assert [known / 100 for known in TABLE.picks] == COEFFICIENTS
    for rows in TABLE.picks.values():
        assert [len(row) for row in rows] == list(range(1, 20))


@pytest.mark.parametrize(
    ("coefficient", "steps", "published"),
    [
        (1.20, 2, [14.61464119, 0.803307]),
        (0.80, 5, [14.61464119, 11.54541874, 7.49001646, 5.85520077, 2.05039096]),
        (1.20, 6, [14.61464119, 5.85520077, 2.05039096, 0.95350921, 0.45573691, 0.17026083]),
        (1.50, 7, [14.61464119, 1.61558151, 0.803307, 0.45573691, 0.27464288, 0.17026083, 0.09824532]),
    ],
)
def test_the_levels_are_as_published(coefficient: float, steps: int, published: list[float]) -> None:
    assert torch.equal(gits(coefficient, steps), torch.tensor([*published, 0.0]))


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_the_levels_fall_to_zero_for_any_number_of_steps(coefficient: float) -> None:
    for steps in (*range(2, 61), 1000):
        levels = gits(coefficient, steps)
        assert levels.shape == (steps + 1,)
        assert levels.dtype == torch.float32
        assert levels[0].item() == pytest.approx(14.61464119)
        assert bool((levels.diff() < 0).all())
        assert levels[-1] == 0


def path(inner: Sequence[int]) -> list[int]:
    """The places of a row with its first and last level."""
    return [0, *inner, len(TABLE.levels) - 1]


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_the_rows_are_paths_of_one_search(coefficient: float) -> None:
    """Optimal paths by dynamic programming: from the same place with as many steps to go, the rest is the same."""
    after: dict[tuple[int, int], int] = {}
    for row in map(path, TABLE.picks[round(100 * coefficient)]):
        assert row == sorted(set(row))
        for to_go, (place, following) in enumerate(zip(row[-2::-1], row[:0:-1], strict=True)):
            assert after.setdefault((place, to_go), following) == following


def test_rows_lie_between_those_of_one_step_more() -> None:
    for rows in TABLE.picks.values():
        for fewer, more in pairwise(map(path, rows)):
            assert all(left <= place <= right for left, place, right in zip(more, fewer, more[1:], strict=False))


def test_no_level_rises_with_the_coefficient() -> None:
    for smaller, larger in pairwise(TABLE.picks.values()):
        for row, other in zip(smaller, larger, strict=True):
            assert all(one <= two for one, two in zip(row, other, strict=True))


def test_the_levels_are_those_of_a_trajectory_of_stable_diffusion() -> None:
    times = torch.linspace(999, 0, 101, dtype=torch.float64)
    trajectory = discrete().sigma(times.float()).double()
    for level in TABLE.levels:
        assert ((trajectory - level).abs().min() / level).item() < 3e-5


def test_a_larger_coefficient_puts_the_levels_nearer_to_the_end() -> None:
    middles = [gits(coefficient, 10)[5].item() for coefficient in COEFFICIENTS]
    assert middles == sorted(middles, reverse=True)
    assert middles[0] > 5 * middles[-1]


def test_more_than_20_steps_are_interpolated_in_log_sigma() -> None:
    twenty, forty = gits(1.2, 20), gits(1.2, 40)
    assert torch.equal(forty[::2], twenty)
    assert forty[1].item() == pytest.approx(math.sqrt(twenty[0].item() * twenty[1].item()), rel=1e-6)
    # The zero at the end stands for the smallest level.
    assert forty[-2].item() == pytest.approx(math.sqrt(0.09824532 * 0.02916753), rel=1e-6)


@pytest.mark.parametrize(("steps", "denoise", "kept"), [(10, 0.5, 5), (20, 0.25, 5), (7, 0.5, 4), (40, 0.1, 4)])
def test_denoise_keeps_the_end(steps: int, denoise: float, kept: int) -> None:
    assert torch.equal(gits(1.2, steps, denoise), gits(1.2, steps)[-(kept + 1) :])


def test_denoise_1_keeps_all_and_0_nothing() -> None:
    assert torch.equal(gits(1.2, 10, 1.0), gits(1.2, 10))
    assert gits(1.2, 10, 0.0).shape == (0,)
    assert gits(1.2, 10, 0.01).shape == (0,)


def test_a_coefficient_counts_as_the_nearest_published_one() -> None:
    assert torch.equal(gits(1.2000000000000002, 8), gits(1.2, 8))
    assert torch.equal(gits(1.22, 8), gits(1.2, 8))
    assert torch.equal(gits(1.23, 8), gits(1.25, 8))


@pytest.mark.parametrize("coefficient", [0.7, 1.6, -1.0, float("nan"), float("inf")])
def test_a_coefficient_outside_the_table_is_refused(coefficient: float) -> None:
    with pytest.raises(InvalidRequest, match="coefficient") as refused:
        gits(coefficient, 8)
    assert "0.80 to 1.50" in str(refused.value.remedy)


def test_one_step_goes_straight_to_zero() -> None:
    assert gits(1.2, 1).tolist() == pytest.approx([14.61464119, 0.0])


def test_as_many_steps_as_are_published_change_only_the_last_level() -> None:
    assert interpolated([8.0, 4.0, 1.0, 0.1], 3).tolist() == pytest.approx([8.0, 4.0, 1.0, 0.0])
    assert interpolated([8.0, 2.0, 0.1], 4).tolist() == pytest.approx([8.0, 4.0, 2.0, math.sqrt(0.2), 0.0])
