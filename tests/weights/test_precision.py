"""Which precision a device computes in, and that it does not show in pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from app.diffusion.conditioning.entries import conditioning_of
from app.diffusion.drawing import Recipe, draw, empty_latent
from app.diffusion.layout import prepare
from app.diffusion.models.unet import UNet
from app.diffusion.working import make_ready
from app.weights import precision
from app.weights.checkpoint import load_checkpoint
from app.weights.precision import CHOICES, DTYPES, Precision, precision_for
from tests.weights.widened import widened

SHIPPED = Path(__file__).parents[2] / "models" / "checkpoints" / "loom-scenes-64.safetensors"


def test_a_named_precision_holds_everywhere() -> None:
    for name in CHOICES[1:]:
        for device in ("cpu", "meta"):
            held = precision_for(torch.device(device), name)
            assert held.network == held.first_stage == DTYPES[name]


@pytest.mark.parametrize(("fast", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_processor_takes_bfloat16_only_where_it_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, fast: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "multiplies_in_bfloat16", lambda: fast)
    assert precision_for(torch.device("cpu")) == Precision(expected, expected, torch.float32)


@pytest.mark.parametrize(("capability", "stage"), [((9, 0), torch.bfloat16), ((7, 5), torch.float32)])
def test_a_graphics_card_keeps_the_first_stage_from_overflowing(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], stage: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    assert precision_for(torch.device("cuda")) == Precision(torch.float16, stage, torch.float16)


@pytest.mark.parametrize("has", [True, False])
def test_a_processor_without_float16_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, has: bool
) -> None:
    facts = {"architecture": "x86_64", "avx512_fp16": has}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: facts)
    assert precision_for(torch.device("cpu"), "float16").network == torch.float16
    assert ("no float16" in caplog.text) != has


def test_parts_are_loaded_in_their_precision(tiny_file: Path) -> None:
    checkpoint = load_checkpoint(tiny_file, Precision(torch.bfloat16, torch.float16, torch.float32))
    assert checkpoint.model.dtype == torch.bfloat16
    for part in (checkpoint.vae.model, checkpoint.clip.model):
        make_ready(part)
    assert next(checkpoint.vae.model.parameters()).dtype == torch.float16
    assert {value.dtype for value in checkpoint.clip.towers["l"].parameters()} == {torch.float32}


def picture(network: torch.dtype, seed: int, times: int = 1) -> Tensor:
    """A picture of the shipped checkpoint, whose network may be widened so many times."""
    checkpoint = load_checkpoint(SHIPPED)
    unet = cast("UNet", checkpoint.model.network.float())
    if times > 1:
        unet = widened(unet, times)
    prepare(unet.to(network), 1 << 30)
    checkpoint.vae.model.to(network)
    positive, negative = (conditioning_of(checkpoint.clip.encode(text)) for text in ("a small blue ring", ""))
    recipe = Recipe(seed=seed, steps=20, cfg=3.0, sampler="euler", schedule="simple")
    drawing = draw(replace(checkpoint.model, network=unet), positive, negative, empty_latent(64, 64), recipe)
    for _ in drawing:
        pass
    return checkpoint.vae.decode(drawing.result["samples"])


def decibels(picture: Tensor, like: Tensor) -> float:
    return float(-10 * torch.log10((picture - like).square().mean()))


@pytest.mark.parametrize("seed", [1, 2])
def test_bfloat16_does_not_show(seed: int) -> None:
    assert decibels(picture(torch.bfloat16, seed), picture(torch.float32, seed)) >= 40  # the eye sees nothing above


def test_bfloat16_does_not_show_in_wide_networks_either() -> None:
    """With 256 and 512 channels, so that transformed convolutions and folded texts take part."""
    exact = picture(torch.float32, 1, times=4)
    assert decibels(exact, picture(torch.float32, 1)) > 100  # the same picture
    assert decibels(picture(torch.bfloat16, 1, times=4), exact) >= 50
