"""Writes models so that any program that reads Stable Diffusion's layout can read them, and we know them at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from app.diffusion.conditioning.text_encoder import PromptEncoder, TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer
from app.diffusion.families import Family, family_to_json
from app.diffusion.first_stage import FirstStage
from app.diffusion.model import DiffusionModel
from app.diffusion.models.clip_text import ClipTextConfig
from app.diffusion.models.open_clip_text import to_open_clip
from app.diffusion.working import make_ready
from app.errors import InvalidRequest
from app.weights.checkpoint import FAMILY_KEY, FIRST_STAGE, MERGES_KEY, TEXT, UNET
from app.weights.identify import PREDICTION_KEY
from app.weights.tensor_file import save_tensors

# Where the towers of a family lie in a checkpoint, and whether in OpenCLIP's layout.
TOWER_PLACES: Mapping[str, Mapping[str, tuple[str, bool]]] = {
    "sd1": {"l": (TEXT, False)},
    "sd2": {"h": ("cond_stage_model.model.", True)},
    "sdxl": {
        "l": ("conditioner.embedders.0.transformer.", False),
        "g": ("conditioner.embedders.1.model.", True),
    },
    "refiner": {"g": ("conditioner.embedders.0.model.", True)},
}


def save_model(path: Path, model: DiffusionModel, metadata: Mapping[str, str]) -> None:
    """The network alone. Raises InvalidRequest for a model of no known family."""
    write(path, named(model.network, UNET), {**metadata, **description(model)})


def save_first_stage(path: Path, vae: FirstStage, metadata: Mapping[str, str]) -> None:
    """The VAE alone, without a prefix."""
    write(path, named(vae.model, ""), metadata)


def save_tower(path: Path, tower: nn.Module, metadata: Mapping[str, str]) -> None:
    """One text tower, without a prefix."""
    write(path, named(tower, ""), metadata)


def save_parts(
    path: Path, model: DiffusionModel, clip: PromptEncoder, vae: FirstStage, metadata: Mapping[str, str]
) -> None:
    """A whole checkpoint. Raises InvalidRequest for a model of no known family."""
    family = family_of(model)
    texts = text_tensors(family, clip)
    tensors = named(model.network, UNET) | named(vae.model, FIRST_STAGE) | texts
    told = {**metadata, **description(model)}
    if isinstance(family.text, ClipTextConfig) and isinstance(clip, TextEncoder):
        words = clip.tokenizer
        told[MERGES_KEY] = json.dumps(words.merges, ensure_ascii=False) if isinstance(words, Tokenizer) else "[]"
    write(path, tensors, told)


def text_tensors(family: Family, clip: PromptEncoder) -> dict[str, Tensor]:
    """The towers' tensors under the names that the family's checkpoints have."""
    if isinstance(family.text, ClipTextConfig):
        return named(clip.model, TEXT)
    tensors: dict[str, Tensor] = {}
    places = TOWER_PLACES.get(family.text, {})
    for name, tower in clip.towers.items():
        prefix, is_open_clip = places.get(name, (f"text_encoders.{file_name(name)}.transformer.", False))
        make_ready(tower)
        has_projection = "text_projection.weight" in tower.state_dict()
        state = to_open_clip(tower.state_dict()) if is_open_clip and has_projection else tower.state_dict()
        tensors |= {prefix + key: value for key, value in state.items()}
    return tensors


def file_name(tower: str) -> str:
    """What files call a tower: clip_l, clip_g, t5xxl …"""
    return f"clip_{tower}" if len(tower) == 1 else tower


def family_of(model: DiffusionModel) -> Family:
    """The row that the model was built from. Raises InvalidRequest without one."""
    if model.source is None:
        raise InvalidRequest(
            f"The model of family {model.family!r} cannot be saved: nothing is known of its shape.",
            remedy="Save a model that was loaded from a file.",
        )
    return model.source


def description(model: DiffusionModel) -> dict[str, str]:
    """What the header says of a model: our own description, and the prediction as other programs say it."""
    family = family_of(model)
    said = {FAMILY_KEY: json.dumps(family_to_json(family))}
    if family.sampling.prediction in ("eps", "v"):
        said[PREDICTION_KEY] = "epsilon" if family.sampling.prediction == "eps" else "v"
    return said


def named(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """A module's tensors with a prefix."""
    make_ready(module)  # what is written does not depend on what the model was used for before
    return {prefix + key: value for key, value in module.state_dict().items()}


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """One file, complete or not at all; what was there before stays until then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        # A tensor of its own for each: the format refuses memory that two of them share.
        save_tensors({k: _own(v) for k, v in tensors.items()}, partial, {"format": "pt", **metadata})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _own(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()
