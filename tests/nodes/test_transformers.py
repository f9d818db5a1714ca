"""Stable Diffusion 3 and Flux through the graph, small: a file, its parts, a prompt, a picture's latent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.diffusion.models.flux import FLUX_DEV, FLUX_FILL, FLUX_SCHNELL, Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.working import make_ready
from app.errors import InvalidRequest
from app.settings import Settings
from app.weights.network import EightBits, precision_of
from app.weights.opening import open_weights
from app.weights.saving import save_model
from app.weights.separate import load_network
from tests.weights.test_gguf_file import write as write_gguf

SD3 = MMDiTConfig(2, 64, 16, 4096, 2048, 24)
DEV = replace(FLUX_DEV, width=128, heads=1, double=1, single=1)
NETWORKS: dict[str, tuple[MMDiTConfig | FluxConfig, str]] = {
    "sd3": (SD3, "sd3"),
    "sd3.5": (MMDiTConfig(2, 64, 16, 4096, 2048, 24, True, 1), "sd3"),
    "dev": (DEV, "flux"),
    "schnell": (replace(DEV, guidance=False), "flux-schnell"),
    "fill": (replace(DEV, in_channels=96), "flux"),
}


@pytest.fixture
def folder(installation: Settings) -> Path:
    folder = installation.directories.base / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def network(config: MMDiTConfig | FluxConfig) -> MMDiT | Flux:
    torch.manual_seed(7)
    return MMDiT(config) if isinstance(config, MMDiTConfig) else Flux(config)


def prompt(pooled: int, tokens: int = 5, seed: int = 1, **said: Any) -> list[list[Any]]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, tokens, 4096, generator=generator)
    return [[features, {"pooled_output": torch.randn(1, pooled, generator=generator), **said}]]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_file_is_recognised_and_draws(bench: Any, folder: Path, name: str, prefix: str) -> None:
    config, family = NETWORKS[name]
    state = {prefix + key: value for key, value in network(config).state_dict().items()}
    save_file(state, folder / f"{name}.safetensors")
    model = bench("UNETLoader", unet_name=f"{name}.safetensors", weight_dtype="default")
    assert model.family == family
    assert model.source.unet == config
    pooled = 2048 if isinstance(config, MMDiTConfig) else 768
    latent = bench("EmptySD3LatentImage", width=64, height=96, batch_size=2)
    drawn = bench(
        "KSampler",
        model=model,
        positive=prompt(pooled),
        negative=prompt(pooled, tokens=7, seed=2),
        latent_image=latent,
        seed=3,
        steps=2,
        cfg=2.0,
        sampler_name="euler",
        scheduler="simple",
    )
    assert drawn["samples"].shape == (2, 16, 12, 8)
    assert bool(drawn["samples"].isfinite().all())


def test_guidance_and_shift_change_the_picture(bench: Any, folder: Path) -> None:
    save_file(network(DEV).state_dict(), folder / "dev.safetensors")
    model = bench("UNETLoader", unet_name="dev.safetensors", weight_dtype="default")
    shifted = bench("ModelSamplingFlux", model=model, max_shift=1.15, base_shift=0.5, width=64, height=64)

    def drawn(model: Any, positive: Any) -> torch.Tensor:
        latent = bench("EmptySD3LatentImage", width=64, height=64)
        settings = {"seed": 3, "steps": 3, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"}
        sampled = bench(
            "KSampler", model=model, positive=positive, negative=prompt(768), latent_image=latent, **settings
        )
        return sampled["samples"]

    told = bench("FluxGuidance", conditioning=prompt(768), guidance=9.0)
    silent = bench("FluxDisableGuidance", conditioning=prompt(768))
    pictures = [drawn(model, prompt(768)), drawn(model, told), drawn(model, silent), drawn(shifted, prompt(768))]
    assert all(not torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])
    same = bench("FluxGuidance", conditioning=prompt(768), guidance=3.5)
    torch.testing.assert_close(drawn(model, same), pictures[0])


def test_a_prompt_of_another_model_is_named(bench: Any, folder: Path) -> None:
    save_file(network(SD3).state_dict(), folder / "sd3.safetensors")
    model = bench("UNETLoader", unet_name="sd3.safetensors", weight_dtype="default")
    foreign = [[torch.zeros(1, 77, 768), {}]]
    latent = bench("EmptySD3LatentImage", width=64, height=64)
    with pytest.raises(InvalidRequest, match="width 768; the model reads 4096"):
        bench("KSampler", model=model, positive=foreign, negative=foreign, latent_image=latent, steps=1)
    with pytest.raises(InvalidRequest, match="width 768; the model takes 2048"):
        bench("KSampler", model=model, positive=prompt(768), negative=prompt(768), latent_image=latent, steps=1)


def test_a_picture_that_the_model_cannot_place_is_refused(bench: Any, folder: Path) -> None:
    save_file(network(SD3).state_dict(), folder / "sd3.safetensors")
    model = bench("UNETLoader", unet_name="sd3.safetensors", weight_dtype="default")
    latent = bench("EmptySD3LatentImage", width=64, height=512)
    with pytest.raises(InvalidRequest, match="larger than this model can place"):
        bench("KSampler", model=model, positive=prompt(2048), negative=prompt(2048), latent_image=latent, steps=1)


def test_large_transformers_are_held_in_half_precision() -> None:
    with torch.device("meta"):
        large = [Flux(config) for config in (FLUX_DEV, FLUX_SCHNELL, FLUX_FILL)]
        small = network(SD3)
    assert {precision_of(net, torch.float32) for net in large} == {torch.bfloat16}
    assert precision_of(large[0], torch.float16) == torch.float16
    assert precision_of(small, torch.float32) == torch.float32


@pytest.mark.parametrize("kept", ["fp8_e4m3fn", "fp8_e5m2"])
def test_weights_kept_in_eight_bits_draw_nearly_the_same(bench: Any, folder: Path, kept: str) -> None:
    save_file(network(DEV).state_dict(), folder / "dev.safetensors")
    entry = prompt(768)
    recipe = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    drawn: list[torch.Tensor] = []
    for dtype in ("default", kept):
        model = bench("UNETLoader", unet_name="dev.safetensors", weight_dtype=dtype)
        latent = bench("EmptySD3LatentImage", width=64, height=64, batch_size=1)
        asked = {"model": model, "positive": entry, "negative": entry, "latent_image": latent}
        drawn.append(bench("KSampler", **recipe, **asked)["samples"])
    sizes = {value.dtype.itemsize for value in model.network.parameters() if value.dim() > 1}
    assert sizes == {1}
    assert bench("UNETLoader", unet_name="dev.safetensors", weight_dtype=kept) is model, "loaded once"
    assert 0 < float((drawn[0] - drawn[1]).norm() / drawn[0].norm()) < 0.2


def test_products_that_a_device_lacks_are_told_before_the_file_is_read(bench: Any, folder: Path) -> None:
    (folder / "dev.safetensors").write_bytes(b"never read")
    with pytest.raises(InvalidRequest, match="cpu cannot multiply 8-bit numbers") as told:
        bench("UNETLoader", unet_name="dev.safetensors", weight_dtype="fp8_e4m3fn_fast")
    assert told.value.input_name == "weight_dtype" and "default" in told.value.remedy


def test_eight_bits_of_a_file_are_kept_where_there_is_no_room_for_more(folder: Path) -> None:
    state = {key: value.to(torch.float8_e4m3fn) for key, value in network(DEV).state_dict().items()}
    save_file(state, folder / "dev.safetensors")
    whole = 2 * sum(value.numel() for value in state.values())
    for room, expected in ((None, 2), (whole, 2), (whole - 1, 1)):
        model = load_network(folder / "dev.safetensors", torch.bfloat16, EightBits(room=room))
        make_ready(model.network)
        assert model.network.get_parameter("img_in.weight").dtype.itemsize == expected
        assert model.dtype == torch.bfloat16


def test_a_file_in_blocks_draws_what_its_values_do(bench: Any, folder: Path) -> None:
    """As it is, with a LoRA, and saved with that: blocks are kept, and only rounding differs."""
    write_gguf(folder / "dev.gguf", network(DEV).state_dict(), "Q8_0")
    values = {name: stored.read().clone() for name, stored in open_weights(folder / "dev.gguf").tensors.items()}
    save_file(values, folder / "wide.safetensors")
    adapter = folder.parent / "loras" / "some.safetensors"
    adapter.parent.mkdir(exist_ok=True)
    name = "diffusion_model.double_blocks.0.img_attn.qkv"
    factors = {"lora_up.weight": torch.randn(384, 2), "lora_down.weight": torch.randn(2, 128)}
    save_file({f"{name}.{part}": value * 0.3 for part, value in factors.items()}, adapter)
    recipe = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    entry = prompt(768)

    def drawn(file: str, lora: str | None) -> torch.Tensor:
        model = bench("UNETLoader", unet_name=file, weight_dtype="default")
        kept = model.network.get_parameter("double_blocks.0.img_attn.qkv.weight").dtype
        assert (kept == torch.uint8) == file.endswith("gguf")
        if lora:
            model = bench("LoraLoaderModelOnly", model=model, lora_name=lora, strength_model=1.0)
        if lora and file.endswith("gguf"):
            save_model(folder / "saved.safetensors", model, {})
        latent = bench("EmptySD3LatentImage", width=64, height=64, batch_size=1)
        asked = {"model": model, "positive": entry, "negative": entry, "latent_image": latent}
        return bench("KSampler", **recipe, **asked)["samples"]

    plain, changed = drawn("wide.safetensors", None), drawn("wide.safetensors", "some.safetensors")
    torch.testing.assert_close(drawn("dev.gguf", None), plain, rtol=1e-4, atol=1e-4)
    # In half precision wide weights are rounded before the LoRA is added, and after it.
    for again in (drawn("dev.gguf", "some.safetensors"), drawn("saved.safetensors", None)):
        assert float((again - changed).norm()) < 0.1 * float((changed - plain).norm()), "the LoRA is in it"
