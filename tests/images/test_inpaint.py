from __future__ import annotations

import torch

from app.images.inpaint import erased


def test_what_is_masked_becomes_grey_and_the_mask_grows() -> None:
    mask = torch.zeros(16, 16)
    mask[8, 8] = 1
    pixels, noise_mask = erased(torch.ones(1, 16, 16, 3), mask, 8, 6)
    assert pixels[0, 8, 8].tolist() == [0.5, 0.5, 0.5]
    assert (pixels != 1).sum() == 3
    assert noise_mask.shape == (1, 1, 16, 16)
    assert noise_mask.sum() == 49


def test_sides_are_cut_to_multiples_from_the_middle() -> None:
    image = torch.zeros(1, 19, 17, 3)
    image[0, 1, 0] = 1
    pixels, noise_mask = erased(image, torch.zeros(1, 8, 8), 8, 0)
    assert pixels.shape == (1, 16, 16, 3)
    assert pixels[0, 0, 0, 0] == 1
    assert noise_mask.shape == (1, 1, 16, 16)
    assert not noise_mask.any()


def test_another_brightness_covers_as_well() -> None:
    mask = torch.zeros(1, 8, 8)
    mask[:, :4] = 1
    covered, area = erased(torch.full((1, 8, 8, 3), 0.75), mask, 4, 0, cover=0.0)
    assert torch.equal(covered, 0.75 * (1 - mask[..., None]).expand(-1, -1, -1, 3))
    assert torch.equal(area[:, 0], mask)
