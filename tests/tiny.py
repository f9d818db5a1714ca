"""A model so small that tests make it on the spot."""

from __future__ import annotations

from pathlib import Path

import torch

from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges
from app.diffusion.families import Family, SamplingConfig
from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.unet import UNet, UNetConfig
from app.weights.checkpoint import save_checkpoint


def save_tiny_checkpoint(path: Path) -> None:
    """Random weights: four latent channels, eight pixels per latent pixel, flow matching."""
    tokenizer = Tokenizer(learn_merges(["red", "circle"]))
    text = ClipTextConfig(vocabulary=len(tokenizer), width=16, layers=2, heads=2, length=16)
    unet = UNetConfig(
        model_channels=16,
        channel_mult=(1, 2),
        num_res_blocks=1,
        transformer_depth=(0, 1),
        heads=2,
        context_width=16,
        groups=8,
    )
    family = Family(
        "tiny",
        unet,
        AutoencoderConfig(channels=8, channel_mult=(1, 2, 2, 2), num_res_blocks=1, groups=4),
        text,
        LatentFormat(4, 8, 1.5, 0.1),
        SamplingConfig("flow", 1.0),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = UNet(unet), AutoencoderKL(family.first_stage), ClipText(text)
        # A fresh network ends in zeros; a test could not see whether its input counts.
        for parameter in parts[0].parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    save_checkpoint(path, family, unet=parts[0], vae=parts[1], text=parts[2], tokenizer=tokenizer, provenance={})
