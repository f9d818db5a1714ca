"""A whole model in one safetensors file, in Stable Diffusion's layout.

The U-Net follows `model.diffusion_model.`, the first stage `first_stage_model.`, the text tower
`cond_stage_model.transformer.`. Architecture, merge table and provenance of our own models are in the header.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from app.diffusion.conditioning.text_encoder import TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer
from app.diffusion.families import Family, family_from_json, family_to_json
from app.diffusion.first_stage import FirstStage
from app.diffusion.model import DiffusionModel
from app.diffusion.models.autoencoder_kl import AutoencoderKL
from app.diffusion.models.clip_text import ClipText
from app.diffusion.models.unet import UNet
from app.diffusion.preview import DecodedPreview
from app.errors import UnknownFamily, UnusableFile
from app.weights.blank import blank
from app.weights.header import Header, read_header
from app.weights.tensor_file import TensorFile, open_tensors, save_tensors

UNET, FIRST_STAGE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
FAMILY_KEY, MERGES_KEY, PROVENANCE_KEY = "loom.family", "loom.merges", "loom.provenance"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The three parts of a model, the name of its family and the file's metadata."""

    model: DiffusionModel
    clip: TextEncoder
    vae: FirstStage
    family: Family
    metadata: Mapping[str, str]


def load_checkpoint(path: Path, dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Build the model that the file holds, with its weights in `dtype`.

    Raises:
        Missing, UnusableFile: no file, a damaged or foreign one.
        UnknownFamily: a safetensors file of no architecture that is known.
    """
    header = read_header(path)
    family = detect(header, path.name)
    merges = _merges(header, path.name)
    with blank():
        unet, vae, text = UNet(family.unet), AutoencoderKL(family.first_stage), ClipText(family.text)
    try:
        with open_tensors(path) as file:
            for module, prefix in ((unet, UNET), (vae, FIRST_STAGE), (text, TEXT)):
                _fill(module, prefix, header, file, dtype, path.name)
    except SafetensorError as error:
        raise UnusableFile(f"The file {path.name!r} cannot be read: {error}.", remedy="Copy it again.") from error
    first_stage = FirstStage(vae)
    model = DiffusionModel(
        unet, family.sampling.build(), family.latent, DecodedPreview(first_stage, family.latent), family.name
    )
    return Checkpoint(model, TextEncoder(text, Tokenizer(merges)), first_stage, family, header.metadata)


def detect(header: Header, name: str) -> Family:
    """The family of the model in a file, from its header.

    Raises:
        UnknownFamily: nothing that is known; says what was looked for.
        UnusableFile: a configuration in the header that cannot be understood.
    """
    if FAMILY_KEY not in header.metadata:
        first = ", ".join(sorted(header.tensors)[:3]) or "none"
        raise UnknownFamily(
            f"The file {name!r} holds no model that is known: its header has no {FAMILY_KEY!r} entry, "
            f"and its first tensors are {first}.",
            remedy="Choose a checkpoint that Latent Loom has written, such as the one that it ships with.",
        )
    try:
        return family_from_json(json.loads(header.metadata[FAMILY_KEY]))
    except (ValueError, RecursionError) as error:
        raise UnusableFile(
            f"The file {name!r} describes a model that cannot be built: {error}.",
            remedy="It may come from a newer version; update, or choose another file.",
        ) from error


def _merges(header: Header, name: str) -> list[tuple[str, str]]:
    try:
        return [(str(left), str(right)) for left, right in json.loads(header.metadata[MERGES_KEY])]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise UnusableFile(
            f"The file {name!r} has no usable merge table under {MERGES_KEY!r}.", remedy="Choose another file."
        ) from error


def _fill(module: nn.Module, prefix: str, header: Header, file: TensorFile, dtype: torch.dtype, name: str) -> None:
    """Put the file's tensors in place of the meta tensors of a module, after comparing names and shapes."""
    tensors: dict[str, Tensor] = {}
    for key, expected in module.state_dict().items():
        entry = header.tensors.get(prefix + key)
        if entry is None:
            raise UnusableFile(
                f"The file {name!r} lacks the tensor {prefix + key!r}.",
                remedy="It was saved incompletely; use another copy.",
            )
        if entry.shape != tuple(expected.shape):
            raise UnusableFile(
                f"In {name!r} the tensor {prefix + key!r} has the shape {list(entry.shape)} "
                f"where {list(expected.shape)} is expected.",
                remedy="It belongs to another architecture; use another file.",
            )
        tensors[key] = file.get_tensor(prefix + key).to(dtype)
    module.load_state_dict(tensors, assign=True)
    module.eval().requires_grad_(False)


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
