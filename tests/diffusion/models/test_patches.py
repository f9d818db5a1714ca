from __future__ import annotations

import pytest
import torch

from app.diffusion.models.patches import packed, pixels_of, unpacked, waves, whole_patches


@pytest.mark.parametrize("size", [(4, 6), (6, 4)])
def test_packing_there_and_back(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    tokens = packed(x)
    assert tokens.shape == (2, size[0] * size[1] // 4, 12)
    assert torch.equal(unpacked(tokens, *size), x)


def test_a_patch_has_its_channels_first_and_patches_run_along_the_rows() -> None:
    x = torch.arange(2 * 2 * 4.0).reshape(1, 2, 2, 4)
    assert packed(x)[0, 0].tolist() == [0, 1, 4, 5, 8, 9, 12, 13]
    assert packed(x)[0, 1, :2].tolist() == [2, 3]


def test_pixels_of_patches_with_channels_last() -> None:
    tokens = torch.arange(2 * 8.0).reshape(1, 2, 8)
    pixels = pixels_of(tokens, 1, 2, 2)
    assert pixels.shape == (1, 2, 2, 4)
    assert pixels[0, 0].tolist() == [[0, 2, 8, 10], [4, 6, 12, 14]]


def test_odd_sides_are_filled_up_from_the_opposite_edge() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    whole = whole_patches(x, 2)
    assert whole.shape == (1, 1, 4, 4)
    assert torch.equal(whole[..., 3, :3], x[..., 0, :])
    assert whole_patches(whole, 2) is whole


def test_waves_are_computed_in_full_precision() -> None:
    told = waves(torch.tensor([999.5]), torch.bfloat16)
    assert told.shape == (1, 256)
    torch.testing.assert_close(told[0, 0].float(), torch.tensor(999.5).cos(), atol=4e-3, rtol=0)
