"""Every kind of network and of prediction can be taught: narrow files, through the nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.diffusion.families import family_to_json
from app.diffusion.published import PUBLISHED
from app.settings import Settings
from app.weights.checkpoint import FAMILY_KEY
from tests.nodes.test_families import NAME, SPECIAL, Loaded, narrow, prompted, weights
from tests.nodes.test_transformers import NETWORKS, network, prompt

# One of each kind of conditioning, of attention and of prediction.
KINDS = ["sd1", "sd2-unclip-h", "sdxl-instruct-pix2pix", "ldm-cin256", "ldm-unconditional"]
QUICK = {"steps": 1, "learning_rate": 0.05, "training_dtype": "fp32", "lora_dtype": "fp32", "rank": 2}


def taught(bench: Any, model: Any, said: Any, latent: dict[str, Any], **changed: Any) -> None:
    """Train a step, and see that the network answers differently."""
    size = 1, model.latent.channels, *latent["samples"].shape[-2:]
    samples = torch.randn(size, generator=torch.Generator().manual_seed(1))
    given = {"model": model, "latents": {"samples": samples}, "positive": said}
    trained, lora, losses, _ = bench("TrainLoraNode", **{**given, **QUICK, **changed})
    assert 0 < losses["loss"][0] < 100
    assert any(bool(tensor.any()) for name, tensor in lora.items() if name.endswith("lora_up.weight"))
    asked = {"positive": said, "negative": said, "latent_image": latent, "steps": 1, "cfg": 1.0, "seed": 5}
    plain, changed_one = (bench("KSampler", model=each, **asked)["samples"] for each in (model, trained))
    assert changed_one.isfinite().all()
    assert not torch.allclose(plain, changed_one, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_u_nets(bench: Any, installation: Settings, name: str) -> None:
    family = narrow(PUBLISHED[name])
    path: Path = installation.directories.base / "models" / "checkpoints" / NAME
    save_file(weights(family), path, {FAMILY_KEY: json.dumps(family_to_json(family))})
    loaded = Loaded(bench, family, *bench("CheckpointLoaderSimple", ckpt_name=NAME))
    positive, _, latent = SPECIAL.get(name, prompted)(loaded, 1)
    taught(bench, loaded.model, positive, latent)


@pytest.mark.parametrize("name", ["sd3.5", "dev", "fill"])
def test_transformers(bench: Any, installation: Settings, name: str) -> None:
    config, _ = NETWORKS[name]
    folder = installation.directories.base / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network(config).state_dict(), folder / f"{name}.safetensors")
    model = bench("UNETLoader", unet_name=f"{name}.safetensors", weight_dtype="default")
    taught(bench, model, prompt(2048 if name.startswith("sd3") else 768), {"samples": torch.zeros(1, 16, 8, 8)})


def test_weights_that_are_kept_in_eight_bits(bench: Any, installation: Settings) -> None:
    folder = installation.directories.base / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network(NETWORKS["schnell"][0]).state_dict(), folder / "eight.safetensors")
    model = bench("UNETLoader", unet_name="eight.safetensors", weight_dtype="fp8_e4m3fn")
    taught(bench, model, prompt(768), {"samples": torch.zeros(1, 16, 8, 8)}, training_dtype="bf16")
