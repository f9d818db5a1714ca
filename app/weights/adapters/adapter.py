"""A file of an adapter, and what it makes of a model and a text encoder."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from app.diffusion.adapters.change import Change, Edit, Place
from app.diffusion.adapters.low_rank import LowRank
from app.diffusion.adapters.twin import origin_of, with_edits
from app.diffusion.adapters.widened import Widened
from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.inputs import FluxInputs
from app.diffusion.model import DiffusionModel
from app.diffusion.models.flux import PATCH, Flux
from app.diffusion.models.mmdit import MMDiT
from app.diffusion.models.narrow import weight_shapes
from app.diffusion.models.unet import UNet
from app.errors import InvalidRequest
from app.weights.adapters.origin import OURS, origin_of_adapter
from app.weights.adapters.peft import scales_told
from app.weights.adapters.reading import Changes, changes_in
from app.weights.adapters.text_names import text_names
from app.weights.adapters.transformer_names import transformer_places
from app.weights.adapters.unet_names import unet_names
from app.weights.fill import check_values
from app.weights.kinds import refused
from app.weights.opening import open_weights
from app.weights.sources import Sources

log = logging.getLogger(__name__)

Places = Mapping[str, tuple[Place, tuple[int, ...]]]
_PARAMETERS = ("weight", "scale")  # of a layer; normalisations of Flux have a scale
GROWING = "img_in.weight"  # the layer of a network that may take in more than it was made for
NAMED = 3  # examples in messages
# How names of layers of text towers begin; see `text_names`.
_OF_TEXT = re.compile(r"lora_te|lora_prior_te|lycoris_te|text_encoder|text_encoders|clip_[lgh]\.|t5xxl\.|bert\.")

Clip = TypeVar("Clip", bound=PromptEncoder | None)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A file's changes. `tensors` is how many it has, `family` what it was made for, as far as it tells."""

    name: str
    changes: Changes
    family: str
    tensors: int

    def applied(
        self, model: DiffusionModel, clip: Clip, strength_model: float = 1.0, strength_clip: float = 1.0
    ) -> tuple[DiffusionModel, Clip]:
        """The model and the text encoder with the changes; those that are given stay as they are.

        Weights are changed when they are first used. A strength of 0 leaves a part alone. What fits nothing is
        written to the log.

        Raises:
            InvalidRequest: nothing fits, or some layers have other shapes: the file is for another family.
        """
        network = network_places(model.network)
        towers = {} if clip is None else dict(clip.towers)
        places = {name: tower_places(name, tuple(towers), tower) for name, tower in towers.items()}
        self._check(model, [network, *places.values()])
        if strength_model:
            model = self._changed(model, network, strength_model)
        edited = {name: with_edits(tower, self._edits(places[name], strength_clip)) for name, tower in towers.items()}
        if clip is not None and any(edited[name] is not tower for name, tower in towers.items()):
            return model, cast("Clip", clip.with_towers(edited))
        return model, clip

    def changed_model(self, model: DiffusionModel, strength: float) -> DiffusionModel:
        """See `weight_hooks.WeightChange`."""
        places = network_places(model.network)
        if not any(layer in places for layer in self.changes.layers) and self._for_text_alone():
            return model
        self._check(model, [places], quiet=True)
        return self._changed(model, places, strength)

    def _changed(self, model: DiffusionModel, places: Places, strength: float) -> DiffusionModel:
        edits = list(self._edits(places, strength))
        twin = with_edits(model.network, edits)
        if twin is model.network:
            return model
        wider = next((edit.change for edit in edits if isinstance(edit.change, Widened)), None)
        if wider is None or not isinstance(twin, Flux) or not isinstance(model.inputs, FluxInputs):
            return replace(model, network=twin)
        twin.config = replace(twin.config, in_channels=wider.shape[1] // PATCH**2)
        return replace(model, network=twin, inputs=replace(model.inputs, config=twin.config))

    def changed_clip(self, clip: PromptEncoder, strength: float) -> PromptEncoder:
        """See `weight_hooks.WeightChange`. Raises InvalidRequest for layers of other shapes."""
        towers = dict(clip.towers)
        edited = dict(towers)
        for name, tower in towers.items():
            places = tower_places(name, tuple(towers), tower)
            for layer, ours, theirs in self._misfits(places):
                raise InvalidRequest(
                    f"{self.name!r} does not fit this text encoder: {layer!r} would need a weight of shape "
                    f"{list(ours)}{theirs}.",
                    remedy="Choose a file that was made for this model's family.",
                    input_name="lora_name",
                )
            edited[name] = with_edits(tower, self._edits(places, strength))
        return clip.with_towers(edited) if any(edited[name] is not towers[name] for name in towers) else clip

    def _for_text_alone(self) -> bool:
        return all(_OF_TEXT.match(layer) for layer in self.changes.layers)

    def _edits(self, places: Places, strength: float) -> Iterator[Edit]:
        for layer, change in self.changes.weights.items():
            if layer in places:
                place, shape = places[layer]
                change = _fitting(change, place, shape)
                yield Edit(place, change, strength, grows=isinstance(change, Widened))
        for layer, change in self.changes.biases.items():
            if f"{layer}.bias" in places:
                yield Edit(places[f"{layer}.bias"][0], change, strength)

    def _check(self, model: DiffusionModel, everywhere: Sequence[Places], *, quiet: bool = False) -> None:
        layers = self.changes.layers
        taken = {layer for layer in layers if any(layer in places for places in everywhere)}
        wrong = [misfit for places in everywhere for misfit in self._misfits(places)]
        if not taken or wrong:
            count = len(taken) - len({layer for layer, _, _ in wrong})
            said = f"Of the {len(layers)} layers that {self.name!r} changes, {count} fit this model ({model.family})."
            if wrong:
                layer, ours, theirs = wrong[0]
                said += f" {layer!r} would need a weight of shape {list(ours)}{theirs}."
            else:
                said += f" It names {', '.join(repr(layer) for layer in sorted(layers)[:NAMED])}."
            raise InvalidRequest(said, remedy=self._remedy(model.family), input_name="lora_name")
        lost = [*self.changes.unknown, *(name for layer in layers - taken for name in self.changes.tensors[layer])]
        if lost and not quiet:
            log.warning(
                "%d of the %d tensors in %r change nothing in this model: %s%s",
                *(
                    len(lost),
                    self.tensors,
                    self.name,
                    ", ".join(sorted(lost)[:NAMED]),
                    " …" if len(lost) > NAMED else "",
                ),
            )

    def _misfits(self, places: Places) -> Iterator[tuple[str, tuple[int, ...], str]]:
        """(layer, our shape, what is said of it) of all that are named like a layer of ours and do not fit it."""
        for layer, change in self.changes.weights.items():
            if layer in places and not _fits(change, *places[layer]):
                yield layer, places[layer][1], ", which this change does not have"
        for layer, change in self.changes.biases.items():
            place = f"{layer}.bias"
            if place in places and not change.fits(places[place][1]):
                yield layer, places[place][1], " for its bias, which this change does not have"

    def _remedy(self, family: str) -> str:
        ours = next((word for name, word in OURS.items() if family.startswith(name)), "")
        if self.family and self.family != ours:
            return f"The file was made for {self.family}: load a model of that family, or choose another file."
        return "Choose a file that was made for this model's family."


def _fitting(change: Change, place: Place, shape: Sequence[int]) -> Change:
    """The change; of Flux's first layer, for more input channels than there are, with the weight widened before."""
    if place.name == GROWING and isinstance(change, LowRank) and not change.fits(shape):
        wider = Widened(change, (shape[0], change.down.numel() // change.rank))
        return wider if wider.fits(shape) else change
    return change


def _fits(change: Change, place: Place, shape: Sequence[int]) -> bool:
    change = _fitting(change, place, shape)
    if isinstance(change, Widened) and place.name != GROWING and change.shape != tuple(shape):
        return False
    return change.fits(shape)


def load_adapter(path: Path) -> Adapter:
    """The changes in a file.

    Raises:
        Missing, UnusableFile: no file, a damaged one, or one with values that are not numbers.
        UnknownFamily: a file that holds no adapter.
    """
    file = open_weights(path)
    # In memory of their own, as they are used later, in the middle of runs, and are small beside what they change.
    tensors: dict[str, Tensor] = {name: stored.read().clone() for name, stored in file.tensors.items()}
    Sources.of(file.tensors.values()).check()
    for name, tensor in tensors.items():
        check_values(tensor, torch.float32, file.name, name)
    told = scales_told(path, file.metadata)

    def alpha_of(layer: str, rank: int) -> float | None:
        return next((alpha for scales in told if (alpha := scales.alpha(layer, rank)) is not None), None)

    changes = changes_in(tensors, alpha_of)
    if not changes.layers:
        raise refused(file.tensors, file.name, "a LoRA or another adapter", "'….lora_down.weight' and the like")
    return Adapter(file.name, changes, origin_of_adapter(tensors, file.metadata), len(tensors))


def network_places(network: nn.Module) -> Places:
    """Where the layers lie that files may name; a bias stands under the layer's name and ".bias"."""
    origin = origin_of(network)
    found: dict[str, tuple[Place, tuple[int, ...]]] = {}
    for layer, parameter, shape, ending in _layers(origin):
        for name, place in _names(origin, layer, parameter, shape):
            found[name + ending] = place, place.shape(shape)
    return found


def tower_places(tower: str, towers: Sequence[str], module: nn.Module) -> Places:
    """As `network_places`, for one of a model's text towers."""
    found: dict[str, tuple[Place, tuple[int, ...]]] = {}
    for layer, parameter, shape, ending in _layers(origin_of(module)):
        for name in text_names(tower, towers, layer):
            found[name + ending] = parameter, shape
    return found


def _layers(module: nn.Module) -> Iterator[tuple[str, Place, tuple[int, ...], str]]:
    """(layer, its parameter, the parameter's shape, what files' names of it end with)."""
    for name, shape in weight_shapes(module).items():
        layer, _, kind = name.rpartition(".")
        if kind in _PARAMETERS:
            yield layer, Place(name), shape, ""
        elif kind == "bias":
            yield layer, Place(name), shape, ".bias"


def _names(network: nn.Module, layer: str, parameter: Place, shape: Sequence[int]) -> Iterable[tuple[str, Place]]:
    if isinstance(network, UNet):
        return ((name, parameter) for name in unet_names(network, layer))
    if isinstance(network, MMDiT | Flux):
        return transformer_places("sd3" if isinstance(network, MMDiT) else "flux", layer, parameter, shape)
    return iter([(layer, parameter), (f"diffusion_model.{layer}", parameter)])
