from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from PIL import Image

from app.errors import Forbidden, Missing
from app.images.metadata import read_texts
from app.settings import Settings


def image(count: int = 1, height: int = 6, width: int = 8) -> torch.Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(count))


def test_saving_shows_staged_files_with_the_graph_inside(bench: Any) -> None:
    ui = bench.returned("SaveImage", images=image(2), prompt={"1": {}}, extra_pnginfo={"workflow": [1]}).ui
    assert [entry["type"] for entry in ui["images"]] == ["output", "output"]
    staged = bench.workshop.outputs.staging / ui["images"][1]["staged"]
    assert json.loads(read_texts(staged)["prompt"]) == {"1": {}}


def test_a_preview_is_temporary(bench: Any) -> None:
    assert bench.returned("PreviewImage", images=image()).ui["images"][0]["type"] == "temp"


def test_a_name_that_leaves_the_folder_is_refused(bench: Any) -> None:
    with pytest.raises(Forbidden):
        bench.returned("SaveImage", images=image(), filename_prefix="../../x")


def test_a_picture_is_loaded_with_its_mask(bench: Any, installation: Settings) -> None:
    Image.new("RGBA", (4, 2), (255, 0, 0, 0)).save(installation.directories.input / "red.png")
    pixels, mask = bench("LoadImage", image="red.png")
    assert pixels[0, 0, 0].tolist() == [1, 0, 0]
    assert bool((mask == 1).all())
    with pytest.raises(Missing):
        bench("LoadImage", image="gone.png")


def test_an_empty_image_has_one_colour(bench: Any) -> None:
    blank = bench("EmptyImage", width=3, height=2, batch_size=2, color=0xFF8000)
    assert blank.shape == (2, 2, 3, 3)
    assert (blank[1, 1, 2] * 255).round().tolist() == [255, 128, 0]


def test_the_size_is_told(bench: Any) -> None:
    assert bench("GetImageSize", image=image(3)) == (8, 6, 3)


def test_the_negative(bench: Any) -> None:
    assert torch.allclose(bench("ImageInvert", image=image()), 1 - image())


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
def test_images_are_resized(bench: Any, method: str) -> None:
    assert bench("ImageScale", image=image(), upscale_method=method, width=16, height=0).shape == (1, 12, 16, 3)
    assert bench("ImageScaleBy", image=image(), upscale_method=method, scale_by=0.5).shape == (1, 3, 4, 3)
    assert bench("ImageScaleToMaxDimension", image=image(), upscale_method=method, largest_size=4).shape == (1, 3, 4, 3)


def test_megapixels_keep_the_proportions(bench: Any) -> None:
    scaled = bench("ImageScaleToTotalPixels", image=image(), megapixels=0.01)
    assert scaled.shape[1] * scaled.shape[2] == pytest.approx(0.01 * 1024 * 1024, rel=0.02)
    assert scaled.shape[2] / scaled.shape[1] == pytest.approx(8 / 6, rel=0.02)


def test_cuts_flips_and_turns(bench: Any) -> None:
    given = image()
    assert torch.equal(bench("ImageCrop", image=given, width=3, height=2, x=1, y=4), given[:, 4:6, 1:4])
    assert bench("ImageCrop", image=given, x=999, y=999).shape == (1, 1, 1, 3)
    assert torch.equal(bench("ImageFlip", image=given, flip_method="y-axis: horizontally"), given.flip(2))
    turned = bench("ImageRotate", image=given, rotation="90 degrees")
    assert torch.equal(turned[0, 0], given[0, :, 0].flip(0)), "clockwise: the left column is on top"


def test_batches(bench: Any) -> None:
    given = image(3)
    assert torch.equal(bench("ImageFromBatch", image=given, batch_index=1, length=2), given[1:])
    assert bench("ImageFromBatch", image=given, batch_index=4095).shape[0] == 1
    assert bench("RepeatImageBatch", image=given, amount=2).shape[0] == 6
    assert [len(part) for part in bench("RebatchImages", images=[given, image(1)], batch_size=[2])] == [2, 1, 1]


def test_blurring_sharpening_and_fewer_colours(bench: Any) -> None:
    given = image()
    assert bench("ImageBlur", image=given, blur_radius=2, sigma=2.0).std() < given.std()
    assert bench("ImageSharpen", image=given, alpha=2.0).std() > given.std()
    assert len(bench("ImageQuantize", image=given, colors=2)[0].flatten(0, 1).unique(dim=0)) == 2
