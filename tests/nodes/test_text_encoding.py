"""Prompts for models with several text encoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.conditioning.joined import JoinedEncoder, join_flux, join_sd3, join_sdxl
from app.diffusion.conditioning.text_encoder import TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges
from app.diffusion.inputs import FluxInputs
from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.flux import FLUX_DEV
from app.diffusion.models.t5 import T5Config, T5Encoder

WORDS = Tokenizer(learn_merges(["red", "circle"]))


def tower(name: str, width: int) -> TextEncoder:
    torch.manual_seed(width)
    return TextEncoder(ClipText(ClipTextConfig(len(WORDS), width, 1, 2, 8)).eval(), WORDS, name=name)


@pytest.fixture(scope="module")
def encoders() -> dict[str, TextEncoder]:
    t5 = T5Encoder(T5Config(len(WORDS), 4096, 8, 1, 2, 4)).eval()
    t5xxl = TextEncoder(t5, WORDS, padding=0, name="t5xxl", least=12)
    return {"l": tower("l", 768), "g": tower("g", 1280), "t5xxl": t5xxl}


def test_sdxl_reads_two_prompts_and_its_sizes(bench: Any, encoders: dict[str, TextEncoder]) -> None:
    clip = JoinedEncoder.of({"l": encoders["l"], "g": encoders["g"]}, join_sdxl)
    ((features, said),) = bench("CLIPTextEncodeSDXL", clip=clip, text_g="red", text_l="circle", width=640, crop_h=8)
    assert torch.equal(features[..., :768], encoders["l"].encode("circle").context)
    assert torch.equal(features[..., 768:], encoders["g"].encode("red").context)
    assert torch.equal(said["pooled_output"], encoders["g"].encode("red").pooled)
    assert (said["width"], said["height"], said["crop_w"], said["crop_h"]) == (640, 1024, 0, 8)
    assert (said["target_width"], said["target_height"]) == (1024, 1024)


def test_prompts_of_unequal_length_both_count_whole(bench: Any, encoders: dict[str, TextEncoder]) -> None:
    clip = JoinedEncoder.of({"l": encoders["l"], "g": encoders["g"]}, join_sdxl)
    ((features, _),) = bench("CLIPTextEncodeSDXL", clip=clip, text_g="red " * 10, text_l="red")
    assert features.shape == (1, 16, 2048)


def test_the_refiner_hears_an_aesthetic_score(bench: Any, encoders: dict[str, TextEncoder]) -> None:
    ((features, said),) = bench("CLIPTextEncodeSDXLRefiner", clip=encoders["g"], text="red", ascore=2.5)
    assert torch.equal(features, encoders["g"].encode("red").context)
    assert (said["aesthetic_score"], said["width"], said["height"]) == (2.5, 1024, 1024)


def test_sd3_reads_three_prompts(bench: Any, encoders: dict[str, TextEncoder]) -> None:
    clip = JoinedEncoder.of(encoders, join_sd3)
    given = {"clip": clip, "clip_l": "red", "clip_g": "circle", "t5xxl": "red circle"}
    ((features, said),) = bench("CLIPTextEncodeSD3", **given, empty_padding="none")
    assert features.shape == (1, 8 + 12, 4096)
    assert torch.equal(features[:, 8:], encoders["t5xxl"].encode("red circle").context)
    assert torch.equal(said["pooled_output"][:, 768:], encoders["g"].encode("circle").pooled)


def test_an_empty_prompt_says_nothing_or_what_is_said_of_it(bench: Any, encoders: dict[str, TextEncoder]) -> None:
    clip = JoinedEncoder.of(encoders, join_sd3)
    given = {"clip": clip, "clip_l": "red", "clip_g": "", "t5xxl": ""}
    ((silent, said),) = bench("CLIPTextEncodeSD3", **given, empty_padding="none")
    assert silent.shape == (1, 8, 4096)
    assert not said["pooled_output"][:, 768:].any()
    ((spoken, said),) = bench("CLIPTextEncodeSD3", **given, empty_padding="empty_prompt")
    assert spoken.shape == (1, 20, 4096)
    assert torch.equal(said["pooled_output"][:, 768:], encoders["g"].encode("").pooled)


def test_flux_reads_two_prompts_and_its_guidance(bench: Any, encoders: dict[str, TextEncoder]) -> None:
    clip = JoinedEncoder.of({"l": encoders["l"], "t5xxl": encoders["t5xxl"]}, join_flux)
    conditioning = bench("CLIPTextEncodeFlux", clip=clip, clip_l="red", t5xxl="circle", guidance=2.0)
    ((features, said),) = conditioning
    assert torch.equal(features, encoders["t5xxl"].encode("circle").context)
    assert torch.equal(said["pooled_output"], encoders["l"].encode("red").pooled)
    assert said["guidance"] == 2.0
    assert bench("FluxGuidance", conditioning=conditioning, guidance=5.0)[0][1]["guidance"] == 5.0
    assert bench("FluxDisableGuidance", conditioning=conditioning)[0][1]["guidance"] is None
    assert said["guidance"] == 2.0, "the conditioning that was given stays as it was"


@pytest.mark.parametrize(("said", "told"), [({}, 3.5), ({"guidance": 2.0}, 2.0), ({"guidance": None}, None)])
def test_flux_hears_the_guidance_if_there_is_one(said: dict[str, Any], told: float | None) -> None:
    inputs = FluxInputs(FLUX_DEV, LatentFormat(16))
    heard = inputs(torch.zeros(1, 3, 4096), said, torch.zeros(1, 16, 4, 4)).get("guidance")
    assert (None if heard is None else float(heard)) == told


def test_controlnets_get_a_text_of_their_own(bench: Any) -> None:
    clip = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[1]
    said, other = (bench("CLIPTextEncode", clip=clip, text=text) for text in ("red", "blue"))
    ((features, options),) = bench("CLIPTextEncodeControlnet", clip=clip, conditioning=said, text="blue")
    assert features is said[0][0]
    assert torch.equal(options["cross_attn_controlnet"], other[0][0])
    assert torch.equal(options["pooled_output_controlnet"], other[0][1]["pooled_output"])
