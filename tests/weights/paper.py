"""Published checkpoints made of nothing: each tensor has its name and shape, and one value in memory for all places."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from app.diffusion.first_stage import autoencoder_of
from app.diffusion.models.unet import UNet
from app.diffusion.published import PUBLISHED, U_NETS
from app.weights.stored import Stored, WeightsFile

MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"


def paper(shape: tuple[int, ...], value: float = 0.0, dtype: torch.dtype = torch.float16) -> Stored:
    """A tensor of one value that takes no memory."""
    return Stored(shape, lambda: torch.full((), value, dtype=dtype).expand(shape))


def listed(manifest: str, prefix: str) -> dict[str, Stored]:
    """The tensors of a published list."""
    shapes = json.loads((MANIFESTS / f"{manifest}.json").read_text())
    return {prefix + key: paper(tuple(shape)) for key, shape in shapes.items()}


def network(family: str, prefix: str = "model.diffusion_model.") -> dict[str, Stored]:
    """The tensors of a family's U-Net."""
    with torch.device("meta"):
        state = UNet(U_NETS[family]).state_dict()
    return {prefix + key: paper(tuple(value.shape)) for key, value in state.items()}


def first_stage(family: str, prefix: str = "first_stage_model.") -> dict[str, Stored]:
    """The tensors of a family's first stage."""
    with torch.device("meta"):
        state = autoencoder_of(PUBLISHED[family].first_stage).state_dict()
    return {prefix + key: paper(tuple(value.shape)) for key, value in state.items()}


TEXTS = {
    "sd1": {"cond_stage_model.transformer.": "clip_l_text_hf"},
    "sd2": {"cond_stage_model.model.": "openclip_h_text"},
    "sdxl": {
        "conditioner.embedders.0.transformer.": "clip_l_text_hf",
        "conditioner.embedders.1.model.": "openclip_bigG_text",
    },
    "refiner": {"conditioner.embedders.0.model.": "openclip_bigG_text"},
}


def checkpoint(family: str, extra: Mapping[str, Stored] | None = None, **metadata: str) -> WeightsFile:
    """A whole checkpoint as it was published."""
    text = PUBLISHED[family].text
    towers = TEXTS.get(text, {}) if isinstance(text, str) else {}
    tensors = network(family) | first_stage(family)
    for prefix, manifest in towers.items():
        tensors |= listed(manifest, prefix)
    return WeightsFile(f"{family}.safetensors", tensors | dict(extra or {}), metadata)
