"""A whole model in one file: our own, with its description in the header, or a published one, told by its tensors.

In Stable Diffusion's layout the U-Net follows `model.diffusion_model.`, the first stage `first_stage_model.`, the text
tower `cond_stage_model.transformer.`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from app.diffusion.conditioning.text_encoder import PromptEncoder, TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer
from app.diffusion.families import Family, family_to_json
from app.diffusion.first_stage import FirstStage, autoencoder_of
from app.diffusion.model import DiffusionModel
from app.diffusion.models.autoencoder_kl import AutoencoderKL
from app.diffusion.models.class_embedder import ClassEmbedder
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.layout_embedder import LayoutEmbedder
from app.diffusion.models.spatial_rescaler import SpatialRescaler
from app.diffusion.models.unet import UNet
from app.diffusion.preview import DecodedPreview
from app.errors import UnusableFile
from app.weights.absent import Absent
from app.weights.architectures import unknown_first_stage
from app.weights.blank import blank
from app.weights.described import FAMILY_KEY, described
from app.weights.fill import fill
from app.weights.identify import identify
from app.weights.language import bert_config
from app.weights.network import EightBits, model_of
from app.weights.opening import open_weights
from app.weights.parts import Parts, parts_of
from app.weights.precision import Precision
from app.weights.shapes import autoencoder_of_shapes
from app.weights.stored import WeightsFile, below, shapes_of
from app.weights.tensor_file import save_tensors
from app.weights.tiny import is_tiny, tiny_of
from app.weights.towers import BERT_PREFIX, missing_towers, text_encoder_in

UNET, FIRST_STAGE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
CONDITION = "cond_stage_model."
TOKENS = f"{BERT_PREFIX}token_emb.weight"
CLASSES, SEGMENTS = f"{CONDITION}embedding.weight", f"{CONDITION}channel_mapper.weight"
MERGES_KEY, PROVENANCE_KEY = "loom.merges", "loom.provenance"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The three parts of a model, the name of its family and the file's metadata.

    A part that the file does not hold is `Absent`: it says so when it is used.
    """

    model: DiffusionModel
    clip: PromptEncoder
    vae: FirstStage
    family: Family
    metadata: Mapping[str, str]


def load_checkpoint(
    path: Path,
    precision: Precision | torch.dtype = torch.float32,
    *,
    ema: bool = False,
    vocabularies: Sequence[Path] = (),
) -> Checkpoint:
    """Build the model that the file holds, with its weights in that precision; with `ema` the averaged ones.

    `vocabularies` are the folders where those of T5 and BERT lie.

    Raises:
        Missing, UnusableFile: no file, a damaged or foreign one.
        UnknownFamily: a file of no architecture that is known.
        InvalidRequest: averaged weights are asked for, and there are none.
    """
    return checkpoint_of(open_weights(path), precision, ema=ema, vocabularies=vocabularies)


def checkpoint_of(
    file: WeightsFile,
    precision: Precision | torch.dtype = torch.float32,
    *,
    ema: bool = False,
    vocabularies: Sequence[Path] = (),
) -> Checkpoint:
    """As `load_checkpoint`, from an open file."""
    held = precision if isinstance(precision, Precision) else Precision.alike(precision)
    parts = parts_of(file.tensors, ema=ema, name=file.name)
    own = described(file.metadata, file.name)
    family = own or identify(parts, file.tensors, file.metadata, file.name)
    model = model_of(family, parts, file.name, held.network, EightBits(room=held.room))
    vae = _first_stage(family, parts, file.name, held.first_stage, ours=own is not None)
    if own is not None and vae is not None:
        model = DiffusionModel(
            model.network,
            model.sampling,
            family.latent,
            DecodedPreview(vae, family.latent),
            family.name,
            model.inputs,
            family,
        )
    return Checkpoint(
        model,
        _text_encoder(family, parts, file, held.text, vocabularies),
        vae or cast("FirstStage", Absent("VAE", file.name, "Load one with Load VAE and link that.")),
        family,
        file.metadata,
    )


