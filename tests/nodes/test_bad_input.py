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
from app.diffusion.parameterization import flow
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


NAN = float("nan")
NOTHING: Any = None


def tools(bench: Any) -> tuple[Any, Any, Any]:
    return bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")


def ksampled(bench: Any, **inputs: Any) -> Any:
    model, clip, _ = tools(bench)
    said = bench("CLIPTextEncode", clip=clip, text="red")
    usual = {"model": model, "positive": said, "negative": said, "latent_image": {"samples": torch.zeros(1, 4, 4, 4)}}
    recipe = {"seed": 1, "steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    return bench("KSampler", **{**usual, **recipe, **inputs})


@pytest.mark.parametrize("weight", ["1e39", "1e30", "-5000"])
def test_a_weight_that_is_too_large_is_shown(bench: Any, weight: str) -> None:
    _, clip, _ = tools(bench)
    call: Any = lambda: bench("CLIPTextEncode", clip=clip, text=f"a (red:{weight}) circle")  # noqa: E731
    told = rf"'red' has the weight {float(weight):g}, which".replace("+", r"\+")
    refused(InvalidRequest, call, told, "from 0.5 to 1.5", "text")


def test_an_embedding_that_is_not_numbers_is_named(bench: Any, models: Path) -> None:
    _, clip, _ = tools(bench)
    put(models / "embeddings" / "mine.safetensors", {"emb_params": torch.full((2, 16), NAN)})
    call: Any = lambda: bench("CLIPTextEncode", clip=clip, text="embedding:mine")  # noqa: E731
    refused(UnusableFile, call, r"'mine\.safetensors' the tensor 'emb_params' holds", "another copy", "text")


def test_an_embedding_of_a_single_number_is_named(bench: Any, models: Path) -> None:
    _, clip, _ = tools(bench)
    put(models / "embeddings" / "mine.safetensors", {"emb_params": torch.zeros(())})
    call: Any = lambda: bench("CLIPTextEncode", clip=clip, text="embedding:mine")  # noqa: E731
    refused(InvalidRequest, call, "'mine' has vectors of width 1; .* 16 wide", "made for this kind", "text")


def test_a_text_encoder_that_computes_no_numbers_says_so(bench: Any) -> None:
    _, clip, _ = tools(bench)
    clip.model.text_model.final_layer_norm.weight.data.fill_(NAN)
    call: Any = lambda: bench("CLIPTextEncode", clip=clip, text="red")  # noqa: E731
    refused(InvalidRequest, call, "text encoder 'l' computed values that are not numbers", "another text", "clip")


@pytest.mark.parametrize(
    ("latent", "told"),
    [
        (torch.full((1, 4, 4, 4), NAN), "latent holds values that are not numbers"),
        (torch.ones(1, 4, 1, 4, 4), r"shape is \[1, 4, 1, 4, 4\], wanted is \(pictures, channels, height, width\)"),
        (torch.ones(1, 4, 4), r"shape is \[1, 4, 4\], wanted"),
        (torch.ones(0, 4, 4, 4), r"\[0, 4, 4, 4\], with 0 for pictures"),
        (torch.ones(1, 4, 4, 0), r"\[1, 4, 4, 0\], with 0 for width"),
        (torch.ones(1, 4, 0, 0), "with 0 for height and width"),
        (3, "no latent, but a value of the kind int"),
    ],
)
@pytest.mark.parametrize("denoise", [1.0, 0.0])
def test_latents_that_nothing_can_be_done_with(bench: Any, latent: Any, told: str, denoise: float) -> None:
    given = {"samples": latent}
    call: Any = lambda: ksampled(bench, latent_image=given, denoise=denoise)  # noqa: E731
    refused(InvalidRequest, call, told, "", "latent_image")
    _, _, vae = tools(bench)
    for node in ("VAEDecode", "VAEDecodeTiled"):
        call = lambda node=node: bench(node, samples=given, vae=vae)  # noqa: E731
        refused(InvalidRequest, call, told, "", "samples")


def test_no_latent_at_all(bench: Any) -> None:
    refused(
        InvalidRequest, lambda: ksampled(bench, latent_image=None), "no latent, but nothing", "LATENT", "latent_image"
    )


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (torch.ones(0, 1, 4, 4), r"noise mask of a latent is empty: its shape is \[0, 1, 4, 4\], with 0 for masks"),
        (torch.ones(1, 1, 0, 5), "with 0 for height"),
        (torch.ones(4), r"shape is \[4\], wanted is \(height, width\)"),
        (torch.full((1, 4, 4), NAN), "noise mask of a latent holds values that are not numbers"),
    ],
)
def test_noise_masks_that_nothing_can_be_done_with(bench: Any, mask: Tensor, told: str) -> None:
    latent = {"samples": torch.ones(1, 4, 4, 4), "noise_mask": mask}
    refused(InvalidRequest, lambda: ksampled(bench, latent_image=latent), told, "", "latent_image")


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (torch.full((1, 8, 8, 3), NAN), "image holds values that are not numbers"),
        (torch.ones(1, 8, 8, 1), r"\[1, 8, 8, 1\], wanted is .* 3 colours"),
        (torch.ones(1, 8, 8, 2), r"\[1, 8, 8, 2\], wanted is .* 3 colours"),
        (torch.ones(8, 8, 3), r"\[8, 8, 3\], wanted"),
        (torch.ones(0, 8, 8, 3), "with 0 for pictures"),
        (None, "no image, but nothing"),
    ],
)
def test_images_that_nothing_can_be_done_with(bench: Any, image: Any, told: str) -> None:
    _, clip, vae = tools(bench)
    mask = torch.ones(1, 8, 8)
    said = bench("CLIPTextEncode", clip=clip, text="red")
    sides = {"positive": said, "negative": said, "vae": vae, "pixels": image}
    for node, inputs in {
        "VAEEncode": {"pixels": image, "vae": vae},
        "VAEEncodeTiled": {"pixels": image, "vae": vae},
        "VAEEncodeForInpaint": {"pixels": image, "vae": vae, "mask": mask},
        "InpaintModelConditioning": {**sides, "mask": mask},
        "InstructPixToPixConditioning": sides,
    }.items():
        refused(InvalidRequest, lambda node=node, inputs=inputs: bench(node, **inputs), told, "", "pixels")


