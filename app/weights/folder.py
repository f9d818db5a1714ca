"""A model in a folder of parts, as diffusers saves it, read as if it were one checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from app.errors import Missing, UnusableFile
from app.weights.diffusers_names import first_stage_names, unet_names
from app.weights.diffusers_transformers import transformer_kind, transformer_names
from app.weights.language import T5_MARK
from app.weights.opening import open_weights
from app.weights.stored import Stored, WeightsFile, held
from app.weights.towers import T5_PREFIX

LONGEST_CONFIG = 1 << 20  # bytes
WEIGHTS = ("diffusion_pytorch_model", "model", "pytorch_model")
ENDINGS = (".safetensors", ".fp16.safetensors", ".bf16.safetensors", ".bin", ".fp16.bin")
# What stands before a text tower's names in a checkpoint, by its width.
TOWERS = {
    768: "text_encoders.clip_l.transformer.",
    1024: "text_encoders.clip_h.transformer.",
    1280: "text_encoders.clip_g.transformer.",
}
WIDTH = "text_model.embeddings.token_embedding.weight"


def open_folder(path: Path) -> WeightsFile:
    """The tensors of a folder under the names of a checkpoint.

    Raises:
        Missing: no such folder, or no network in it.
        UnusableFile: a part that is damaged.
    """
    tensors = {f"model.diffusion_model.{key}": stored for key, stored in _network(path).items()}
    if (path / "vae").is_dir():
        stage = first_stage_names(part_of(path / "vae"))
        tensors |= {f"first_stage_model.{key}": stored for key, stored in stage.items()}
    for name in ("text_encoder", "text_encoder_2", "text_encoder_3"):
        if (path / name).is_dir():
            tensors |= _tower(part_of(path / name), path / name)
    tensors |= _markers(config_of(path / "scheduler" / "scheduler_config.json"))
    return WeightsFile(path.name, tensors, {})


def _network(path: Path) -> dict[str, Stored]:
    """The tensors of the U-Net or the transformer under the published names."""
    if (path / "unet").is_dir():
        return unet_names(part_of(path / "unet"))
    if (path / "transformer").is_dir():
        tensors = part_of(path / "transformer")
        kind = transformer_kind(tensors)
        return transformer_names(kind, tensors) if kind else tensors
    raise Missing(
        f"The folder {path.name!r} holds no model: there is no folder 'unet' or 'transformer' in it.",
        remedy="Choose the folder that holds model_index.json.",
    )


def part_of(folder: Path) -> dict[str, Stored]:
    """The tensors of one part: one file, or several with an index. Raises Missing, UnusableFile."""
    for index in sorted(folder.glob("*.index.json")):
        names = cast("Mapping[str, Any]", config_of(index).get("weight_map", {}))
        files = sorted({str(name) for name in names.values()})
        if files and all(Path(name).name == name and (folder / name).is_file() for name in files):
            return {key: stored for name in files for key, stored in open_weights(folder / name).tensors.items()}
    for file in (folder / f"{name}{ending}" for ending in ENDINGS for name in WEIGHTS):
        if file.is_file():
            return dict(open_weights(file).tensors)
    raise Missing(
        f"The folder {folder.parent.name}/{folder.name} holds no weights.",
        remedy=f"Copy {WEIGHTS[0]}.safetensors or {WEIGHTS[1]}.safetensors into it.",
    )


def config_of(path: Path) -> Mapping[str, Any]:
    """A configuration's entries, none without the file. Raises UnusableFile for one that is no table."""
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_bytes()[:LONGEST_CONFIG])
    except (ValueError, RecursionError) as error:
        raise UnusableFile(f"The file {path.name!r} is no JSON: {error}.", remedy="Copy it again.") from error
    if not isinstance(data, dict):
        raise UnusableFile(f"The file {path.name!r} is no table of settings.", remedy="Copy it again.")
    return cast("Mapping[str, Any]", data)


def _tower(tensors: Mapping[str, Stored], folder: Path) -> dict[str, Stored]:
    if T5_MARK in tensors:
        return {T5_PREFIX + key: value for key, value in tensors.items()}
    stored = tensors.get(WIDTH)
    if stored is None or stored.shape[1] not in TOWERS:
        raise UnusableFile(
            f"The text encoder in {folder.parent.name}/{folder.name} is of no kind that is known.",
            remedy="Known are CLIP L, H and G, and T5.",
        )
    return {TOWERS[stored.shape[1]] + key: value for key, value in tensors.items()}


def _markers(scheduler: Mapping[str, Any]) -> dict[str, Stored]:
    """What the scheduler's settings say of the prediction, as the tensors that checkpoints say it with."""
    names = ["v_pred"] if scheduler.get("prediction_type") == "v_prediction" else ["eps_pred"]
    if scheduler.get("rescale_betas_zero_snr"):
        names.append("ztsnr")
    return held({name: torch.zeros(0) for name in names if scheduler})
