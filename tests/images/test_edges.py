from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from app.images.edges import canny


def by_scipy(image: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """The same steps by another library, and its regions in place of growing."""
    grey = (image.double() * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)).sum(-1).numpy()
    weights = np.exp(-(np.arange(-2, 3) ** 2) / 2)
    smooth = grey
    for axis in (0, 1):
        smooth = ndimage.convolve1d(smooth, weights / weights.sum(), axis=axis, mode="mirror")
    gradient: list[Any] = [ndimage.sobel(smooth, axis=axis, mode="nearest") for axis in (1, 0)]
    across, down = gradient
    strength = np.hypot(across, down)
    padded = np.pad(strength, 1)
    ridge = np.zeros_like(strength, dtype=bool)
    for y, x in np.ndindex(*strength.shape):
        turn = round(np.arctan2(down[y, x], across[y, x]) / (np.pi / 4)) % 8
        dy, dx = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)][turn]
        ridge[y, x] = strength[y, x] > max(padded[y + 1 + dy, x + 1 + dx], padded[y + 1 - dy, x + 1 - dx])
    labelled: Any = ndimage.label(ridge & (strength > low), structure=np.ones((3, 3)))
    regions, count = labelled
    strong = set(np.unique(regions[ridge & (strength > high)])) - {0}
    assert count
    return torch.from_numpy(np.isin(regions, list(strong))).float()


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.3), (0.4, 0.8), (0.05, 0.06)])
def test_edges_are_those_of_another_library(low: float, high: float) -> None:
    torch.manual_seed(0)
    rough = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 9), size=(40, 60), mode="nearest")
    image = (rough + 0.02 * torch.rand(1, 3, 40, 60)).clamp(0, 1).movedim(1, -1)
    found = canny(image, low, high)[0]
    assert 0 < float(found.mean()) < 0.5
    assert float((found != by_scipy(image[0], low, high)).float().mean()) < 0.002  # a tie may round the other way


def test_a_step_is_one_line() -> None:
    image = torch.zeros(2, 12, 16, 4)
    image[:, :, 8:] = 1.0
    image[:, :, 7] = 0.4  # so that one place is the steepest
    found = canny(image, 0.4, 0.8)
    assert found.shape == (2, 12, 16)
    assert found.sum(-1).unique().tolist() == [1.0]


def test_an_even_picture_has_no_edges() -> None:
    assert not canny(torch.full((1, 8, 8, 3), 0.7), 0.01, 0.01).any()
