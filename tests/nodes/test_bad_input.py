"""What people give by mistake is told by name, with the way out, before time is spent on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from app.diffusion.inputs import UNetInputs
from app.diffusion.models.unet import UNet, UNetConfig
from app.errors import AppError, InvalidRequest, UnknownFamily, UnusableFile
from app.settings import Settings
from tests.tiny import save_tiny_checkpoint

DOWN, UP = "lora_down.weight", "lora_up.weight"
FIRST = "model.diffusion_model.input_blocks.0.0.weight"
# A layer of the tiny model, and how wide its context is.
CROSS = "lora_unet_input_blocks_3_1_transformer_blocks_0_attn2_to_k"


@pytest.fixture
def models(installation: Settings) -> Path:
    return installation.directories.base / "models"


def put(path: Path, tensors: dict[str, Tensor]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return path.name


def lora(width: int) -> dict[str, Tensor]:
    return {f"{CROSS}.{DOWN}": torch.ones(2, width), f"{CROSS}.{UP}": torch.ones(32, 2)}


def tiny(models: Path) -> dict[str, Tensor]:
    return load_file(models / "checkpoints" / "tiny.safetensors")


def put_tiny(models: Path, tensors: dict[str, Tensor]) -> str:
    """The tiny checkpoint with other tensors, and its description."""
    from safetensors import safe_open

    with safe_open(models / "checkpoints" / "tiny.safetensors", framework="pt") as file:
        told: dict[str, str] = file.metadata()
    save_file(tensors, models / "checkpoints" / "other.safetensors", told)
    return "other.safetensors"


def refused(error: type[AppError], call: Any, told: str, remedy: str, input_name: str) -> None:
    with pytest.raises(error, match=told) as caught:
        call()
    assert remedy in caught.value.remedy and caught.value.input_name == input_name


def test_a_lora_among_the_checkpoints(bench: Any, models: Path) -> None:
    name = put(models / "checkpoints" / "style.safetensors", lora(16))
    told = r"'style\.safetensors' is not a checkpoint .*: it is a LoRA"
    refused(UnknownFamily, lambda: bench("CheckpointLoaderSimple", ckpt_name=name), told, "models/loras", "ckpt_name")


@pytest.mark.parametrize(
    ("node", "folder", "input_name"),
    [
        ("UNETLoader", "diffusion_models", "unet_name"),
        ("VAELoader", "vae", "vae_name"),
        ("CLIPLoader", "text_encoders", "clip_name"),
    ],
)
def test_a_lora_in_every_other_slot(bench: Any, models: Path, node: str, folder: str, input_name: str) -> None:
    name = put(models / folder / "style.safetensors", lora(16))
    asked = {input_name: name, **({"weight_dtype": "default"} if node == "UNETLoader" else {})}
    refused(UnknownFamily, lambda: bench(node, **asked), "it is a LoRA", "models/loras", input_name)


def test_a_checkpoint_among_the_loras(bench: Any, models: Path) -> None:
    name = put(models / "loras" / "model.safetensors", tiny(models))
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    call: Any = lambda: bench("LoraLoader", model=model, clip=clip, lora_name=name)  # noqa: E731
    refused(UnknownFamily, call, "is not a LoRA", "models/", "lora_name")


def test_a_lora_of_another_model(bench: Any, models: Path) -> None:
    """The layer is there, but reads a context of another width: SDXL's LoRA on Stable Diffusion 1."""
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    name = put(models / "loras" / "xl.safetensors", lora(2048))
    call: Any = lambda: bench("LoraLoader", model=model, clip=clip, lora_name=name)  # noqa: E731
    with pytest.raises(InvalidRequest, match=r"xl\.safetensors.*shape") as caught:
        call()
    assert caught.value.remedy and caught.value.input_name == "lora_name"
    fits = put(models / "loras" / "own.safetensors", lora(16))
    assert bench("LoraLoader", model=model, clip=clip, lora_name=fits)[0].network is not model.network


def test_missing_tensors(bench: Any, models: Path) -> None:
    tensors = tiny(models)
    del tensors[FIRST]
    name = put_tiny(models, tensors)
    told = rf"'other\.safetensors' lacks the tensor '{FIRST}'"
    refused(UnusableFile, lambda: bench("CheckpointLoaderSimple", ckpt_name=name), told, "another copy", "ckpt_name")


@pytest.mark.parametrize(
    "part",
    [
        FIRST,
        "first_stage_model.decoder.conv_in.weight",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    ],
)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers(bench: Any, models: Path, part: str, bad: float) -> None:
    tensors = tiny(models)
    tensors[part].view(-1)[0] = bad
    name = put_tiny(models, tensors)
    told = f"the tensor '{part}' holds values that are not numbers"
    refused(UnusableFile, lambda: bench("CheckpointLoaderSimple", ckpt_name=name), told, "another copy", "ckpt_name")


def sampled(bench: Any, model: Any, clip: Any, latent: Tensor, **recipe: Any) -> Tensor:
    said = bench("CLIPTextEncode", clip=clip, text="red")
    recipe = {
        "seed": 1,
        "steps": 2,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
        **recipe,
    }
    given = {"model": model, "positive": said, "negative": said, "latent_image": {"samples": latent}}
    return bench("KSampler", **given, **recipe)["samples"]


class Broken(nn.Module):
    """A network whose second answer is no number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.calls = 0

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        self.calls += 1
        return x * float("nan") if self.calls > 1 else x


def test_results_that_are_not_numbers_end_the_run_at_once(bench: Any) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    broken = Broken()
    with pytest.raises(AppError, match="Step 2 of 20 gave values that are not numbers") as caught:
        sampled(bench, replace(model, network=broken), clip, torch.zeros(1, 4, 4, 4), steps=20, cfg=1.0)
    assert caught.value.remedy and broken.calls == 2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 5), (7, 2), (9, 16)])
def test_a_network_of_four_levels_takes_every_size(bench: Any, size: tuple[int, int]) -> None:
    """Sizes that cannot be halved three times, which a model would choke on, are drawn all the same."""
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    config = UNetConfig(4, 4, 16, (1, 1, 1, 1), 1, (0, 0, 0, 1), heads=2, context_width=16, groups=8)
    deep = replace(model, network=UNet(config).eval().requires_grad_(False), inputs=UNetInputs(config, model.latent))
    drawn = sampled(bench, deep, clip, torch.zeros(1, 4, *size))
    assert drawn.shape == (1, 4, *size) and torch.isfinite(drawn).all()


def test_a_latent_of_another_kind_of_model(bench: Any) -> None:
    model, clip, vae = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    with pytest.raises(InvalidRequest, match="has 16 channels; the model works on 4"):
        sampled(bench, model, clip, torch.ones(1, 16, 4, 4))
    with pytest.raises(InvalidRequest, match="has 16 channels; the VAE decodes 4"):
        bench("VAEDecode", samples={"samples": torch.ones(1, 16, 4, 4)}, vae=vae)


def test_the_tiny_checkpoint_is_sound(bench: Any, models: Path, tmp_path: Path) -> None:
    """What is spoilt above is whole before."""
    save_tiny_checkpoint(tmp_path / "again.safetensors")
    assert set(load_file(tmp_path / "again.safetensors")) == set(tiny(models))
    name = put_tiny(models, tiny(models))
    assert bench("CheckpointLoaderSimple", ckpt_name=name)[0].family == "tiny"