def features(*shape: int, fill: float = 0.0) -> list[list[Any]]:
    return [[torch.full(shape, fill), {}]]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (NOTHING, "no conditioning, but nothing"),
        (features(7, 16), r"shape is \[7, 16\], wanted is \(prompts, tokens, width\)"),
        (features(1, 0, 16), "with 0 for tokens"),
        (features(1, 7, 16, fill=NAN), "conditioning holds values that are not numbers"),
        ([[torch.zeros(1, 7, 16), {"pooled_output": torch.full((1, 16), NAN)}]], "pooled_output holds values"),
        ([[torch.zeros(1, 7, 16), {"mask": torch.ones(0, 4, 4)}]], "mask of a conditioning is empty"),
        ([torch.zeros(1, 7, 16)], "holds a value of the kind Tensor where features"),
    ],
)
def test_conditioning_that_nothing_can_be_done_with(bench: Any, said: Any, told: str) -> None:
    for side in ("positive", "negative"):
        refused(InvalidRequest, lambda side=side: ksampled(bench, **{side: said}), told, "", side)
    model, clip, _ = tools(bench)
    fine = bench("CLIPTextEncode", clip=clip, text="red")
    call: Any = lambda: bench("BasicGuider", model=model, conditioning=said)  # noqa: E731
    refused(InvalidRequest, call, told, "", "conditioning")
    for name in ("cond1", "cond2", "negative"):
        sides = {"cond1": fine, "cond2": fine, "negative": fine, name: said}
        refused(InvalidRequest, lambda sides=sides: bench("DualCFGGuider", model=model, **sides), told, "", name)


def test_a_prompt_of_another_model_is_told_by_its_side(bench: Any) -> None:
    for side in ("positive", "negative"):
        call: Any = lambda side=side: ksampled(bench, **{side: features(1, 7, 768)})  # noqa: E731
        refused(InvalidRequest, call, "features of width 768; the model reads 16", "same checkpoint", side)


