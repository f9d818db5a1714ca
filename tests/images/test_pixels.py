from __future__ import annotations

import pytest
import torch

from app.errors import InvalidRequest
from app.images.pixels import from_picture, to_picture


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_value_of_eight_bits_survives(channels: int) -> None:
    image = (torch.arange(256.0) / 255).view(16, 16, 1).expand(-1, -1, channels)
    again = from_picture(to_picture(image))
    assert torch.equal(again, image)
    again = from_picture(to_picture(again))
    assert torch.equal(again, image)


def test_values_outside_are_clamped() -> None:
    picture = to_picture(torch.tensor([[[-3.0, 0.5, 7.0]]]))
    assert picture.getpixel((0, 0)) == (0, 128, 255)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_numbers_are_told_with_a_way_out(value: float) -> None:
    with pytest.raises(InvalidRequest, match="not numbers") as told:
        to_picture(torch.full((2, 2, 3), value))
    assert "cfg" in told.value.remedy


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2), (1, 2, 2, 3), (0, 2, 3)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest, match="no image"):
        to_picture(torch.zeros(shape))
