from __future__ import annotations

import pytest
import torch

from app.errors import InvalidRequest
from app.images.composite import (
    BLENDS,
    PORTER_DUFF,
    blend,
    pad_for_outpaint,
    paste,
    paste_feathered,
    porter_duff,
    same_size,
)


def test_a_picture_is_put_at_a_place_and_cut() -> None:
    result = paste(torch.zeros(1, 1, 3, 4), torch.ones(1, 1, 2, 2), 3, 1)
    assert result[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]


@pytest.mark.parametrize("place", [(100, 0), (0, 100), (-5, 0), (0, -5)])
def test_outside_nothing_happens(place: tuple[int, int]) -> None:
    assert not paste(torch.zeros(1, 1, 3, 4), torch.ones(1, 1, 2, 2), *place).any()


def test_from_outside_the_inner_part_is_seen() -> None:
    source = torch.arange(4.0).view(1, 1, 2, 2)
    assert paste(torch.zeros(1, 1, 2, 2), source, -1, -1)[0, 0].tolist() == [[3, 0], [0, 0]]


def test_a_mask_weighs_and_is_stretched() -> None:
    mask = torch.tensor([[1.0, 0.0]])
    result = paste(torch.zeros(1, 1, 2, 4), torch.ones(1, 1, 2, 4), 0, 0, mask=mask)
    assert result[0, 0, 0, 0] == 1
    assert result[0, 0, 0, 3] == 0


def test_a_source_is_resized_and_repeated_when_asked() -> None:
    result = paste(torch.zeros(3, 2, 4, 4), torch.ones(1, 2, 1, 1), 0, 0, resize_source=True)
    assert bool((result == 1).all())


def test_feathering_leaves_the_borders_of_the_picture_hard() -> None:
    result = paste_feathered(torch.zeros(1, 1, 4, 8), torch.ones(1, 1, 4, 4), 0, 0, 2)
    assert result[0, 0, 0].tolist() == [1, 1, 1, 0.5, 0, 0, 0, 0]
    assert not paste_feathered(torch.zeros(1, 1, 4, 8), torch.ones(1, 1, 4, 4), 50, 0, 2).any()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("normal", 0.5),
        ("multiply", 0.1),
        ("screen", 0.6),
        ("overlay", 0.2),
        ("soft_light", 0.2),
        ("difference", 0.3),
    ],
)
def test_blend_modes_at_one_point(mode: str, expected: float) -> None:
    result = blend(torch.tensor([0.2]), torch.tensor([0.5]), 1.0, mode)
    assert result.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mode", BLENDS)
def test_blending_by_nothing_changes_nothing(mode: str) -> None:
    image = torch.rand(1, 2, 2, 3)
    assert torch.allclose(blend(image, torch.rand(1, 2, 2, 3), 0.0, mode), image)


@pytest.mark.parametrize(
    ("mode", "alpha"),
    [
        ("CLEAR", 0.0),
        ("SRC", 0.5),
        ("DST", 0.25),
        ("SRC_OVER", 0.625),
        ("DST_OVER", 0.625),
        ("SRC_IN", 0.125),
        ("DST_IN", 0.125),
        ("SRC_OUT", 0.375),
        ("DST_OUT", 0.125),
        ("SRC_ATOP", 0.25),
        ("DST_ATOP", 0.5),
        ("XOR", 0.5),
        ("ADD", 0.75),
        ("MULTIPLY", 0.125),
        ("SCREEN", 0.625),
        ("DARKEN", 0.625),
        ("LIGHTEN", 0.625),
        ("OVERLAY", 0.625),
    ],
)
def test_the_alpha_of_every_operator(mode: str, alpha: float) -> None:
    sa, da = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 0.25)
    colour, result = porter_duff(sa * 0.8, sa, da * 0.4, da, mode)
    assert result.item() == pytest.approx(alpha)
    assert colour.item() <= result.item() + 1e-6, "premultiplied colours never exceed their alpha"


def test_all_operators_are_tested() -> None:
    assert len(PORTER_DUFF) == 18


def test_what_is_unknown_is_told() -> None:
    with pytest.raises(InvalidRequest, match="burn"):
        blend(torch.zeros(1), torch.zeros(1), 1.0, "burn")
    nothing = torch.zeros(1, 1, 1, 1)
    with pytest.raises(InvalidRequest, match="UNDER"):
        porter_duff(nothing, nothing, nothing, nothing, "UNDER")


def test_a_canvas_grows_and_says_where_it_is_new() -> None:
    image, mask = pad_for_outpaint(torch.zeros(2, 4, 4, 3), 8, 0, 0, 16, 0)
    assert image.shape == (2, 20, 12, 3)
    assert mask.shape == (1, 20, 12)
    assert mask[0, :4, 8:].sum() == 0
    assert mask.sum() == 20 * 12 - 16
    assert image[0, 10, 0, 0] == 0.5


def test_the_mask_of_new_canvas_fades_into_the_old() -> None:
    _, mask = pad_for_outpaint(torch.zeros(1, 40, 40, 3), 8, 0, 0, 0, 10)
    row = mask[0, 20, 8:]
    assert row[0] == 1
    assert 0 < row[5] < row[2] < 1
    assert row[12] == 0


def test_pictures_are_fitted_to_each_other() -> None:
    assert same_size(torch.zeros(3, 8, 4, 3), torch.zeros(1, 2, 2, 3)).shape == (3, 2, 2, 3)
    with_alpha = same_size(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 4))
    assert with_alpha.shape[-1] == 4
    assert bool((with_alpha[..., 3] == 1).all())
