from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from app.errors import Forbidden, InvalidRequest, Missing

PROMPT = {"3": {"class_type": "KSampler", "inputs": {}}}


def frames() -> torch.Tensor:
    """Four pictures that differ, of values that eight bits hold."""
    return (torch.rand(4, 6, 10, 3, generator=torch.Generator().manual_seed(1)) * 255).round() / 255


def published(bench: Any, node_id: str, **inputs: Any) -> tuple[Path, dict[str, Any]]:
    ui = bench.workshop.outputs.publish_ui(bench.returned(node_id, **inputs).ui, "job", "1")
    (entry,) = ui["images"]
    assert ui["animated"] == [True]
    return bench.workshop.folders.output / entry["subfolder"] / entry["filename"], entry


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_all_frames_are_in_one_file_with_their_time_and_the_workflow(bench: Any, kind: str) -> None:
    images = frames()
    path, entry = published(
        bench,
        f"SaveAnimated{kind}",
        images=images,
        filename_prefix="a/moves",
        fps=8.0,
        prompt=PROMPT,
        extra_pnginfo={"workflow": {"nodes": []}},
    )
    assert entry == {"filename": f"moves_00001_.{kind.lower()}", "subfolder": "a", "type": "output"}
    with Image.open(path) as picture:
        assert (picture.format, getattr(picture, "n_frames", 1)) == (kind, 4)
        picture.seek(1)
        picture.load()
        assert picture.info["duration"] == 125
        told = picture.info["prompt"] if kind == "PNG" else picture.getexif()[0x0110].removeprefix("prompt:")
    assert json.loads(told) == PROMPT
    again, mask = bench("LoadImageOutput", image=f"a/moves_00001_.{kind.lower()} [output]")
    torch.testing.assert_close(again, images)
    assert not mask.any()


def test_a_lossy_file_is_smaller_and_looks_alike(bench: Any) -> None:
    images = torch.linspace(0, 1, 64)[None, None, :, None].expand(3, 64, 64, 3) * torch.tensor([1, 0.8, 0.6]).view(
        3, 1, 1, 1
    )
    whole, _ = published(bench, "SaveAnimatedWEBP", images=images + 0.05 * torch.rand(images.shape))
    lossy, _ = published(bench, "SaveAnimatedWEBP", images=images, lossless=False, quality=50, method="slowest")
    assert lossy.stat().st_size < whole.stat().st_size
    again, _ = bench("LoadImageOutput", image=lossy.name)
    assert (again - images).abs().mean() < 0.03


def test_one_image_is_a_still_picture_and_none_is_told(bench: Any) -> None:
    path, _ = published(bench, "SaveAnimatedPNG", images=frames()[:1])
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == 1
    for node_id in ("SaveAnimatedPNG", "SaveAnimatedWEBP"):
        with pytest.raises(InvalidRequest, match="no images"):
            bench(node_id, images=frames()[:0])
        with pytest.raises(Forbidden):
            bench(node_id, images=frames(), filename_prefix="../out")


def test_a_result_is_loaded_from_the_output_folder_and_looked_at_anew(bench: Any) -> None:
    output = bench.workshop.folders.output
    output.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 2), "red").save(output / "r.png")
    node = bench.workshop.nodes["LoadImageOutput"]
    for name in ("r.png", "r.png [output]"):
        assert bench("LoadImageOutput", image=name)[0].shape == (1, 2, 4, 3)
    before = node.fingerprint({"image": "r.png"})
    assert node.fingerprint({"image": "r.png [output]"}) == before
    Image.new("RGB", (8, 2), "red").save(output / "r.png")
    assert node.fingerprint({"image": "r.png"}) != before
    with pytest.raises(Missing, match=r"output file 'gone\.png'"):
        bench("LoadImageOutput", image="gone.png")
    with pytest.raises(Forbidden):
        bench("LoadImageOutput", image="../base/r.png")
