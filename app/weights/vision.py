"""CLIP's vision towers from files of their own."""

from __future__ import annotations

from pathlib import Path

import torch

from app.diffusion.models.clip_vision import ClipVision, clip_vision_config
from app.diffusion.models.open_clip_text import vision_from_open_clip
from app.errors import UnusableFile
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.kinds import refused
from app.weights.opening import open_weights
from app.weights.stored import Tensors, WeightsFile, below, held, shapes_of

# A tensor of transformers' CLIP, of OpenCLIP and of SigLIP.
MARKS = (
    "vision_model.embeddings.class_embedding",
    "class_embedding",
    "vision_model.embeddings.patch_embedding.bias",
)


def load_clip_vision(path: Path, dtype: torch.dtype = torch.float32) -> ClipVision:
    """The vision tower in a file, in transformers' or OpenCLIP's names, with anything before them.

    Raises:
        Missing, UnusableFile: no file, a damaged or incomplete one.
        UnknownFamily: a file that holds no vision tower.
    """
    return clip_vision_of(open_weights(path), dtype)


def clip_vision_of(file: WeightsFile, dtype: torch.dtype = torch.float32) -> ClipVision:
    """As `load_clip_vision`, from an open file."""
    for mark in MARKS:
        for key in file.tensors:
            if key.endswith(mark):
                prefix = key.removesuffix(mark)
                return _tower(below(prefix, file.tensors), file.name, dtype, prefix)
    raise refused(file.tensors, file.name, "a vision encoder", f"{MARKS[0]!r}")


def _tower(tensors: Tensors, name: str, dtype: torch.dtype, told: str) -> ClipVision:
    if "conv1.weight" in tensors:
        tensors = held(vision_from_open_clip({key: stored.read() for key, stored in tensors.items()}))
    try:
        config = clip_vision_config(shapes_of(tensors))
    except (KeyError, ValueError) as error:
        raise UnusableFile(
            f"The file {name!r} holds no whole vision encoder: {error} is missing.", remedy="Use another copy of it."
        ) from error
    with blank():
        tower = ClipVision(config)
    fill(tower, tensors, name, dtype=dtype, told=told)
    return tower