def _first_stage(family: Family, parts: Parts, name: str, dtype: torch.dtype, *, ours: bool) -> FirstStage | None:
    """The first stage in its own shape, which for a published family may differ from the row's; None without any.

    Raises:
        UnusableFile: one that is incomplete, damaged or of no kind that is known.
    """
    if not parts.first_stage:
        return None
    if is_tiny(parts.first_stage):
        return tiny_of(parts.first_stage, name, dtype)
    config = family.first_stage if ours else autoencoder_of_shapes(shapes_of(parts.first_stage))
    if config is None:
        raise unknown_first_stage(parts.first_stage, name, parts.first_stage_prefix)
    with blank():
        vae = autoencoder_of(config)
    fill(vae, parts.first_stage, name, dtype=dtype, told=parts.first_stage_prefix, later=True)
    return FirstStage(vae)


def _text_encoder(
    family: Family, parts: Parts, file: WeightsFile, dtype: torch.dtype, vocabularies: Sequence[Path]
) -> PromptEncoder:
    if isinstance(family.text, ClipTextConfig):
        merges = _merges(file)
        with blank():
            text = ClipText(family.text)
        fill(text, below(TEXT, parts.rest), file.name, dtype=dtype, told=TEXT, later=True)
        return TextEncoder(text, Tokenizer(merges))
    if condition := _condition(family, parts, file.name, dtype):
        return cast("PromptEncoder", condition)
    if encoder := text_encoder_in(family.text, parts.rest, file.name, dtype, vocabularies):
        return encoder
    lacking = missing_towers(family.text, parts.rest)
    what = f"whole text encoder: {lacking}" if lacking else "text encoder"
    return cast("PromptEncoder", Absent(what, file.name, "Load one with Load CLIP and link that."))


def _condition(family: Family, parts: Parts, name: str, dtype: torch.dtype) -> nn.Module | None:
    """What a model of latent diffusion is told instead of a text, None where it is a text or nothing."""
    with blank():
        if family.text == "classes" and CLASSES in parts.rest:
            module: nn.Module = ClassEmbedder(*parts.rest[CLASSES].shape)
        elif family.text == "segmentation" and SEGMENTS in parts.rest:
            channels, classes = parts.rest[SEGMENTS].shape[:2]
            module = SpatialRescaler(classes, channels)
        elif family.text == "boxes" and TOKENS in parts.rest:
            module = LayoutEmbedder(bert_config(below(BERT_PREFIX, parts.rest), name))
        else:
            return None
    fill(module, below(CONDITION, parts.rest), name, dtype=dtype, told=CONDITION)
    return module


def _merges(file: WeightsFile) -> list[tuple[str, str]]:
    try:
        return [(str(left), str(right)) for left, right in json.loads(file.metadata[MERGES_KEY])]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise UnusableFile(
            f"The file {file.name!r} has no usable merge table under {MERGES_KEY!r}.", remedy="Choose another file."
        ) from error


def save_checkpoint(
    path: Path,
    family: Family,
    *,
    unet: UNet,
    vae: AutoencoderKL,
    text: ClipText,
    tokenizer: Tokenizer,
    provenance: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a model in one file; what was there before stays whole until the new file is complete."""
    tensors: dict[str, Tensor] = {}
    for module, prefix in ((unet, UNET), (vae, FIRST_STAGE), (text, TEXT)):
        tensors |= {prefix + key: value.to(dtype).contiguous() for key, value in module.state_dict().items()}
    metadata = {
        "format": "pt",
        FAMILY_KEY: json.dumps(family_to_json(family)),
        MERGES_KEY: json.dumps(tokenizer.merges, ensure_ascii=False),
        PROVENANCE_KEY: json.dumps(dict(provenance)),
    }
    partial = path.with_name(path.name + ".partial")
    save_tensors(tensors, partial, metadata)
    os.replace(partial, path)
