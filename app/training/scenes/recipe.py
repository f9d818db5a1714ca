"""The recipe of the checkpoint that ships: first stage, second stage, and one file with both.

Each stage saves itself in a work folder and goes on from there, so that the command can be stopped and repeated.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from app import __version__
from app.diffusion.conditioning.text_encoder import TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges
from app.diffusion.families import Family, SamplingConfig
from app.diffusion.first_stage import FirstStage
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL, freeze
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.unet import UNet, UNetConfig
from app.diffusion.preview import DecodedPreview
from app.training.autoencoder import AutoencoderRecipe, TrainingStep, latent_scale, psnr, train_autoencoder
from app.training.scenes.captions import all_words
from app.training.scenes.drawing import draw
from app.training.scenes.examination import examine
from app.training.scenes.judge import Scores
from app.training.scenes.latents import stocked
from app.training.scenes.painter import Painter
from app.training.scenes.pictures import Pictures
from app.training.scenes.scene import random_scene
from app.training.text_to_image import TextToImageRecipe, TextToLatent, train_text_to_image
from app.weights.checkpoint import save_checkpoint

Report = Callable[[str, TrainingStep | None, dict[str, Any]], None]
SIDE = 64
AUTOENCODER = AutoencoderConfig(latent_channels=8, channels=16, channel_mult=(1, 2, 4, 4), num_res_blocks=1, groups=8)
UNET = UNetConfig(
    in_channels=8,
    out_channels=8,
    model_channels=64,
    channel_mult=(1, 2),
    num_res_blocks=1,
    transformer_depth=(1, 1),
    heads=None,
    head_width=32,
    context_width=128,
    position_waves=4,
)


@dataclass(frozen=True, slots=True)
class ScenesRecipe:
    """Sizes, times and seeds of a run. The defaults made the shipped checkpoint on two CPU cores."""

    first: AutoencoderRecipe = field(default_factory=AutoencoderRecipe)
    second: TextToImageRecipe = field(default_factory=TextToImageRecipe)
    autoencoder: AutoencoderConfig = AUTOENCODER
    unet: UNetConfig = UNET
    text_width: int = 128
    text_layers: int = 3
    text_length: int = 32
    stock: int = 120_000
    exam: int = 256
    seed: int = 1


def train_scenes(recipe: ScenesRecipe, work: Path, output: Path, report: Report) -> Scores:
    """Run both stages, judge the result on held-out prompts and write the checkpoint.

    `report(stage, step, figures)` hears of every step and of what was measured between them.
    """
    work.mkdir(parents=True, exist_ok=True)
    vae, scale = _first_stage(recipe, work, report)
    tokenizer = Tokenizer(learn_merges([*all_words(), ","]))
    heads = recipe.text_width // 32
    config = ClipTextConfig(len(tokenizer), recipe.text_width, recipe.text_layers, heads, recipe.text_length)
    both = TextToLatent(UNet(recipe.unet), ClipText(config))
    stock = stocked(vae, scale, recipe.stock, recipe.seed + 1, work / "stock.safetensors", SIDE)
    report("stock", None, {"scenes": len(stock.scenes)})
    file = work / "second_stage.safetensors"
    for step in train_text_to_image(both, tokenizer, stock, recipe.second, file):
        report("second stage", step, {})
    both.eval()
    latent = LatentFormat(recipe.autoencoder.latent_channels, recipe.autoencoder.factor, scale)
    family = Family("loom-scenes", recipe.unet, recipe.autoencoder, config, latent, SamplingConfig("flow"))
    scores = examine(_painter(family, both, vae, tokenizer), recipe.exam).scores
    report("judge", None, scores.as_dict())
    save_checkpoint(
        output,
        family,
        unet=both.unet,
        vae=vae,
        text=both.text,
        tokenizer=tokenizer,
        provenance=_provenance(recipe, scores),
    )
    return scores


def _first_stage(recipe: ScenesRecipe, work: Path, report: Report) -> tuple[AutoencoderKL, float]:
    """A trained first stage, frozen, and the factor that gives its latents unit variance."""
    torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
    vae = AutoencoderKL(recipe.autoencoder)
    file = work / "first_stage.safetensors"
    for step in train_autoencoder(vae, Pictures(recipe.seed), recipe.first, file):
        report("first stage", step, {})
    freeze(vae)
    rng = random.Random(recipe.seed + 99)
    fresh = draw([random_scene(rng) for _ in range(512)], SIDE)
    scale = latent_scale(vae, fresh)
    report("first stage", None, {"psnr": round(psnr(vae, fresh), 2), "scale": round(scale, 4)})
    return vae, scale


def _painter(family: Family, both: TextToLatent, vae: AutoencoderKL, tokenizer: Tokenizer) -> Painter:
    first_stage = FirstStage(vae)
    preview = DecodedPreview(first_stage, family.latent)
    model = DiffusionModel(both.unet, family.sampling.build(), family.latent, preview, family.name)
    return Painter(model, TextEncoder(both.text, tokenizer), first_stage)


def _provenance(recipe: ScenesRecipe, scores: Scores) -> dict[str, Any]:
    return {
        "title": "Latent Loom scenes, 64 pixels",
        "licence": "the licence of Latent Loom; all training data is drawn by its own code",
        "version": __version__,
        "recipe": {"first": asdict(recipe.first), "second": asdict(recipe.second), "seed": recipe.seed},
        "stock": recipe.stock,
        "scores": scores.as_dict(),
        "side": SIDE,
    }
