"""Built without memory, the published architectures have exactly the published names and shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.unet import UNet, UNetConfig

MANIFESTS = Path(__file__).parents[2] / "data" / "manifests"
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet_sd15": lambda: UNet(UNetConfig()),
    "unet_sd21": lambda: UNet(UNetConfig(heads=None, head_width=64, context_width=1024, linear_projection=True)),
    "unet_sdxl_base": lambda: UNet(
        UNetConfig(
            channel_mult=(1, 2, 4),
            transformer_depth=(0, 2, 10),
            transformer_depth_middle=10,
            heads=None,
            head_width=64,
            context_width=2048,
            linear_projection=True,
            vector_width=2816,
        )
    ),
    "firststage_kl-f8": lambda: AutoencoderKL(AutoencoderConfig()),
    "clip_l_text_hf": lambda: ClipText(ClipTextConfig()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_meta_build_has_the_published_keys(name: str) -> None:
    with torch.device("meta"):
        ours = NETWORKS[name]().state_dict()
    published = json.loads((MANIFESTS / f"{name}.json").read_text())
    assert {key: list(value.shape) for key, value in ours.items()} == published
