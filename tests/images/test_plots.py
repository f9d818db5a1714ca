from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from app.errors import InvalidRequest
from app.images.plots import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, line_plot, ticks_between


def rows_of(picture: Tensor, colour: tuple[int, int, int], column: int) -> list[int]:
    """The rows of a column that have a colour."""
    wanted = torch.tensor(colour) / 255
    return torch.nonzero((picture[:, column] - wanted).abs().amax(dim=1) < 0.02).flatten().tolist()


def test_a_falling_line_goes_from_the_upper_left_to_the_lower_right() -> None:
    picture = line_plot({"loss": [1.0 - 0.01 * i for i in range(100)]})
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.min() >= 0
    assert picture.max() <= 1
    ink = COLOURS[0][1]
    left, middle, right = (
        rows_of(picture, ink, column) for column in (LEFT + 20, (LEFT + WIDTH - RIGHT) // 2, WIDTH - RIGHT - 4)
    )
    assert TOP <= max(left) < min(middle)
    assert max(middle) < min(right) <= HEIGHT - BOTTOM


def test_the_course_is_smoother_than_what_was_measured() -> None:
    """Where values jump up and down the average stays in the middle."""
    picture = line_plot({"loss": [float(i % 2) for i in range(400)]})
    middle = (TOP + HEIGHT - BOTTOM) // 2
    rows = rows_of(picture, COLOURS[0][1], (LEFT + WIDTH - RIGHT) // 2)
    assert rows
    assert all(abs(row - middle) < 4 for row in rows)


def test_each_series_has_a_colour() -> None:
    picture = line_plot({"a": [0.0, 0.0], "b": [1.0, 1.0]})
    column = (LEFT + WIDTH - RIGHT) // 2
    assert min(rows_of(picture, COLOURS[0][1], column)) > max(rows_of(picture, COLOURS[1][1], column))


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [1e-9, 2e-9], [1e30, -1e30], [1.0, math.nan, math.inf, 2.0]])
def test_odd_values_are_drawn(values: list[float]) -> None:
    picture = line_plot({"loss": values})
    assert (picture < 0.9).any()


@pytest.mark.parametrize("series", [{}, {"loss": []}, {"loss": [math.nan]}])
def test_nothing_to_draw_is_told(series: dict[str, list[float]]) -> None:
    with pytest.raises(InvalidRequest, match="nothing to plot"):
        line_plot(series)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.93), (0, 0), (3, 3), (-2.5e-5, 4e-5), (120, 99_000), (1e9, 1e9 + 1)])
def test_ticks_are_few_and_round_and_hold_all_values(low: float, high: float) -> None:
    ticks = list(ticks_between(low, high))
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high
    step = ticks[1] - ticks[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-6), 3) in (1, 2, 5)
