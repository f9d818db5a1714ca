"""Text towers of published checkpoints: where they lie, in which layout, and what they make together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from app.diffusion.conditioning.encoders import (
    CLIP_G,
    CLIP_H,
    CLIP_L,
    bert_encoder,
    flux_encoder,
    refiner_encoder,
    sd1_encoder,
    sd2_encoder,
    sd3_encoder,
    sdxl_encoder,
)
from app.diffusion.conditioning.text_encoder import PromptEncoder, Words
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.open_clip_text import from_open_clip
from app.diffusion.models.t5 import T5Encoder
from app.weights.blank import blank
from app.weights.cut_tower import CutClipText
from app.weights.fill import fill
from app.weights.language import BERT_MARK, T5_MARK, bert_tower, t5_tower
from app.weights.stored import Tensors, below, held
from app.weights.vocabularies import words_or_missing

# The tower, its shape, and what may stand before its names in a checkpoint.
TOWERS: Mapping[str, tuple[ClipTextConfig, tuple[str, ...]]] = {
    "l": (
        CLIP_L,
        (
            "cond_stage_model.transformer.",
            "conditioner.embedders.0.transformer.",
            "text_encoders.clip_l.transformer.",
        ),
    ),
    "h": (CLIP_H, ("cond_stage_model.model.", "text_encoders.clip_h.transformer.")),
    "g": (
        CLIP_G,
        ("conditioner.embedders.1.model.", "conditioner.embedders.0.model.", "text_encoders.clip_g.transformer."),
    ),
}
NAMES = {"l": "CLIP L", "h": "CLIP H", "g": "CLIP G (bigG)", "t5xxl": "T5", "bert": "BERT"}
CUT = ("h",)  # what is published without its last layer too
T5_PREFIX = "text_encoders.t5xxl.transformer."
BERT_PREFIX = "cond_stage_model.transformer."
FEWEST_WORDS = 30_000  # one with fewer reads places and classes, not text
NEEDED: Mapping[str, tuple[str, ...]] = {"sd1": ("l",), "sd2": ("h",), "sdxl": ("l", "g"), "refiner": ("g",)}


def text_encoder_in(
    kind: str, rest: Tensors, name: str, dtype: torch.dtype, vocabularies: Sequence[Path] = ()
) -> PromptEncoder | None:
    """What encodes prompts for a family of that kind, from a checkpoint's tensors; None if towers are missing.

    `vocabularies` are the folders where those of T5 and BERT lie; without one, the encoder says so when it is used.
    What is missing where some towers are there, `missing_towers` says.

    Raises:
        UnusableFile: a tower that is incomplete or damaged.
    """
    if kind == "bert":
        return _bert(rest, name, dtype, vocabularies)
    if kind in ("sd3", "flux"):
        return _with_t5(kind, rest, name, dtype, vocabularies)
    found = {tower: _tensors(tower, rest) for tower in NEEDED.get(kind, ())}
    if not found or not all(found.values()):
        return None
    towers = {tower: clip_tower(tower, tensors, name, dtype) for tower, tensors in found.items()}
    return encoder_of(kind, towers)


def missing_towers(kind: str, rest: Tensors) -> str:
    """What a checkpoint with some of the towers of that kind lacks, in words; empty if none is there, or all are."""
    places = {tower: TOWERS[tower][1] for tower in (("l",) if kind == "flux" else NEEDED.get(kind, ()))}
    if kind == "flux":
        places["t5xxl"] = (T5_PREFIX,)
    found = [tower for tower, prefixes in places.items() if any(key.startswith(prefixes) for key in rest)]
    missing = [tower for tower in places if tower not in found]
    if not found or not missing:
        return ""
    looked_for = ", ".join(f"{prefix!r}" for tower in missing for prefix in places[tower])
    return (
        f"{' and '.join(NAMES[tower] for tower in found)} is there, but {' and '.join(NAMES[each] for each in missing)}"
        f" is not (no tensor's name begins with {looked_for})"
    )


def encoder_of(kind: str, towers: Mapping[str, ClipText]) -> PromptEncoder:
    """Towers as one encoder; `kind` is one of `NEEDED`."""
    if kind == "sdxl":
        return sdxl_encoder(towers["l"], towers["g"])
    if kind == "refiner":
        return refiner_encoder(towers["g"])
    return sd1_encoder(towers["l"]) if kind == "sd1" else sd2_encoder(towers["h"])


def _bert(rest: Tensors, name: str, dtype: torch.dtype, vocabularies: Sequence[Path]) -> PromptEncoder | None:
    tensors = below(BERT_PREFIX, rest)
    if BERT_MARK not in tensors or tensors["token_emb.weight"].shape[0] < FEWEST_WORDS:
        return None
    return bert_encoder(bert_tower(tensors, name, dtype, BERT_PREFIX), words_or_missing("bert", vocabularies))


def _with_t5(
    kind: str, rest: Tensors, name: str, dtype: torch.dtype, vocabularies: Sequence[Path]
) -> PromptEncoder | None:
    """SD 3's encoder with the towers that there are, or Flux's with both that it needs."""
    clips = {tower: clip_tower(tower, found, name, dtype) for tower in ("l", "g") if (found := _tensors(tower, rest))}
    t5: tuple[T5Encoder, Words] | None = None
    tensors = below(T5_PREFIX, rest)
    if T5_MARK in tensors:
        t5 = t5_tower(tensors, name, T5_PREFIX), words_or_missing("t5", vocabularies, tensors)
    if kind == "flux":
        return flux_encoder(clips["l"], t5) if "l" in clips and t5 else None
    return sd3_encoder(clips.get("l"), clips.get("g"), t5) if clips or t5 else None


def clip_tower(tower: str, tensors: Tensors, name: str, dtype: torch.dtype, told: str = "") -> ClipText:
    """A CLIP tower from tensors in transformers' or OpenCLIP's names, without a prefix. Raises UnusableFile.

    H may lack its last layer; see `CutClipText`.
    """
    config = TOWERS[tower][0]
    if "transformer.resblocks.0.ln_1.weight" in tensors:
        tensors = held(from_open_clip({key: stored.read() for key, stored in tensors.items()}))
    elif not any(key.startswith("text_model.") for key in tensors):  # the oldest files of SD 1
        tensors = {f"text_model.{key}": stored for key, stored in tensors.items()}
    if config.projection and "text_projection.weight" not in tensors:
        config = replace(config, projection=None)
    build = ClipText
    if tower in CUT and not any(key.startswith(f"text_model.encoder.layers.{config.layers - 1}.") for key in tensors):
        build, config = CutClipText, replace(config, layers=config.layers - 1)
    with blank():
        module = build(config)
    fill(module, tensors, name, dtype=dtype, told=told, later=True)
    return module


def _tensors(tower: str, rest: Tensors) -> Tensors:
    """The tower's tensors without their prefix; empty if it is not there."""
    for prefix in TOWERS[tower][1]:
        tensors = below(prefix, rest)
        if tensors:
            return tensors
    return {}
