from __future__ import annotations

import pytest
import torch

from app.diffusion.models.references import METHODS, Start, places

SIZES, CANVAS = [(4, 6), (4, 6), (2, 3)], (8, 8)


@pytest.mark.parametrize(
    ("method", "starts"),
    [
        # 4 × 6 lies; the second goes below, as 8 × 6 is squarer than 4 × 12; the third beside them.
        ("offset", [Start(1, 0, 0), Start(1, 4, 0), Start(1, 0, 6)]),
        ("index", [Start(1, 0, 0), Start(2, 0, 0), Start(3, 0, 0)]),
        ("uxo/uno", [Start(0, 8, 8), Start(0, 12, 14), Start(0, 16, 20)]),
    ],
)
def test_where_pictures_stand(method: str, starts: list[Start]) -> None:
    assert METHODS[method](SIZES, CANVAS) == starts


@pytest.mark.parametrize("method", METHODS)
def test_no_two_patches_stand_at_one_place(method: str) -> None:
    canvas = places(Start(0, 0, 0), CANVAS, torch.device("cpu"))
    starts = METHODS[method](SIZES, CANVAS)
    shown = [places(start, size, torch.device("cpu")) for start, size in zip(starts, SIZES, strict=True)]
    every = [tuple(place) for part in (canvas, *shown) for place in part.tolist()]
    assert len(set(every)) == len(every) == 64 + 24 + 24 + 6


def test_places_are_counted_row_by_row() -> None:
    found = places(Start(2, 5, 7), (2, 3), torch.device("cpu"))
    assert found.tolist() == [[2, 5, 7], [2, 5, 8], [2, 5, 9], [2, 6, 7], [2, 6, 8], [2, 6, 9]]
