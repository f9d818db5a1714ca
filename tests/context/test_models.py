from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from app.context.models import LoadedModels, Loaders
from app.diffusion.families import SamplingConfig
from app.diffusion.latent_format import SD, LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.models.autoencoder_tiny import TinyAutoencoder, TinyConfig
from app.diffusion.models.unet import UNet, UNetConfig
from app.diffusion.preview import DecodedPreview, linear_preview
from app.errors import Forbidden, Missing, UnusableFile
from app.memory.residency import Residency
from app.settings import Settings
from app.store.folders import Folders
from app.wiring import open_all_folders

CPU = Residency(torch.device("cpu"))


class Loader:
    """Loads files as modules of a KiB and counts how often."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, path: Path) -> Any:
        self.loaded.append(path.name)
        return nn.Linear(16, 16, bias=False)


@pytest.fixture
def folders(installation: Settings) -> Folders:
    folders = open_all_folders(installation)
    for name in ("a.safetensors", "b.safetensors"):
        (installation.directories.base / "models" / "checkpoints" / name).write_bytes(b"weights")
    return folders


def test_a_checkpoint_is_read_once(folders: Folders) -> None:
    loader = Loader()
    models = LoadedModels(folders, CPU, loaders=Loaders(loader))
    assert models.checkpoint("a.safetensors") is models.checkpoint("a.safetensors")
    assert loader.loaded == ["a.safetensors"]


def test_a_changed_file_is_read_again(folders: Folders) -> None:
    loader = Loader()
    models = LoadedModels(folders, CPU, loaders=Loaders(loader))
    first = models.checkpoint("a.safetensors")
    os.utime(folders.model("checkpoints", "a.safetensors"), ns=(1, 1))
    assert models.checkpoint("a.safetensors") is not first
    assert len(loader.loaded) == 2


def test_the_least_recently_used_leaves_when_it_is_too_much(folders: Folders) -> None:
    loader = Loader()
    models = LoadedModels(folders, CPU, max_bytes=1500, loaders=Loaders(loader))
    for name in ("a", "b", "a"):
        models.checkpoint(f"{name}.safetensors")
    assert loader.loaded == ["a.safetensors", "b.safetensors", "a.safetensors"]


def test_one_that_is_too_large_alone_is_kept_all_the_same(folders: Folders) -> None:
    loader = Loader()
    models = LoadedModels(folders, CPU, max_bytes=1, loaders=Loaders(loader))
    assert models.checkpoint("a.safetensors") is models.checkpoint("a.safetensors")


def test_clearing_forgets(folders: Folders) -> None:
    loader = Loader()
    models = LoadedModels(folders, CPU, loaders=Loaders(loader))
    models.checkpoint("a.safetensors")
    models.clear()
    models.checkpoint("a.safetensors")
    assert len(loader.loaded) == 2


def test_weights_can_be_trained_whoever_loads_them(folders: Folders) -> None:
    models = LoadedModels(folders, CPU)
    with torch.inference_mode():
        checkpoint = models.checkpoint("tiny.safetensors")
    assert not next(checkpoint.model.network.parameters()).is_inference()


@pytest.mark.parametrize(
    ("name", "error"),
    [("gone.safetensors", Missing), ("../secret.safetensors", Forbidden), ("a.safetensors", UnusableFile)],
)
def test_bad_names_and_files_name_the_input(folders: Folders, name: str, error: type[Exception]) -> None:
    with pytest.raises(error) as told:
        LoadedModels(folders, CPU).checkpoint(name)
    assert getattr(told.value, "input_name", None) == "ckpt_name"
    assert getattr(told.value, "remedy", "")


def test_modules_are_on_the_device_inside(folders: Folders) -> None:
    module = nn.Linear(2, 2)
    with LoadedModels(folders, CPU).on_device(module):
        assert module.weight.device.type == "cpu"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_small_vae_shows_what_is_drawn_where_one_is_there(folders: Folders, wanted: bool) -> None:
    for latent, fits in ((SD, True), (LatentFormat(4, 8, 0.5), False)):
        network = UNet(UNetConfig(model_channels=8, channel_mult=(1,), transformer_depth=(0,), heads=1, groups=4))
        plain = DiffusionModel(network, SamplingConfig().build(), latent, linear_preview(latent), "some")
        folder = folders.models["diffusion_models"][0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.safetensors").write_bytes(b"weights")
        loaders = Loaders(network=lambda _, plain=plain: plain)
        models = LoadedModels(folders, CPU, loaders=loaders, tiny_previews=wanted)
        assert models.diffusion_model("a.safetensors") is plain, "no small VAE is there yet"
        tiny = TinyAutoencoder(TinyConfig()).requires_grad_(False)
        place = folders.models["vae_approx"][0]
        place.mkdir(parents=True, exist_ok=True)
        for half, part in (("encoder", tiny.taesd_encoder), ("decoder", tiny.taesd_decoder)):
            save_file(part.state_dict(), place / f"taesd_{half}.safetensors")
        models = LoadedModels(folders, CPU, loaders=loaders, tiny_previews=wanted)
        shown = models.diffusion_model("a.safetensors")
        assert isinstance(shown.preview, DecodedPreview) == (wanted and fits)
        picture = shown.preview(torch.rand(1, 4, 2, 3))
        assert picture.shape == ((16, 24, 3) if wanted and fits else (2, 3, 3))
        for half in ("encoder", "decoder"):
            (place / f"taesd_{half}.safetensors").unlink()
