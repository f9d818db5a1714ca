"""Latents and conditioning of the graph as what a network is shown in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from app.diffusion.conditioning.entries import Conditioning
from app.diffusion.drawing import fitted
from app.diffusion.given import naming
from app.diffusion.model import DiffusionModel
from app.errors import InvalidRequest

# Options that say where and when a prompt holds; training has the whole picture at all times.
FOREIGN = ("control", "hooks", "area", "mask", "gligen")


@dataclass(frozen=True, slots=True)
class Example:
    """A clean latent (1, C, h, w) in the model's scale, and the network's arguments that describe it."""

    latent: Tensor
    arguments: Mapping[str, Any]

    def fits(self, other: Example) -> bool:
        """Whether both can be shown in one call."""
        return self.arguments.keys() == other.arguments.keys() and all(
            _alike(value, other.arguments[name]) for name, value in self.arguments.items()
        )


def examples_of(model: DiffusionModel, latent: Mapping[str, Any], positive: Conditioning) -> list[Example]:
    """One example for each latent of a batch, with the conditioning in the same place, or the only one.

    Raises:
        InvalidRequest: another number of conditionings, no latents, or such as the model cannot take.
    """
    with torch.inference_mode(False), torch.no_grad():
        with naming("latents"):
            samples = model.latent.to_model(fitted(latent, model).cpu())
        entries = positive * len(samples) if len(positive) == 1 else positive
        if len(entries) != len(samples):
            raise InvalidRequest(
                f"There are {len(samples)} latents and {len(positive)} conditionings.",
                remedy="Give as many descriptions as pictures, or one for all of them.",
                input_name="positive",
            )
        pairs = zip(samples[:, None], entries, strict=True)
        return [Example(own(one), own(_arguments(model, entry, one))) for one, entry in pairs]


def joined(examples: Sequence[Example]) -> list[tuple[Tensor, dict[str, Any]]]:
    """(latents (B, C, h, w), arguments) of as few calls as the shapes allow, in order."""
    groups: list[list[Example]] = []
    for example in examples:
        if groups and groups[-1][0].fits(example):
            groups[-1].append(example)
        else:
            groups.append([example])
    return [(torch.cat([each.latent for each in group]), _stacked(group)) for group in groups]


def own(value: Any) -> Any:
    """A copy whose tensors may take part in training: those that were born in inference mode may not."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, Mapping):
        return {key: own(part) for key, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [own(part) for part in cast("Sequence[Any]", value)]
    return value


def _arguments(model: DiffusionModel, entry: Sequence[Any], latent: Tensor) -> Mapping[str, Any]:
    features, said = entry
    foreign = [name for name in FOREIGN if name in said]
    if foreign:
        raise InvalidRequest(
            f"This conditioning has a {foreign[0]}, which training cannot follow.",
            remedy="Link plain prompts, such as CLIP Text Encode makes them.",
            input_name="positive",
        )
    return model.inputs(own(features), own(said), latent)


def _alike(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape[1:] == second.shape[1:] and first.dtype == second.dtype
    return not isinstance(first, Tensor) and not isinstance(second, Tensor) and first == second


def _stacked(group: Sequence[Example]) -> dict[str, Any]:
    return {
        name: torch.cat([each.arguments[name] for each in group]) if isinstance(value, Tensor) else value
        for name, value in group[0].arguments.items()
    }
