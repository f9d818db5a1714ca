"""Every family draws: a file of it, narrow, through the nodes that its users wire, to a picture.

Its published shape is held to the lists of names in `tests/weights`; here its inputs, noise levels, latents and nodes
are the published ones, and only the layers are thin.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.families import Family, family_to_json
from app.diffusion.first_stage import autoencoder_of
from app.diffusion.models.clip_vision import VisionFeatures
from app.diffusion.models.unet import UNet, UNetConfig
from app.diffusion.published import PUBLISHED, U_NETS
from app.errors import AppError
from app.settings import Settings
from app.weights.checkpoint import FAMILY_KEY

NAME = "family.safetensors"
PICTURE = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(1))
MASK = torch.zeros(1, 64, 96)
MASK[..., 40:] = 1


def narrow(family: Family) -> Family:
    """The same inputs, outputs, levels and kinds of layers; few channels, and one block where there are several."""
    config = U_NETS[family.name]
    levels = range(len(config.channel_mult))
    unet = replace(
        config,
        model_channels=16,
        channel_mult=tuple(1 + (level > 0) for level in levels),
        transformer_depth=tuple(min(depth, 1) for depth in config.transformer_depth),
        transformer_depth_middle=min(config.transformer_depth_middle, 1),
        output_depth=tuple(min(depth, 1) for depth in config.output_depth),
        heads=config.heads and 2,
        head_width=config.head_width and 8,
        groups=8,
    )
    stage = family.first_stage
    stage = replace(stage, channels=8, groups=4, num_res_blocks=1, codes=min(stage.codes, 32))
    return replace(family, unet=unet, first_stage=stage)


def weights(family: Family) -> dict[str, Tensor]:
    """Random tensors under the names of a published file."""
    assert isinstance(family.unet, UNetConfig)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network, stage = UNet(family.unet), autoencoder_of(family.first_stage)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.08)
        told = {
            "classes": {"cond_stage_model.embedding.weight": torch.randn(1001, family.unet.context_width or 1)},
            "segmentation": {"cond_stage_model.channel_mapper.weight": torch.randn(3, 182, 1, 1)},
        }
        width = family.unet.vector_width // 2
        if family.name.startswith("sd2-unclip"):
            told["sd2"] = {f"noise_augmentor.data_{what}": torch.rand(1, width) + 0.5 for what in ("mean", "std")}
    state = {f"model.diffusion_model.{key}": value for key, value in network.state_dict().items()}
    state |= {f"first_stage_model.{key}": value for key, value in stage.state_dict().items()}
    return state | told.get(str(family.text), {})


@dataclass
class Loaded:
    """A family's parts as the loader gives them, and how its prompts look."""

    bench: Any
    family: Family
    model: Any
    clip: Any
    vae: Any

    def prompt(self, seed: int) -> list[list[Any]]:
        """What a text encoder would say."""
        config = self.family.unet
        assert isinstance(config, UNetConfig)
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn(1, 7, config.context_width or 1, generator=generator)
        return [[features, {"pooled_output": torch.randn(1, 1280, generator=generator)}]]

    def size(self, width: int = 64, height: int = 96) -> dict[str, Any]:
        """An empty latent for a picture of that size."""
        return self.bench("EmptyLatentImage", width=width, height=height, batch_size=1)


Sides = tuple[Any, Any, Any]


def prompted(loaded: Loaded, seed: int) -> Sides:
    return loaded.prompt(seed), loaded.prompt(0), loaded.size()


def inpainted(loaded: Loaded, seed: int) -> Sides:
    sides = {"positive": loaded.prompt(seed), "negative": loaded.prompt(0)}
    picture = PICTURE if seed < 3 else 1 - PICTURE
    return loaded.bench("InpaintModelConditioning", **sides, vae=loaded.vae, pixels=picture, mask=MASK)


def edited(loaded: Loaded, seed: int) -> Sides:
    sides = {"positive": loaded.prompt(seed), "negative": loaded.prompt(0)}
    return loaded.bench("InstructPixToPixConditioning", **sides, vae=loaded.vae, pixels=PICTURE)


def deep(loaded: Loaded, seed: int) -> Sides:
    sides = {"positive": loaded.prompt(seed), "negative": loaded.prompt(0)}
    positive, negative = loaded.bench("LoomDepthConditioning", **sides, depth=PICTURE)
    return positive, negative, loaded.size()


def enlarged(loaded: Loaded, seed: int) -> Sides:
    sides = {"positive": loaded.prompt(seed), "negative": loaded.prompt(0)}
    small = PICTURE[:, :16, :24]
    return loaded.bench("SD_4XUpscale_Conditioning", **sides, images=small, noise_augmentation=0.1 * seed)


def seen(loaded: Loaded, seed: int) -> Sides:
    width = loaded.model.inputs.augmentor.mean.shape[-1]
    embeds = torch.randn(1, width, generator=torch.Generator().manual_seed(seed))
    features = VisionFeatures(embeds, embeds, embeds)
    told = {"clip_vision_output": features, "strength": 1.0, "noise_augmentation": 0.2}
    positive = loaded.bench("unCLIPConditioning", conditioning=loaded.prompt(1), **told)
    return positive, loaded.prompt(0), loaded.size()


