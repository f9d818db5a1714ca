from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import ndimage

from app.images.morphology import OPERATIONS, dilated, eroded

torch.manual_seed(0)
IMAGE = torch.rand(2, 9, 12, 3)


def channels(filter: Callable[..., Any], image: torch.Tensor, size: int, outside: float) -> torch.Tensor:
    found = filter(image.numpy(), size=(1, size, size, 1), mode="constant", cval=outside)
    return torch.from_numpy(found)


@pytest.mark.parametrize("size", [3, 5])
def test_all_operations_are_those_of_another_library(size: int) -> None:
    def dilation(image: torch.Tensor) -> torch.Tensor:
        return channels(ndimage.grey_dilation, image, size, -float("inf"))

    def erosion(image: torch.Tensor) -> torch.Tensor:
        return channels(ndimage.grey_erosion, image, size, float("inf"))

    opened, closed = dilation(erosion(IMAGE)), erosion(dilation(IMAGE))
    wanted = {
        "erode": erosion(IMAGE),
        "dilate": dilation(IMAGE),
        "open": opened,
        "close": closed,
        "gradient": dilation(IMAGE) - erosion(IMAGE),
        "bottom_hat": closed - IMAGE,
        "top_hat": IMAGE - opened,
    }
    assert wanted.keys() == OPERATIONS.keys()
    for name, result in wanted.items():
        torch.testing.assert_close(OPERATIONS[name](IMAGE, size), result)


@pytest.mark.parametrize("size", [4, 40])
def test_even_and_huge_squares(size: int) -> None:
    assert (eroded(IMAGE, size) <= IMAGE).all() and (dilated(IMAGE, size) >= IMAGE).all()
    # Opening never adds and closing never takes away, and twice is as once: the squares fit each other.
    opened, closed = OPERATIONS["open"](IMAGE, size), OPERATIONS["close"](IMAGE, size)
    assert (opened <= IMAGE).all() and (closed >= IMAGE).all()
    assert torch.equal(OPERATIONS["open"](opened, size), opened)
    assert torch.equal(OPERATIONS["close"](closed, size), closed)
