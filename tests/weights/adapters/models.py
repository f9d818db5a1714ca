"""Networks of the published families, small or without weights, and files of adapters for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.conditioning.encoders import sd1_encoder, sdxl_encoder
from app.diffusion.model import DiffusionModel
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.unet import UNet
from app.diffusion.preview import linear_preview
from app.diffusion.published import PUBLISHED, U_NETS
from app.weights.adapters.adapter import Adapter, load_adapter

SMALL = {"model_channels": 32, "heads": 2, "head_width": None, "groups": 8}


def small_model(family: str) -> DiffusionModel:
    """The family's network with few channels: every layer is there under its name."""
    torch.manual_seed(1)
    row = PUBLISHED[family]
    width = 24 if family == "sd1" else 40
    config = replace(U_NETS[family], **SMALL, context_width=width, vector_width=U_NETS[family].vector_width and 16)
    depth = tuple(min(each, 2) for each in config.transformer_depth)
    config = replace(config, transformer_depth=depth, transformer_depth_middle=min(config.transformer_depth_middle, 2))
    network = UNet(config).requires_grad_(False).eval()
    return DiffusionModel(
        network, row.sampling.build(), row.latent, linear_preview(row.latent), family, source=replace(row, unet=config)
    )


def small_clip(*towers: str) -> Any:
    """CLIP L of two layers, and bigG of two where it is asked for."""
    torch.manual_seed(2)
    clip_l = ClipText(ClipTextConfig(width=16, layers=2, heads=2)).requires_grad_(False).eval()
    if towers == ("l",):
        return sd1_encoder(clip_l)
    clip_g = ClipText(ClipTextConfig(width=24, layers=2, heads=2, projection=24)).requires_grad_(False).eval()
    return sdxl_encoder(clip_l, clip_g)


def lora(
    layer: str, shape: tuple[int, ...], rank: int = 2, ends: tuple[str, str] = ("lora_up", "lora_down")
) -> dict[str, Tensor]:
    """Factors for a layer's weight of that shape, in kohya's form."""
    up, down = ends
    kernel = shape[2:]
    return {
        f"{layer}.{up}.weight": torch.randn(shape[0], rank, *[1] * len(kernel)),
        f"{layer}.{down}.weight": torch.randn(rank, shape[1], *kernel),
    }


def saved(folder: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Adapter:
    """The adapter of such a file."""
    save_file(
        {name: value.contiguous() for name, value in tensors.items()},
        folder / "style.safetensors",
        dict(metadata or {}),
    )
    return load_adapter(folder / "style.safetensors")