def test_a_picture_to_follow_is_looked_at(bench: Any) -> None:
    said = features(1, 7, 16)
    call: Any = lambda: bench(  # noqa: E731
        "ControlNetApply", conditioning=said, control_net=None, image=torch.full((1, 8, 8, 3), NAN), strength=1.0
    )
    refused(InvalidRequest, call, "image holds values that are not numbers", "", "image")


@pytest.mark.parametrize("shift", [0.0, -1.0, NAN, float("inf")])
@pytest.mark.parametrize("node", ["ModelSamplingSD3", "ModelSamplingAuraFlow", "ModelSamplingStableCascade"])
def test_a_shift_without_noise_levels(bench: Any, node: str, shift: float) -> None:
    model, _, _ = tools(bench)
    refused(InvalidRequest, lambda: bench(node, model=model, shift=shift), "must be above zero", "Choose", "shift")


def test_shifts_beyond_what_can_be_computed_with(bench: Any) -> None:
    model, _, _ = tools(bench)
    call: Any = lambda: bench("ModelSamplingFlux", model=model, max_shift=100.0, width=16384, height=16384)  # noqa: E731
    refused(InvalidRequest, call, "pictures of 16384 × 16384", "max_shift", "max_shift")
    latent = {"samples": torch.zeros(1, 4, 512, 512)}
    call = lambda: bench("ModelSamplingLTXV", model=model, max_shift=0.0, base_shift=100.0, latent=latent)  # noqa: E731
    refused(InvalidRequest, call, "262144 latent pixels", "max_shift", "max_shift")


@pytest.mark.parametrize(
    "levels", [[0.0, 0.0, 0.0], [1.0, 0.0, 0.5], [1.0, NAN, 0.0], [float("inf"), 1.0], [1.0, -0.5], [[1.0, 0.0]]]
)
def test_noise_levels_that_no_sampler_can_run_along(bench: Any, levels: list[Any]) -> None:
    model, clip, _ = tools(bench)
    said = bench("CLIPTextEncode", clip=clip, text="red")
    for name in ("euler", "sa_solver", "uni_pc", "dpmpp_2m_sde"):
        inputs = {"model": model, "positive": said, "negative": said, "cfg": 1.0, "sigmas": torch.tensor(levels)}
        sampler = bench("KSamplerSelect", sampler_name=name)
        latent = {"samples": torch.zeros(1, 4, 4, 4)}
        call: Any = lambda inputs=inputs, sampler=sampler, latent=latent: bench(  # noqa: E731
            "SamplerCustom", **inputs, sampler=sampler, latent_image=latent
        )
        refused(InvalidRequest, call, "[Nn]oise levels", "Basic Scheduler", "sigmas")


def test_a_model_without_noise_levels_is_refused_before_the_first_step(bench: Any) -> None:
    """As a pack's node may make it; ours refuse."""
    model, _, _ = tools(bench)
    for name in ("euler", "sa_solver", "uni_pc", "dpmpp_2m_sde"):
        spoilt = replace(model, sampling=flow(0.0))
        call: Any = lambda spoilt=spoilt, name=name: ksampled(bench, model=spoilt, sampler_name=name)  # noqa: E731
        refused(
            InvalidRequest, call, "No sampler can run along the noise levels nan, 0", "another scheduler", "scheduler"
        )


@pytest.mark.parametrize("name", ["lms", "uni_pc", "dpmpp_2m", "euler"])
def test_levels_that_do_not_fall_are_told_where_a_sampler_needs_that(bench: Any, name: str) -> None:
    model, clip, _ = tools(bench)
    said = bench("CLIPTextEncode", clip=clip, text="red")
    inputs = {
        "model": model,
        "positive": said,
        "negative": said,
        "cfg": 1.0,
        "sampler": bench("KSamplerSelect", sampler_name=name),
    }
    levels = torch.tensor([0.9, 0.5, 0.5, 0.1, 0.0])
    latent = {"samples": torch.zeros(1, 4, 4, 4)}
    call: Any = lambda: bench("SamplerCustom", **inputs, sigmas=levels, latent_image=latent)  # noqa: E731
    if name == "euler":
        assert torch.isfinite(call()[0]["samples"]).all()
    else:
        refused(InvalidRequest, call, f"do not fall .* the sampler {name} cannot", "euler", "sigmas")
