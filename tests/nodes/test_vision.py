"""Pictures as conditions, as nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.diffusion.models.clip_vision import ClipVision, ClipVisionConfig, seen
from app.errors import Missing, UnknownFamily
from app.settings import Settings

SMALL = ClipVisionConfig(32, 2, 16, 48, 4, 12, "gelu", 8)


@pytest.fixture
def folder(installation: Settings) -> Path:
    folder = installation.directories.base / "models" / "clip_vision"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    save_file(ClipVision(SMALL).state_dict(), folder / "vision.safetensors")
    return folder


def test_a_picture_is_seen_whole_or_in_its_middle(bench: Any, folder: Path) -> None:
    vision = bench("CLIPVisionLoader", clip_name="vision.safetensors")
    assert bench("CLIPVisionLoader", clip_name="vision.safetensors") is vision
    image = torch.rand(2, 20, 40, 3)
    middle = bench("CLIPVisionEncode", clip_vision=vision, image=image, crop="center")
    whole = bench("CLIPVisionEncode", clip_vision=vision, image=image, crop="none")
    assert middle.image_embeds.shape == (2, 8)
    torch.testing.assert_close(middle.image_embeds, vision(seen(image, 12)).image_embeds)
    assert not torch.allclose(middle.image_embeds, whole.image_embeds)


def test_pictures_add_up_in_a_conditioning(bench: Any, folder: Path) -> None:
    vision = bench("CLIPVisionLoader", clip_name="vision.safetensors")
    picture = bench("CLIPVisionEncode", clip_vision=vision, image=torch.rand(1, 12, 12, 3))
    given = [[torch.zeros(1, 3, 4), {}]]
    once = bench("unCLIPConditioning", conditioning=given, clip_vision_output=picture, strength=0.5)
    twice = bench("unCLIPConditioning", conditioning=once, clip_vision_output=picture, noise_augmentation=0.3)
    assert [each["strength"] for each in twice[0][1]["unclip_conditioning"]] == [0.5, 1.0]
    assert twice[0][1]["unclip_conditioning"][1]["noise_augmentation"] == 0.3
    assert len(once[0][1]["unclip_conditioning"]) == 1, "the conditioning that was given stays as it was"
    assert bench("unCLIPConditioning", conditioning=given, clip_vision_output=picture, strength=0.0) is given


def test_pictures_take_the_place_of_a_prompt(bench: Any, folder: Path) -> None:
    vision = bench("CLIPVisionLoader", clip_name="vision.safetensors")
    picture = bench("CLIPVisionEncode", clip_vision=vision, image=torch.rand(2, 12, 12, 3))
    ((context, said),) = bench("LoomPictureConditioning", clip_vision_output=picture)
    assert context.shape == (1, 2, 8) and said == {}
    assert torch.allclose(context.norm(dim=-1), torch.ones(1, 2))
    assert torch.allclose(context[0, 1] * picture.image_embeds[1].norm(), picture.image_embeds[1], atol=1e-5)


def test_what_cannot_be_loaded_is_named(bench: Any, folder: Path) -> None:
    save_file({"decoder.conv_in.weight": torch.zeros(1)}, folder / "vae.safetensors")
    with pytest.raises(UnknownFamily, match="a VAE"):
        bench("CLIPVisionLoader", clip_name="vae.safetensors")
    with pytest.raises(Missing) as told:
        bench("CLIPVisionLoader", clip_name="absent.safetensors")
    assert told.value.input_name == "clip_name"


def test_a_checkpoint_without_a_vision_tower_is_named(bench: Any) -> None:
    with pytest.raises(UnknownFamily, match=r"'tiny\.safetensors' is not a vision encoder"):
        bench("unCLIPCheckpointLoader", ckpt_name="tiny.safetensors")
