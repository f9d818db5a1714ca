"""What a training of an adapter begins with: a network of its own, and the parts of each layer's adapter.

They are new ones, or those of a file that is trained further.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from app.diffusion.adapters.change import Change, Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.twin import independent, with_edits
from app.diffusion.model import DiffusionModel
from app.diffusion.models.narrow import widen
from app.diffusion.working import computes_in
from app.errors import InvalidRequest
from app.training.adapters.branch import Layer
from app.training.adapters.parts import FRESH, Parts, parts_of
from app.weights.adapters.adapter import Adapter, network_places

PREFIX = "diffusion_model."  # before a layer's name, as programs of this kind have it
BIAS = ".bias"


@dataclass(frozen=True, slots=True)
class Earlier:
    """A file's changes by our layers: those to be trained on, and those that stay as they are.

    `kept` are differences of biases and of normalisations, by the names of the parameters.
    """

    parts: dict[str, Parts] = field(default_factory=dict[str, Parts])
    kept: dict[str, Change] = field(default_factory=dict[str, Change])

    def tensors(self) -> dict[str, Tensor]:
        """What stays as it is, by its names in files."""
        found: dict[str, Tensor] = {}
        for name, change in self.kept.items():
            layer, ending = (name.removesuffix(BIAS), "diff_b") if name.endswith(BIAS) else (_layer_of(name), "diff")
            if isinstance(change, Difference):
                found[f"{PREFIX}{layer}.{ending}"] = change.value.detach().cpu().clone()
        return found


def earlier_training(adapter: Adapter, model: DiffusionModel) -> Earlier:
    """What a file of an adapter holds for this model's network.

    Raises:
        InvalidRequest: a file for another family, or with changes of a kind that is not trained here.
    """
    adapter.applied(model, None)  # says what does not fit
    places = network_places(model.network)
    trained = {name for name, _ in layers_of(model.network)}
    found = Earlier()
    for layer, change in adapter.changes.weights.items():
        if layer not in places:
            continue
        place, parts = places[layer][0], parts_of(change)
        if parts is None or place != Place(place.name):
            raise InvalidRequest(
                f"{adapter.name!r} changes {layer!r} in a way that is not trained here ({type(change).__name__}).",
                remedy="Choose a file that was trained here, or [None] to begin anew.",
                input_name="existing_lora",
            )
        if "diff" in parts or _layer_of(place.name) not in trained:
            found.kept[place.name] = change
        else:
            found.parts[_layer_of(place.name)] = parts
    for layer, change in adapter.changes.biases.items():
        if f"{layer}{BIAS}" in places:
            found.kept[places[f"{layer}{BIAS}"][0].name] = change
    return found


def network_to_train(model: DiffusionModel, dtype: torch.dtype, earlier: Earlier) -> nn.Module:
    """A network of its own, in this precision, whose weights are frozen; what stays of a file is in them."""
    with torch.inference_mode(False), torch.no_grad():
        edits = (Edit(Place(name), change) for name, change in earlier.kept.items())
        network = independent(with_edits(model.network, edits))
        computes_in(network, dtype)
        widen(network, dtype)
        return network.to(dtype).requires_grad_(False)


def first_parts(
    network: nn.Module, algorithm: str, rank: int, chance: torch.Generator, earlier: Earlier
) -> dict[str, Parts]:
    """The parts of every layer: a file's, where it has some, and new ones for the others."""
    found: dict[str, Parts] = {}
    for name, layer in layers_of(network):
        parts = earlier.parts.get(name) or FRESH[algorithm](layer.weight.shape, rank, chance)
        if parts:
            found[name] = parts
    return found


def layers_of(network: nn.Module) -> Iterator[tuple[str, Layer]]:
    """The layers that adapters are trained for: all linear ones and all convolutions."""
    for name, module in cast("Iterable[tuple[str, nn.Module]]", network.named_modules()):
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d | nn.Conv1d) and module.groups == 1):
            yield name, module


def _layer_of(parameter: str) -> str:
    return parameter.rpartition(".")[0]