def refined(loaded: Loaded, seed: int) -> Sides:
    said = loaded.prompt(1)
    positive = [[said[0][0], {**said[0][1], "aesthetic_score": 3.0 * seed, "width": 512, "height": 768}]]
    return positive, loaded.prompt(0), loaded.size()


def classified(loaded: Loaded, seed: int) -> Sides:
    classes = (loaded.bench("LoomClassConditioning", clip=loaded.clip, label=label) for label in (seed, 1000))
    return *classes, loaded.size()


def unconditional(loaded: Loaded, seed: int) -> Sides:
    nothing = loaded.bench("LoomEmptyConditioning")
    return nothing, nothing, {"samples": torch.zeros(1, loaded.model.latent.channels, 16, 8 * seed)}


def erased(loaded: Loaded, seed: int) -> Sides:
    nothing = loaded.bench("LoomEmptyConditioning")
    picture = PICTURE if seed < 2 else 1 - PICTURE
    return loaded.bench(
        "InpaintModelConditioning",
        positive=nothing,
        negative=nothing,
        vae=loaded.vae,
        pixels=picture,
        mask=MASK,
        noise_mask=False,
    )


def magnified(loaded: Loaded, seed: int) -> Sides:
    nothing = loaded.bench("LoomEmptyConditioning")
    small = PICTURE[:, :16, : 8 * seed]
    return loaded.bench("LoomSuperResolutionConditioning", positive=nothing, negative=nothing, images=small)


def mapped(loaded: Loaded, seed: int) -> Sides:
    labels = torch.full((1, 64, 96, 3), seed / 255)
    said, latent = loaded.bench("LoomSegmentationConditioning", clip=loaded.clip, labels=labels)
    return said, said, latent


SPECIAL: dict[str, Callable[[Loaded, int], Sides]] = {
    "sd1-inpaint": inpainted,
    "sd2-inpaint": inpainted,
    "sdxl-inpaint": inpainted,
    "sd1-instruct-pix2pix": edited,
    "sdxl-instruct-pix2pix": edited,
    "sd2-depth": deep,
    "sd2-x4-upscaler": enlarged,
    "sd2-unclip-l": seen,
    "sd2-unclip-h": seen,
    "sdxl-refiner": refined,
    "ldm-cin256": classified,
    "ldm-cin256-v2": classified,
    "ldm-unconditional": unconditional,
    "ldm-churches": unconditional,
    "ldm-inpainting-big": erased,
    "ldm-bsr-sr": magnified,
    "ldm-semantic-synthesis": mapped,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_draws_what_it_is_told(bench: Any, installation: Settings, name: str) -> None:
    family = narrow(PUBLISHED[name])
    path: Path = installation.directories.base / "models" / "checkpoints" / NAME
    save_file(weights(family), path, {FAMILY_KEY: json.dumps(family_to_json(family))})
    loaded = Loaded(bench, family, *bench("CheckpointLoaderSimple", ckpt_name=NAME))
    told = SPECIAL.get(name, prompted)
    pictures: list[Tensor] = []
    for seed in (1, 2):
        positive, negative, latent = told(loaded, seed)
        is_guided = positive is not negative and family.text not in ("none", "segmentation")
        drawn = bench(
            "KSampler",
            model=loaded.model,
            positive=positive,
            negative=negative,
            latent_image=latent,
            seed=5,
            steps=2,
            cfg=2.0 if is_guided else 1.0,
            sampler_name="dpmpp_2m",
            scheduler="karras",
        )
        channels, factor = family.latent.channels, family.latent.factor
        assert drawn["samples"].shape[:2] == (1, channels)
        assert bool(drawn["samples"].isfinite().all())
        picture = bench("VAEDecode", vae=loaded.vae, samples=drawn)
        assert picture.shape[1:3] == tuple(side * factor for side in drawn["samples"].shape[-2:])
        pictures.append(picture)
    one, other = pictures
    assert one.shape != other.shape or not torch.allclose(one, other)


@pytest.mark.parametrize("name", ["ldm-cin256-v2", "ldm-semantic-synthesis", "ldm-churches"])
def test_prompts_are_refused_where_there_is_no_text_encoder(bench: Any, installation: Settings, name: str) -> None:
    family = narrow(PUBLISHED[name])
    path: Path = installation.directories.base / "models" / "checkpoints" / NAME
    save_file(weights(family), path, {FAMILY_KEY: json.dumps(family_to_json(family))})
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name=NAME)
    for node, inputs in (
        ("CLIPTextEncode", {"text": "red"}),
        ("CLIPTextEncodeSDXL", {"text_g": "red", "text_l": "red"}),
        ("CLIPSetLastLayer", {"stop_at_clip_layer": -2}),
        ("CLIPSave", {"filename_prefix": "clip"}),
        ("CLIPMergeSimple", {"clip1": clip, "clip2": clip, "ratio": 0.5}),
        ("LoraLoader", {"model": model, "lora_name": "none.safetensors"}),
    ):
        with pytest.raises(AppError):
            bench(node, **({} if "clip1" in inputs else {"clip": clip}), **inputs)
