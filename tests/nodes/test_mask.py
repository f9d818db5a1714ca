from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from app.settings import Settings


def test_masks_are_made_and_turned_round(bench: Any) -> None:
    solid = bench("SolidMask", value=0.25, width=3, height=2)
    assert solid.shape == (1, 2, 3)
    assert torch.allclose(bench("InvertMask", mask=solid), torch.tensor(0.75))


def test_masks_are_cut_combined_and_faded(bench: Any) -> None:
    solid = bench("SolidMask", width=4, height=4)
    assert bench("CropMask", mask=solid, x=1, y=2, width=9, height=9).shape == (1, 2, 3)
    cut = bench("MaskComposite", destination=solid, source=solid, x=2, y=2, operation="subtract")
    assert cut.sum() == 12
    assert bench("FeatherMask", mask=solid, left=2)[0, 0].tolist() == [0.5, 1, 1, 1]


def test_masks_grow_and_become_hard(bench: Any) -> None:
    mask = torch.zeros(1, 5, 5)
    mask[0, 2, 2] = 0.6
    assert (bench("GrowMask", mask=mask, expand=1) > 0).sum() == 5
    assert (bench("GrowMask", mask=mask, expand=1, tapered_corners=False) > 0).sum() == 9
    assert bench("ThresholdMask", mask=mask, value=0.5).sum() == 1
    assert not bench("ThresholdMask", mask=mask, value=0.6).any()


def test_masks_and_images_become_each_other(bench: Any) -> None:
    mask = torch.rand(2, 3, 4)
    image = bench("MaskToImage", mask=mask)
    assert image.shape == (2, 3, 4, 3)
    assert torch.equal(bench("ImageToMask", image=image, channel="green"), mask)
    assert bool((bench("ImageToMask", image=image, channel="alpha") == 1).all())
    red = torch.tensor([1.0, 0.0, 0.0]).expand(1, 2, 2, 3)
    assert bool((bench("ImageColorToMask", image=red, color=0xFF0000) == 1).all())


def test_a_channel_of_a_file(bench: Any, installation: Settings) -> None:
    Image.new("RGBA", (4, 2), (0, 51, 0, 0)).save(installation.directories.input / "a.png")
    assert torch.allclose(bench("LoadImageMask", image="a.png", channel="green"), torch.tensor(0.2))
    assert bool((bench("LoadImageMask", image="a.png", channel="alpha") == 1).all())


def test_a_mask_is_shown(bench: Any) -> None:
    (entry,) = bench.returned("MaskPreview", mask=torch.rand(4, 6)).ui["images"]
    assert (entry["type"], entry["width"], entry["height"]) == ("temp", 6, 4)
