"""The published families' text encoders: which towers, which layer, which padding.

A tower is built with its configuration from here and filled from a file; the functions put towers together.
Values of each: https://github.com/Stability-AI/generative-models and sd3-ref, black-forest-labs/flux, their configs.
"""

from __future__ import annotations

from app.diffusion.conditioning.joined import JoinedEncoder, join_flux, join_sd3, join_sdxl
from app.diffusion.conditioning.text_encoder import TextEncoder, Words
from app.diffusion.conditioning.tokenizer import clip_tokenizer
from app.diffusion.models.bert import Bert
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.t5 import T5Encoder

CLIP_L = ClipTextConfig()
CLIP_H = ClipTextConfig(width=1024, layers=24, heads=16, activation="gelu", projection=1024)
CLIP_G = ClipTextConfig(width=1280, layers=32, heads=20, activation="gelu", projection=1280)


def sd1_encoder(clip_l: ClipText) -> TextEncoder:
    """SD 1: the last layer, normalised."""
    return TextEncoder(clip_l, clip_tokenizer(), name="l")


def sd2_encoder(clip_h: ClipText) -> TextEncoder:
    """SD 2: the layer before the last, normalised."""
    return TextEncoder(clip_h, clip_tokenizer(), layer=-2, padding=0, name="h")


def _penultimate(tower: ClipText, name: str, padding: int | None) -> TextEncoder:
    return TextEncoder(tower, clip_tokenizer(), layer=-2, normalise=False, padding=padding, name=name)


def sdxl_encoder(clip_l: ClipText, clip_g: ClipText) -> JoinedEncoder:
    """SDXL: the layers before the last of L and G, not normalised."""
    return JoinedEncoder.of({"l": _penultimate(clip_l, "l", None), "g": _penultimate(clip_g, "g", 0)}, join_sdxl)


def refiner_encoder(clip_g: ClipText) -> TextEncoder:
    """SDXL's refiner: G alone."""
    return _penultimate(clip_g, "g", 0)


def t5_encoder(tower: T5Encoder, words: Words, least: int) -> TextEncoder:
    """T5: the last layer, normalised; one chunk of any length, padded with 0 up to `least` tokens."""
    return TextEncoder(tower, words, padding=0, name="t5xxl", least=least)


def sd3_encoder(
    clip_l: ClipText | None = None, clip_g: ClipText | None = None, t5: tuple[T5Encoder, Words] | None = None
) -> JoinedEncoder:
    """SD 3 and 3.5: any of the three towers; those that are missing say nothing."""
    encoders = {
        "l": clip_l and _penultimate(clip_l, "l", None),
        "g": clip_g and _penultimate(clip_g, "g", 0),
        "t5xxl": t5 and t5_encoder(*t5, least=77),
    }
    return JoinedEncoder.of({name: encoder for name, encoder in encoders.items() if encoder}, join_sd3)


def flux_encoder(clip_l: ClipText, t5: tuple[T5Encoder, Words]) -> JoinedEncoder:
    """Flux.1: T5's features, and L's pooled."""
    return JoinedEncoder.of({"l": sd1_encoder(clip_l), "t5xxl": t5_encoder(*t5, least=256)}, join_flux)


def bert_encoder(bert: Bert, words: Words) -> TextEncoder:
    """Latent diffusion's own text-to-image models: the last layer, normalised, padded with [PAD]."""
    return TextEncoder(bert, words, padding=0, name="bert")
