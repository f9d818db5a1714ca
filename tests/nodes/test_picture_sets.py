from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from app.errors import Forbidden, InvalidRequest, Missing
from app.graph.spec import object_info
from app.settings import Settings
from app.store.folders import FileNames


def write_set(installation: Settings) -> Path:
    """Three pictures, two of which are described, and one in a folder of its own."""
    folder = installation.directories.input / "cats"
    (folder / "2_more").mkdir(parents=True)
    for name, colour in (("a", "red"), ("b", "lime"), ("2_more/c", "blue")):
        Image.new("RGB", (16, 8), colour).save(folder / f"{name}.png")
    (folder / "a.txt").write_text("red")
    (folder / "2_more" / "c.txt").write_text("circle")
    return folder


def test_a_folder_is_a_batch(bench: Any, installation: Settings) -> None:
    write_set(installation)
    images = bench("LoadImageSetFromFolderNode", folder="cats")
    assert images.shape == (4, 8, 16, 3)
    assert images[:, 0, 0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_each_picture_has_its_description(bench: Any, installation: Settings) -> None:
    write_set(installation)
    _, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    images, said = bench(
        "LoadImageTextSetFromFolderNode", folder="cats", clip=clip, resize_method="Pad", width=8, height=8
    )
    assert images.shape == (4, 8, 8, 3)
    assert len(said) == 4
    for entry, text in zip(said, ("red", "", "circle", "circle"), strict=True):
        assert torch.equal(entry[0], bench("CLIPTextEncode", clip=clip, text=text)[0][0])


def test_a_set_can_be_encoded_and_learnt_from(bench: Any, installation: Settings) -> None:
    write_set(installation)
    model, clip, vae = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    images, said = bench("LoadImageTextSetFromFolderNode", folder="cats", clip=clip)
    latents = bench("VAEEncode", pixels=images, vae=vae)
    _, lora, losses, _ = bench("TrainLoraNode", model=model, latents=latents, positive=said, steps=1)
    assert len(losses["loss"]) == 1
    assert lora


def test_what_is_not_there_or_not_allowed_is_told(bench: Any, installation: Settings) -> None:
    write_set(installation)
    for folder in ("gone", "", "cats/a.png"):
        with pytest.raises(Missing) as missing:
            bench("LoadImageSetFromFolderNode", folder=folder)
        assert missing.value.input_name == "folder"
    for folder in ("..", "../output", "/etc"):
        with pytest.raises(Forbidden):
            bench("LoadImageSetFromFolderNode", folder=folder)
    Image.new("RGB", (5, 5)).save(installation.directories.input / "cats" / "z.png")
    with pytest.raises(InvalidRequest, match="resize_method"):
        bench("LoadImageSetFromFolderNode", folder="cats")


def test_folders_with_files_are_the_choices_and_a_change_in_one_is_seen(bench: Any, installation: Settings) -> None:
    folder = write_set(installation)
    node = bench.workshop.nodes["LoadImageSetFromFolderNode"]
    files = FileNames(bench.workshop.folders)
    assert object_info(node.spec, files)["input"]["required"]["folder"][0] == ["cats", "cats/2_more"]
    before = node.fingerprint({"folder": "cats"})
    assert node.fingerprint({"folder": "cats"}) == before
    (folder / "2_more" / "c.txt").write_text("another text")
    assert node.fingerprint({"folder": "cats"}) != before


def test_a_file_may_be_chosen_or_none(bench: Any) -> None:
    spec = bench.workshop.nodes["TrainLoraNode"].spec
    entry = object_info(spec, {"loras": ("a.safetensors",)})["input"]["required"]["existing_lora"]
    assert entry[0] == ["a.safetensors", "[None]"]
    assert entry[1]["default"] == "[None]"
