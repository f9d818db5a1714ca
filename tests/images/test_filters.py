from __future__ import annotations

import pytest
import torch

from app.images.filters import bayer, blur, quantise, sharpen


def test_a_blur_spreads_a_point_evenly_and_loses_nothing() -> None:
    image = torch.zeros(1, 9, 9, 3)
    image[0, 4, 4] = 1
    blurred = blur(image, 2, 1.0)
    assert blurred.sum() == pytest.approx(3.0, abs=1e-5)
    assert blurred[0, 4, 3, 0] == pytest.approx(float(blurred[0, 3, 4, 0]))
    assert torch.allclose(blur(torch.full((1, 5, 5, 3), 0.3), 2, 1.0), torch.tensor(0.3))


def test_a_picture_smaller_than_the_radius_is_blurred_too() -> None:
    assert blur(torch.rand(1, 2, 3, 4), 31, 3.0).shape == (1, 2, 3, 4)


def test_sharpening_by_nothing_changes_nothing_and_else_raises_edges() -> None:
    edge = torch.cat([torch.full((1, 4, 4, 3), 0.4), torch.full((1, 4, 4, 3), 0.6)], dim=2)
    assert torch.allclose(sharpen(edge, 1, 1.0, 0.0), edge)
    sharper = sharpen(edge, 1, 1.0, 1.0)
    assert sharper[0, 1, 3, 0] < 0.4
    assert sharper[0, 1, 4, 0] > 0.6


@pytest.mark.parametrize("dither", ["none", "floyd-steinberg", "bayer-2", "bayer-16"])
def test_no_more_colours_than_asked(dither: str) -> None:
    image = torch.linspace(0, 1, 64).view(1, 8, 8, 1).expand(2, 8, 8, 3)
    few = quantise(image, 4, dither)
    assert few.shape == (2, 8, 8, 3)
    assert len(few[0].flatten(0, 1).unique(dim=0)) <= 4


def test_the_threshold_matrix_holds_every_level_once() -> None:
    for order in (2, 4, 8):
        levels = bayer(order).flatten().sort().values * order * order - 0.5
        assert torch.allclose(levels, torch.arange(float(order * order)))
    assert bayer(2).mul(4).sub(0.5).tolist() == [[0, 2], [3, 1]]
