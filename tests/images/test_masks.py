from __future__ import annotations

import pytest
import torch

from app.errors import InvalidRequest
from app.images.masks import as_batch, colour_mask, combine, feather, grow, repeated


def dot() -> torch.Tensor:
    mask = torch.zeros(7, 7)
    mask[3, 3] = 1
    return mask


def test_every_form_becomes_a_batch() -> None:
    assert as_batch(torch.zeros(2, 3)).shape == (1, 2, 3)
    assert as_batch(torch.zeros(4, 1, 2, 3)).shape == (4, 2, 3)


@pytest.mark.parametrize(("tapered", "by", "count"), [(True, 1, 5), (True, 2, 13), (False, 1, 9), (False, 2, 25)])
def test_a_pixel_grows_to_a_diamond_or_a_square(tapered: bool, by: int, count: int) -> None:
    assert grow(dot(), by, tapered=tapered).sum() == count


def test_growing_and_shrinking_undo_each_other() -> None:
    assert torch.equal(grow(grow(dot(), 2), -2)[0], dot())
    assert not grow(dot(), -1).any()
    assert torch.equal(grow(dot(), 0)[0], dot())


def test_growing_further_than_the_mask_is_large_ends() -> None:
    assert bool((grow(dot(), 16384, tapered=False) == 1).all())


def test_edges_fade_in() -> None:
    faded = feather(torch.ones(4, 6), left=2, top=0, right=1, bottom=0)
    assert faded[0, 0].tolist() == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert feather(torch.ones(4, 4), 0, 4, 0, 0)[0, :, 0].tolist() == [0.25, 0.5, 0.75, 1.0]


def test_a_fade_longer_than_the_mask_is_cut() -> None:
    assert feather(torch.ones(2, 2), 100, 100, 100, 100).shape == (1, 2, 2)


def test_a_colour_is_found_in_eight_bits() -> None:
    image = torch.tensor([[[[1.0, 0.2, 0.0], [1.0, 0.21, 0.0]]]])
    assert colour_mask(image, 0xFF3300).tolist() == [[[1.0, 0.0]]]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("multiply", [0.0, 0.2, 0.0, 0.8]),
        ("add", [0.0, 1.0, 1.0, 1.0]),
        ("subtract", [0.0, 0.0, 0.0, 0.0]),
        ("and", [0.0, 0.0, 0.0, 1.0]),
        ("or", [0.0, 1.0, 1.0, 1.0]),
        ("xor", [0.0, 1.0, 1.0, 0.0]),
    ],
)
def test_masks_combine(operation: str, expected: list[float]) -> None:
    destination, source = torch.tensor([[[0.0, 0.2, 0.0, 0.8]]]), torch.tensor([[[0.0, 1.0, 1.0, 1.0]]])
    assert torch.allclose(combine(destination, source, 0, 0, operation)[0, 0], torch.tensor(expected))


def test_a_mask_is_combined_at_a_place_and_cut() -> None:
    result = combine(torch.zeros(3, 3), torch.ones(2, 2, 2), 2, 1, "add")
    assert result.shape == (2, 3, 3)
    assert result[0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert not combine(torch.zeros(3, 3), torch.ones(2, 2), 9, 9, "add").any()


def test_combining_changes_nothing_that_was_given() -> None:
    given = torch.zeros(1, 2, 2)
    combine(given, torch.ones(1, 2, 2), 0, 0, "add")
    assert not given.any()


def test_an_unknown_operation_is_told() -> None:
    with pytest.raises(InvalidRequest, match="nand"):
        combine(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), 0, 0, "nand")


def test_items_are_repeated_from_the_first_on() -> None:
    assert repeated(torch.tensor([1, 2]), 5).tolist() == [1, 2, 1, 2, 1]
