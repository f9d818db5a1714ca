"""Small first stages that imitate large ones, from the pairs of files in which they are published."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from app.diffusion.first_stage import FirstStage
from app.diffusion.latent_format import SD, SDXL_LATENT, LatentFormat
from app.diffusion.models.autoencoder_tiny import PixelSpace, TinyAutoencoder, TinyConfig
from app.diffusion.published import FLUX_LATENT, SD3_LATENT
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.kinds import refused
from app.weights.opening import open_weights
from app.weights.stored import Stored, Tensors, held, shapes_of

# The latents that each imitates; its files are named after it, with _encoder and _decoder behind.
TINY: Mapping[str, LatentFormat] = {
    "taesd": SD,
    "taesdxl": SDXL_LATENT,
    "taesd3": SD3_LATENT,
    "taef1": FLUX_LATENT,
}
MARK = "taesd_decoder.1.weight"
_DIFFUSERS = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.+)")


def load_tiny(name: str, encoder: Path, decoder: Path, dtype: torch.dtype = torch.float32) -> FirstStage:
    """One of `TINY` from its two files.

    Raises:
        Missing, UnusableFile: no file, a damaged or foreign one.
    """
    tensors: dict[str, Stored] = {}
    for half, path in (("encoder", encoder), ("decoder", decoder)):
        tensors |= {f"taesd_{half}.{key}": stored for key, stored in open_weights(path).tensors.items()}
    scale, shift = TINY[name].scale, TINY[name].shift
    tensors |= held({"vae_scale": torch.tensor(scale), "vae_shift": torch.tensor(shift)})
    return tiny_of(tensors, decoder.name, dtype)


def is_tiny(tensors: Tensors) -> bool:
    """Whether a file holds both halves, under the names that one file for both has, or diffusers'."""
    return MARK in tensors or "decoder.layers.0.weight" in tensors


def tiny_of(tensors: Tensors, name: str, dtype: torch.dtype = torch.float32) -> FirstStage:
    """A small first stage from the tensors of both halves. Raises UnusableFile, UnknownFamily."""
    named = {_ours(key): stored for key, stored in tensors.items()}
    if MARK not in named:
        raise refused(tensors, name, "a small VAE's decoder", f"{MARK.partition('.')[2]!r}")
    channels = shapes_of(named)[MARK][1]
    # One file for both says its scale; diffusers' do not, and know their latents by the number of channels.
    usual = SD if channels == SD.channels else SD3_LATENT
    scales = held({"vae_scale": torch.tensor(usual.scale), "vae_shift": torch.tensor(usual.shift)})
    with blank():
        model = TinyAutoencoder(TinyConfig(channels))
    fill(model, {**scales, **named}, name, dtype=dtype, later=True)
    return FirstStage(model)


def _ours(key: str) -> str:
    """A name of diffusers' as the original has it: its decoder does not count what holds latents back."""
    place = _DIFFUSERS.fullmatch(key)
    if place is None:
        return key
    return f"taesd_{place[1]}.{int(place[2]) + (place[1] == 'decoder')}.{place[3]}"


def pixel_space() -> FirstStage:
    """The first stage of models that work on pixels."""
    return FirstStage(PixelSpace())
