"""Built without memory, the published architectures have exactly the published names and shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from app.diffusion.first_stage import autoencoder_of
from app.diffusion.models.unet import UNet
from app.diffusion.published import FIRST_STAGES, U_NETS

MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"
UNETS = {
    "unet_sd15": "sd1",
    "unet_sd15_inpaint": "sd1-inpaint",
    "unet_sd21": "sd2",
    "unet_sdxl_base": "sdxl",
    "unet_sdxl_refiner": "sdxl-refiner",
    "unet_txt2img-1p4B": "ldm-text2img-large",
    "unet_text2img256": "ldm-text2img256",
    "unet_cin256-v2": "ldm-cin256-v2",
    "unet_cin256": "ldm-cin256",
    "unet_celeba256": "ldm-unconditional",
    "unet_ffhq256": "ldm-unconditional",
    "unet_lsun_beds256": "ldm-unconditional",
    "unet_lsun_churches256": "ldm-churches",
    "unet_inpainting_big": "ldm-inpainting-big",
    "unet_bsr_sr": "ldm-bsr-sr",
    "unet_semantic_synthesis256": "ldm-semantic-synthesis",
    "unet_semantic_synthesis512": "ldm-semantic-synthesis",
    "unet_layout2img-openimages256": "ldm-layout2img",
    "unet_rdm768": "ldm-rdm768",
}
STAGES = {
    "firststage_kl-f4": "kl-f4",
    "firststage_kl-f8": "kl-f8",
    "firststage_kl-f16": "kl-f16",
    "firststage_kl-f32": "kl-f32",
    "firststage_vq-f4": "vq-f4",
    "firststage_vq-f4-noattn": "vq-f4-noattn",
    "firststage_vq-f8": "vq-f8",
    "firststage_vq-f8-n256": "vq-f8-n256",
    "firststage_vq-f16": "vq-f16",
    "vae_flux": "kl-f8-16",
}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{manifest: lambda name=name: UNet(U_NETS[name]) for manifest, name in UNETS.items()},
    **{manifest: lambda name=name: autoencoder_of(FIRST_STAGES[name]) for manifest, name in STAGES.items()},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_meta_build_has_the_published_keys(name: str) -> None:
    with torch.device("meta"):
        ours = NETWORKS[name]().state_dict()
    published = json.loads((MANIFESTS / f"{name}.json").read_text())
    assert {key: list(value.shape) for key, value in ours.items()} == published
