"""Differences of weights as files of adapters, in the names that this program and others read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from app.diffusion.adapters.extraction import nearest_low_rank
from app.diffusion.adapters.twin import value_of
from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.model import DiffusionModel
from app.errors import InvalidRequest
from app.weights.saving import file_name, write


def save_difference(
    path: Path,
    model: DiffusionModel | None,
    clip: PromptEncoder | None,
    metadata: Mapping[str, str],
    *,
    rank: int | None = 8,
    biases: bool = True,
) -> None:
    """Write the weights of models that are differences, in half precision; what is zero everywhere is left out.

    With a rank as LoRA, without one as full differences. `biases` writes those too, and normalisations' scales.

    Raises:
        InvalidRequest: nothing differs.
    """
    tensors: dict[str, Tensor] = {}
    if model is not None:
        tensors |= dict(_tensors(model.network, "diffusion_model.", rank, biases))
    if clip is not None:
        for name, tower in clip.towers.items():
            tensors |= dict(_tensors(tower, f"text_encoders.{file_name(name)}.transformer.", rank, biases))
    if not tensors:
        raise InvalidRequest(
            "There is no difference to be saved.", remedy="Link what ModelMergeSubtract or CLIPMergeSubtract has found."
        )
    write(path, {name: tensor.to("cpu", torch.float16) for name, tensor in tensors.items()}, metadata)


def _tensors(network: nn.Module, prefix: str, rank: int | None, biases: bool) -> Iterator[tuple[str, Tensor]]:
    for name, _ in network.named_parameters():
        value = value_of(network, name)
        layer, _, kind = name.rpartition(".")
        if kind not in ("weight", "scale", "bias") or not bool(value.any()):
            continue
        if kind == "bias":
            found = {"diff_b": value} if biases else {}
        elif value.ndim < 2:
            found = {"diff": value} if biases else {}
        elif rank is None:
            found = {"diff": value}
        else:
            up, down = nearest_low_rank(value, rank)
            found = {"lora_up.weight": up, "lora_down.weight": down}
        yield from ((f"{prefix}{layer}.{end}", tensor.contiguous()) for end, tensor in found.items())
