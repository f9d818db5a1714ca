"""Latents in files: safetensors with "latent_tensor" (B, C, h, w) float32, and an empty tensor that names the scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from app.errors import UnusableFile

SAMPLES = "latent_tensor"
# A file with this holds a first stage's own latents; older ones hold Stable Diffusion's, scaled.
UNSCALED = "latent_format_version_0"
OLD_SCALE = 0.18215


def write_latent(path: Path, samples: Tensor, texts: Mapping[str, str]) -> None:
    """Write samples (B, C, h, w) with texts beside them."""
    tensors = {SAMPLES: samples.detach().cpu().float().contiguous(), UNSCALED: torch.zeros(0)}
    save_file(tensors, path, dict(texts))


def read_latent(path: Path) -> Tensor:
    """The samples of a file, float32 on the CPU. Raises UnusableFile for anything but a file of a latent."""
    opened: Any = safe_open  # safetensors does not say what it gives
    try:
        with opened(path, framework="pt") as file:
            names: set[str] = set(file.keys())
            samples: Tensor | None = file.get_tensor(SAMPLES).float() if SAMPLES in names else None
    except (SafetensorError, OSError) as error:
        raise UnusableFile(
            f"{path.name} cannot be read as a latent: {error}", remedy="Choose a file of Save Latent."
        ) from error
    if samples is None or samples.ndim < 4:
        raise UnusableFile(f"{path.name} holds no latent.", remedy="Choose a file of Save Latent.")
    return samples if UNSCALED in names else samples / OLD_SCALE
