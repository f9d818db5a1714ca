from __future__ import annotations

import math

import pytest

from app.diffusion.guidance.keyframes import Keyframe, added, factor_at, interpolated, spread, stretches
from app.diffusion.parameterization.model_sampling import flow

SAMPLING = flow()  # without a shift the noise level is what is left of the way


def test_a_keyframe_counts_from_its_start_until_the_next_one() -> None:
    frames = added((), [Keyframe(0.5, 0.5), Keyframe(2.0, 0.25), Keyframe(0.0, 0.0)])
    found = [factor_at(frames, level, SAMPLING) for level in (1.0, 0.76, 0.75, 0.51, 0.5, 0.0)]
    assert found == [0.0, 0.0, 2.0, 2.0, 0.5, 0.5]


def test_before_the_first_keyframe_that_one_counts_and_without_any_one_does() -> None:
    assert factor_at((Keyframe(0.3, 0.5),), 1.0, SAMPLING) == 0.3
    assert factor_at((), 1.0, SAMPLING) == 1.0


def test_of_keyframes_that_start_together_the_last_counts() -> None:
    frames = added((Keyframe(1.0, 0.5),), [Keyframe(2.0, 0.5)])
    assert factor_at(frames, 0.4, SAMPLING) == 2.0


@pytest.mark.parametrize(
    ("curve", "middle", "quarter"),
    [
        ("linear", 0.5, 0.25),
        ("ease_in", 0.25, 0.0625),
        ("ease_out", 0.75, 0.4375),
        ("ease_in_out", 0.5, (1 - math.sqrt(0.5)) / 2),
    ],
)
def test_curves(curve: str, middle: float, quarter: float) -> None:
    found = interpolated(1.0, 3.0, curve, 5)
    assert found[0] == 1.0
    assert found[-1] == 3.0
    assert found[2] == pytest.approx(1 + 2 * middle)
    assert found[1] == pytest.approx(1 + 2 * quarter)


def test_strengths_are_spread_evenly_over_their_part() -> None:
    assert spread([1.0, 2.0, 3.0], 0.2, 0.6) == (Keyframe(1.0, 0.2), Keyframe(2.0, 0.4), Keyframe(3.0, 0.6))
    assert spread([1.0], 0.2, 0.6) == (Keyframe(1.0, 0.2),)


def test_stretches_are_where_no_factor_changes() -> None:
    first, second = (Keyframe(0.5, 0.0), Keyframe(1.0, 0.5)), (Keyframe(2.0, 0.25), Keyframe(2.0, 0.75))
    assert stretches([first, second]) == [(0.0, 0.5, (0.5, 2.0)), (0.5, 1.0, (1.0, 2.0))]
    assert stretches([()]) == [(0.0, 1.0, (1.0,))]
    assert stretches([(Keyframe(1.0, 0.0), Keyframe(2.0, 1.0))]) == [(0.0, 1.0, (1.0,))]
