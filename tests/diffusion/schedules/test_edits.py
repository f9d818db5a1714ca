from __future__ import annotations

import pytest
import torch

from app.diffusion.schedules import edits
from app.errors import InvalidRequest

LEVELS = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])


def test_split_shares_its_level():
    high, low = edits.split(LEVELS, 2)
    assert high.tolist() == [8, 4, 2]
    assert low.tolist() == [2, 1, 0]
    assert [len(part) for part in edits.split_denoise(LEVELS, 0.25)] == [4, 2]
    assert [len(part) for part in edits.split_denoise(LEVELS, 1.0)] == [1, 5]
    assert [len(part) for part in edits.split_denoise(LEVELS[:0], 1.0)] == [0, 0]


def test_flip_avoids_a_start_at_zero():
    assert edits.flip(LEVELS).tolist() == pytest.approx([1e-4, 1, 2, 4, 8])
    assert LEVELS[-1] == 0


def test_first_level():
    assert edits.with_first(LEVELS, 9.0).tolist() == [9, 4, 2, 1, 0]
    assert len(edits.with_first(LEVELS[:0], 9.0)) == 0


def test_extension_stays_in_its_range():
    assert edits.extended(LEVELS, 2, end_at_sigma=2.0).tolist() == [8, 6, 4, 3, 2, 1.5, 1, 0]
    assert edits.extended(LEVELS, 2, start_at_sigma=4.0, end_at_sigma=2.0).tolist() == [8, 4, 3, 2, 1.5, 1, 0]
    assert edits.extended(LEVELS, 1).tolist() == LEVELS.tolist()


@pytest.mark.parametrize("spacing", edits.SPACINGS)
def test_every_spacing_keeps_the_levels_and_falls(spacing):
    longer = edits.extended(LEVELS, 4, end_at_sigma=0.0, spacing=spacing)
    assert longer[::4].tolist() == LEVELS.tolist()
    assert bool((longer.diff() < 0).all())


def test_unknown_spacing():
    with pytest.raises(InvalidRequest, match="cubic"):
        edits.extended(LEVELS, 2, spacing="cubic")
