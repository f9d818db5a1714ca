from __future__ import annotations

import pytest
import torch

from app.images.stitching import Direction, fitted_on, stitched

RED, BLUE = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])


def plain(colour: torch.Tensor, height: int, width: int, count: int = 1) -> torch.Tensor:
    return colour.expand(count, height, width, -1)


@pytest.mark.parametrize(
    ("direction", "first", "gap", "second"),
    [
        ("right", (0, 0), (0, 6), (0, 8)),
        ("left", (0, 12), (0, 11), (0, 0)),
        ("down", (0, 0), (4, 0), (6, 0)),
        ("up", (10, 0), (9, 0), (0, 0)),
    ],
)
def test_pictures_and_what_is_between_them(
    direction: Direction, first: tuple[int, int], gap: tuple[int, int], second: tuple[int, int]
) -> None:
    found = stitched(plain(RED, 4, 6), plain(BLUE, 8, 12), direction, match=False, gap=2, colour="green")
    shape = (1, 8, 20, 3) if direction in ("right", "left") else (1, 14, 12, 3)
    assert found.shape == shape
    middle = found[0, shape[1] // 2, :] if direction in ("right", "left") else found[0, :, shape[2] // 2]
    colours = [tuple(colour.tolist()) for colour in middle]
    order = [(1.0, 0.0, 0.0)] * 6, [(0.0, 1.0, 0.0)] * 2, [(0.0, 0.0, 1.0)] * 12
    if direction in ("down", "up"):
        order = order[0][:4], order[1], order[2][:8]
    parts = order if direction in ("right", "down") else order[::-1]
    assert colours == [colour for part in parts for colour in part]


def test_the_smaller_stands_in_the_middle_on_black() -> None:
    found = stitched(plain(RED, 4, 6), plain(BLUE, 8, 12), "right", match=False)
    assert found[0, :, 0, 0].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(("direction", "shape"), [("right", (1, 4, 12, 3)), ("down", (1, 8, 6, 3))])
def test_the_second_is_matched_in_its_proportions(direction: Direction, shape: tuple[int, ...]) -> None:
    assert stitched(plain(RED, 4, 6), plain(BLUE, 8, 12), direction).shape == shape


def test_fewer_pictures_are_repeated_and_both_sides_become_transparent() -> None:
    clear = torch.cat([plain(BLUE, 4, 4, 3), torch.zeros(3, 4, 4, 1)], dim=-1)
    found = stitched(plain(RED, 4, 4, 2), clear, "right", gap=2)
    assert found.shape == (3, 4, 10, 4)
    assert found[2, 0, :, 3].tolist() == [1.0] * 6 + [0.0] * 4


@pytest.mark.parametrize(
    ("height", "width", "inner"), [(10, 20, (2, 6, 0, 8)), (20, 10, (0, 8, 2, 6)), (5, 5, (0, 8, 0, 8))]
)
def test_nothing_is_cut_off(height: int, width: int, inner: tuple[int, int, int, int]) -> None:
    found = fitted_on(plain(RED, height, width), 8, 8, "white", "bilinear")
    wanted = torch.ones(1, 8, 8, 3)
    wanted[:, inner[0] : inner[1], inner[2] : inner[3]] = RED
    torch.testing.assert_close(found, wanted)
