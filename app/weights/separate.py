"""A network, a first stage or a folder of parts alone, from files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from app.diffusion.first_stage import FirstStage, autoencoder_of
from app.diffusion.model import DiffusionModel
from app.weights.architectures import unknown_first_stage
from app.weights.blank import blank
from app.weights.checkpoint import Checkpoint, checkpoint_of
from app.weights.described import described
from app.weights.diffusers_names import first_stage_names, is_first_stage, is_unet, unet_names
from app.weights.diffusers_transformers import transformer_kind, transformer_names
from app.weights.fill import fill
from app.weights.folder import open_folder
from app.weights.identify import identify
from app.weights.kinds import refused
from app.weights.network import EightBits, model_of
from app.weights.opening import open_weights
from app.weights.parts import FIRST_STAGE_PREFIXES, parts_of
from app.weights.precision import Precision
from app.weights.shapes import autoencoder_of_shapes
from app.weights.stored import Tensors, below, shapes_of
from app.weights.tiny import is_tiny, pixel_space, tiny_of

PIXELS = "pixel_space_vae"  # the one tensor of a first stage that does nothing
LOOKED_FOR = "'encoder.conv_in.weight' and 'decoder.conv_in.weight'"


def load_network(path: Path, dtype: torch.dtype = torch.float32, eight_bits: EightBits | None = None) -> DiffusionModel:
    """A diffusion model without its first stage and text encoder, in the original names or in diffusers'.

    Raises:
        Missing, UnusableFile: no file, a damaged or foreign one.
        UnknownFamily: a file of no architecture that is known.
    """
    file = open_weights(path)
    tensors: Tensors = below("unet.", file.tensors) or file.tensors
    kind = transformer_kind(tensors)
    tensors = transformer_names(kind, tensors) if kind else unet_names(tensors) if is_unet(tensors) else tensors
    parts = parts_of(tensors)
    family = described(file.metadata, file.name) or identify(parts, tensors, file.metadata, file.name, alone=True)
    return model_of(family, parts, file.name, dtype, eight_bits)


def load_first_stage(path: Path, dtype: torch.dtype = torch.float32) -> FirstStage:
    """A VAE in the original names, below a checkpoint's prefix or without, or in diffusers'.

    Raises:
        Missing, UnusableFile: no file, a damaged or foreign one.
        UnknownFamily: a file that holds no VAE.
    """
    file = open_weights(path)
    tensors: Tensors = file.tensors
    for prefix in FIRST_STAGE_PREFIXES:
        tensors = below(prefix, file.tensors) or tensors
    if is_tiny(tensors):
        return tiny_of(tensors, file.name, dtype)
    if PIXELS in tensors:
        return pixel_space()
    tensors = first_stage_names(tensors) if is_first_stage(tensors) else tensors
    config = autoencoder_of_shapes(shapes_of(tensors))
    if config is None and any(key.startswith(("encoder.", "decoder.")) for key in tensors):
        raise unknown_first_stage(tensors, file.name, "")
    if config is None:
        raise refused(file.tensors, file.name, "a VAE that is known", LOOKED_FOR)
    with blank():
        model = autoencoder_of(config)
    fill(model, tensors, file.name, dtype=dtype, later=True)
    return FirstStage(model)


def load_folder(
    path: Path, precision: Precision | torch.dtype = torch.float32, *, vocabularies: Sequence[Path] = ()
) -> Checkpoint:
    """A model in diffusers' folder of parts. Raises Missing, UnusableFile, UnknownFamily.

    `vocabularies` are further folders where those of T5 and BERT may lie.
    """
    # Its tokenizers lie beside its text encoders, each in a folder of its own.
    return checkpoint_of(open_folder(path), precision, vocabularies=[path, *vocabularies])
