"""Built-in nodes as packs call them: by position, by name, as base classes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from app.context.context import NodeContext
from app.extend.facade.bridge import FacadeHost
from app.extend.facade.native_classes import METHODS
from app.weights.checkpoint import Checkpoint


@pytest.fixture
def nodes(host: FacadeHost) -> Any:
    return importlib.import_module("nodes")


def test_positions_are_those_of_the_declared_inputs(nodes: Any) -> None:
    for name, (function, words) in METHODS.items():
        kind = nodes.NODE_CLASS_MAPPINGS.get(name)
        if kind is not None:
            sections = kind.INPUT_TYPES()
            known = {**sections["required"], **sections.get("optional", {})}
            assert function == kind.FUNCTION
            assert set(words.split()) - {"vae", "device", "denoise"} <= set(known), name


def test_a_node_is_called_by_position_and_by_name(nodes: Any, host: FacadeHost, context: NodeContext) -> None:
    with host.enter(context):
        (image,) = nodes.EmptyImage().generate(8, 4, 2, color=0xFF0000)
        assert image.shape == (2, 4, 8, 3)
        (inverted,) = nodes.ImageInvert().invert(image)
        assert inverted[0, 0, 0].tolist() == [0, 1, 1]
        (scaled,) = nodes.ImageScale().upscale(inverted, "nearest-exact", 16, 8, "disabled")
        assert scaled.shape == (2, 8, 16, 3)
        (latent,) = nodes.EmptyLatentImage().generate(64, 64)
        assert latent["samples"].shape == (1, 4, 8, 8)


@torch.inference_mode()
def test_prompts_and_pictures_as_packs_make_them(
    nodes: Any, host: FacadeHost, context: NodeContext, tiny: Checkpoint
) -> None:
    clip, vae, model = (host.to_pack(part) for part in (tiny.clip, tiny.vae, tiny.model))
    with host.enter(context):
        (positive,) = nodes.CLIPTextEncode().encode(clip, "red")
        (negative,) = nodes.ConditioningZeroOut().zero_out(positive)
        (latent,) = nodes.KSampler().sample(
            model, 5, 2, 4.0, "euler", "simple", positive, negative, {"samples": torch.zeros(1, 4, 4, 4)}
        )
        (image,) = nodes.VAEDecode().decode(vae, latent)
        assert image.shape == (1, 32, 32, 3)
        assert torch.equal(nodes.VAEEncode().encode(vae, image)[0]["samples"], vae.encode(image))


def test_saving_writes_files_with_the_next_number(nodes: Any, host: FacadeHost) -> None:
    saver = nodes.SaveImage()
    image = torch.rand(2, 4, 6, 3)
    first = saver.save_images(image, "sub/x", prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}})
    names = [entry["filename"] for entry in first["ui"]["images"]]
    assert names == ["x_00001_.png", "x_00002_.png"]
    assert saver.save_images(image[:1], "sub/x")["ui"]["images"][0]["filename"] == "x_00003_.png"
    from PIL import Image

    with Image.open(Path(saver.output_dir) / "sub" / names[0]) as picture:
        assert picture.size == (6, 4)
        assert "workflow" in picture.info
    shown = nodes.PreviewImage().save_images(image)["ui"]["images"][0]
    assert shown["type"] == "temp"
    assert (Path(importlib.import_module("folder_paths").get_temp_directory()) / shown["filename"]).is_file()


def test_titles_and_classes_of_all_nodes(nodes: Any) -> None:
    assert nodes.NODE_DISPLAY_NAME_MAPPINGS["CheckpointLoaderSimple"] == "Load Checkpoint"
    assert nodes.KSampler is nodes.NODE_CLASS_MAPPINGS["KSampler"]
    assert nodes.EXTENSION_WEB_DIRS == {}
    with pytest.raises(AttributeError, match="NoSuchNode"):
        _ = nodes.NoSuchNode
