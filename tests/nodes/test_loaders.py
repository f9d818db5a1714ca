from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.autoencoder_tiny import TinyAutoencoder, TinyConfig
from app.errors import InvalidRequest, Missing, UnknownFamily, UnusableFile
from app.settings import Settings
from app.store.folders import FileNames


def test_a_checkpoint_gives_its_three_parts(bench: Any) -> None:
    model, clip, vae = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    assert model.family == "tiny"
    assert clip.encode("red").context.shape == (1, 16, 16)
    assert vae.factor == 8


def test_the_same_file_is_loaded_once(bench: Any) -> None:
    first = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    assert bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0] is first[0]


@pytest.mark.parametrize("content", [b"", b"pickle?", bytes(8), (1 << 60).to_bytes(8, "little") + b"{}"])
def test_a_damaged_file_is_told_by_name(bench: Any, installation: Settings, content: bytes) -> None:
    (installation.directories.base / "models" / "checkpoints" / "bad.safetensors").write_bytes(content)
    with pytest.raises(UnusableFile, match=r"bad\.safetensors") as told:
        bench("CheckpointLoaderSimple", ckpt_name="bad.safetensors")
    assert told.value.remedy
    assert told.value.input_name == "ckpt_name"


def test_a_missing_file_is_told(bench: Any) -> None:
    with pytest.raises(Missing, match=r"gone\.safetensors"):
        bench("CheckpointLoaderSimple", ckpt_name="gone.safetensors")


def test_averaged_weights_that_there_are_not(bench: Any) -> None:
    with pytest.raises(InvalidRequest, match="no averaged"):
        bench("LoomCheckpointLoaderEMA", ckpt_name="tiny.safetensors")


def test_a_configuration_is_not_needed(bench: Any) -> None:
    model, _, vae = bench("CheckpointLoader", config_name="v1.yaml", ckpt_name="tiny.safetensors")
    assert model.family == "tiny"
    assert vae.factor == 8


def test_parts_are_saved_loaded_and_draw_the_same(bench: Any, installation: Settings) -> None:
    model, clip, vae = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    for node, folder, inputs in (
        ("ModelSave", "diffusion_models", {"model": model}),
        ("VAESave", "vae", {"vae": vae}),
        ("CheckpointSave", "checkpoints", {"model": model, "clip": clip, "vae": vae}),
    ):
        returned = bench.returned(node, **inputs, prompt={"1": {"class_type": node, "inputs": {}}})
        published = bench.workshop.outputs.publish_ui(returned.ui, "job", "1")["models"][0]
        assert published["subfolder"] == folder
        assert (installation.directories.output / folder / published["filename"]).is_file()
    again = bench("UNETLoader", unet_name="LatentLoom_00001_.safetensors", weight_dtype="default")
    state, expected = again.network.state_dict(), model.network.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    picture = torch.rand(1, 32, 32, 3)
    loaded = bench("CheckpointLoaderSimple", ckpt_name="LatentLoom_00001_.safetensors")
    assert torch.equal(loaded[2].encode(picture), vae.encode(picture))


def test_a_vae_is_read_off_its_file(bench: Any, installation: Settings) -> None:
    config = AutoencoderConfig(channels=32, channel_mult=(1, 2), num_res_blocks=1)
    folder = installation.directories.base / "models" / "vae"
    folder.mkdir(exist_ok=True)
    torch.save(AutoencoderKL(config).state_dict(), folder / "small.pt")
    assert bench("VAELoader", vae_name="small.pt").factor == 2


def test_a_small_vae_is_two_files_in_a_folder_of_their_own(bench: Any, installation: Settings) -> None:
    torch.manual_seed(1)
    tiny = TinyAutoencoder(TinyConfig()).eval().requires_grad_(False)
    folder = installation.directories.base / "models" / "vae_approx"
    folder.mkdir(exist_ok=True)
    files = FileNames(bench.workshop.folders)
    assert files["vae"] == ("pixel_space",)
    save_file(tiny.taesd_encoder.state_dict(), folder / "taesd_encoder.safetensors")
    assert files["vae"] == ("pixel_space",), "half of it is not enough"
    torch.save(tiny.taesd_decoder.state_dict(), folder / "taesd_decoder.pth")
    assert files["vae"] == ("taesd", "pixel_space")
    vae = bench("VAELoader", vae_name="taesd")
    assert vae is bench("VAELoader", vae_name="taesd")
    latent = bench("VAEEncode", pixels=torch.rand(1, 32, 24, 3), vae=vae)
    assert latent["samples"].shape == (1, 4, 4, 3)
    expected = tiny.taesd_decoder(latent["samples"] * 0.18215).clamp(0, 1).movedim(1, -1)
    for node, more in (("VAEDecode", {}), ("VAEDecodeTiled", {"tile_size": 64, "overlap": 0})):
        assert torch.allclose(bench(node, samples=latent, vae=vae, **more), expected, atol=0.02)


def test_pixels_are_their_own_latents(bench: Any) -> None:
    vae = bench("VAELoader", vae_name="pixel_space")
    picture = torch.rand(1, 5, 7, 3)
    latent = bench("VAEEncode", pixels=picture, vae=vae)
    assert latent["samples"].shape == (1, 3, 5, 7)
    assert torch.allclose(bench("VAEDecode", samples=latent, vae=vae), picture, atol=1e-6)


def test_a_folder_of_parts_is_listed_by_its_name(bench: Any, installation: Settings) -> None:
    folder = installation.directories.base / "models" / "diffusers" / "my-model"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    assert bench.workshop.folders.names("diffusers") == ("my-model",)
    with pytest.raises(Missing, match="my-model/unet holds no weights") as told:
        bench("DiffusersLoader", model_path="my-model")
    assert told.value.input_name == "model_path"


def test_a_file_in_the_wrong_slot_is_told_where_it_belongs(bench: Any, installation: Settings) -> None:
    folder = installation.directories.base / "models" / "checkpoints"
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2, 2)}, folder / "style.safetensors")
    with pytest.raises(UnknownFamily, match="LoRA") as told:
        bench("CheckpointLoaderSimple", ckpt_name="style.safetensors")
    assert "models/loras" in told.value.remedy
