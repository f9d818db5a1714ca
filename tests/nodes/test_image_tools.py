from __future__ import annotations

from typing import Any

import pytest
import torch

from app.images.edges import canny
from app.images.morphology import dilated

torch.manual_seed(0)
IMAGE = torch.rand(2, 16, 24, 3)


def test_edges_are_white_on_black(bench: Any) -> None:
    found = bench("Canny", image=IMAGE, low_threshold=0.2, high_threshold=0.4)
    assert found.shape == IMAGE.shape
    assert torch.equal(found[..., 1], canny(IMAGE, 0.2, 0.4))
    assert found.unique().tolist() == [0.0, 1.0]


def test_morphology_by_name(bench: Any) -> None:
    assert torch.equal(bench("Morphology", image=IMAGE, operation="dilate", kernel_size=5), dilated(IMAGE, 5))


def test_brightness_and_colour_apart_and_together(bench: Any) -> None:
    y, u, v = bench("ImageRGBToYUV", image=IMAGE)
    assert all(part.shape == IMAGE.shape for part in (y, u, v))
    torch.testing.assert_close(y[..., 0], IMAGE @ torch.tensor([0.299, 0.587, 0.114]))
    torch.testing.assert_close(bench("ImageYUVToRGB", Y=y, U=u, V=v), IMAGE)
    grey = torch.full_like(IMAGE, 0.5)
    torch.testing.assert_close(bench("ImageYUVToRGB", Y=y, U=grey, V=grey), y)


def test_noise_of_a_seed(bench: Any) -> None:
    grey = torch.full((1, 64, 64, 3), 0.5)
    found = bench("ImageAddNoise", image=grey, seed=7, strength=0.1)
    noise = torch.randn(grey.shape, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(found, (grey + 0.1 * noise).clamp(0, 1))
    assert float(found.std()) == pytest.approx(0.1, rel=0.05)
    assert torch.equal(bench("ImageAddNoise", image=IMAGE, strength=0.0), IMAGE)


def test_pictures_side_by_side_and_alone(bench: Any) -> None:
    assert bench("ImageStitch", image1=IMAGE) is IMAGE
    found = bench("ImageStitch", image1=IMAGE, image2=IMAGE, spacing_width=4, spacing_color="red")
    assert found.shape == (2, 16, 52, 3)
    assert torch.equal(found[:, :, 28:], IMAGE)


def test_a_picture_on_a_ground(bench: Any) -> None:
    given = {"target_width": 24, "target_height": 24, "padding_color": "black", "interpolation": "area"}
    found = bench("ResizeAndPadImage", image=IMAGE, **given)
    assert torch.equal(found[:, 4:20], IMAGE)
    assert not found[:, :4].any() and not found[:, 20:].any()
