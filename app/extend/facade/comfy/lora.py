"""`comfy.lora`: changes of weights in files, their names, and what a changed weight is.

Files are read by our own adapters (`app.weights.adapters`); here are the forms in which packs hand changes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from app.diffusion.adapters.change import Change, Place
from app.diffusion.adapters.full import Difference, Replacement
from app.errors import InvalidRequest
from app.weights.adapters.adapter import network_places, tower_places
from app.weights.adapters.reading import change_of, changes_in

log = logging.getLogger(__name__)

PREFIX, WEIGHT, BIAS = "diffusion_model.", ".weight", ".bias"
# The parts of tuples that packs make by hand, in their order; see `reading.change_of`.
PARTS: Mapping[str, Sequence[str]] = {
    "lora": ("up", "down", "alpha", "mid", "magnitude"),
    "loha": (*("hada_w1_a", "hada_w1_b", "alpha", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "magnitude"),),
    "lokr": (
        *("lokr_w1", "lokr_w2", "alpha", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2", "magnitude"),
    ),
    "glora": ("a1", "a2", "b1", "b2", "alpha", "magnitude"),
}


def calculate_weight(
    patches: Sequence[Any], weight: Tensor, key: str, intermediate_dtype: Any = torch.float32
) -> Tensor:
    """The weight after all its changes, in its own type.

    Raises:
        InvalidRequest: a change of a kind or shape that does not fit; names the weight.
    """
    result = weight.to(intermediate_dtype)
    for strength, value, strength_model, offset, function in patches:
        part = result if offset is None else result.narrow(*offset)
        part = part if strength_model == 1.0 else part * strength_model
        try:
            part = _changed(value, part, key, strength, function)
        except RuntimeError as error:
            raise InvalidRequest(
                f"A change of {key} does not fit its shape {list(weight.shape)}: {error}",
                remedy="The file was made for another model; choose one for this model's family.",
            ) from error
        if offset is None:
            result = part
        else:
            result = result.clone()
            result.narrow(*offset).copy_(part)
    return result.to(weight.dtype)


def _changed(
    value: Any, part: Tensor, key: str, strength: float, function: Callable[[Tensor], Tensor] | None
) -> Tensor:
    if hasattr(value, "calculate_weight"):  # an adapter of a pack's own
        whole: Tensor = value.calculate_weight(part, key, strength, 1.0, None, function or _as_it_is)
        return whole
    change = _change(value, part, key)
    if function is None or isinstance(change, Replacement):
        return change.applied(part, strength)
    return part + strength * function(change.applied(part, 1.0) - part)


def _change(value: Any, weight: Tensor, key: str) -> Change:
    """What packs hand on as one of our changes."""
    if hasattr(value, "applied"):
        return cast("Change", value)
    parts: Sequence[Any] = value
    if isinstance(parts[0], Tensor):
        return Difference(parts[0])
    kind, said = parts[0], parts[1]
    if kind == "set":
        return Replacement(said[0])
    if kind == "diff":
        return Difference(said[0])
    if kind == "model_as_lora":
        return Difference(said[0].to(weight.device, weight.dtype) - weight)
    if kind in PARTS:
        named = dict(zip(PARTS[kind], said, strict=False))
        tensors = {name: torch.as_tensor(part) for name, part in named.items() if part is not None}
        change = change_of(tensors)
        if change is not None:
            return change
    raise InvalidRequest(f"The change of {key} is of an unknown kind {str(kind)[:40]!r}.", remedy="Update the pack.")


def _as_it_is(weight: Tensor) -> Tensor:
    return weight


def load_lora(lora: Mapping[str, Tensor], to_load: Mapping[str, Any], log_missing: bool = True) -> dict[Any, Any]:
    """The changes in a file for the weights of `to_load`: name in the file → name of the weight, or a part of it."""
    changes = changes_in(lora)
    found: dict[Any, Any] = {}
    taken: set[str] = set()
    for name, key in to_load.items():
        if name in changes.weights:
            found[key] = changes.weights[name]
            taken.add(name)
        if name in changes.biases and isinstance(key, str) and key.endswith(WEIGHT):
            found[key.removesuffix(WEIGHT) + BIAS] = changes.biases[name]
            taken.add(name)
    unknown = [*changes.unknown, *(each for layer in changes.layers - taken for each in changes.tensors[layer])]
    if unknown and log_missing:
        log.warning("%d of %d entries of the file fit nothing here, such as %s", len(unknown), len(lora), unknown[0])
    return found


def model_lora_keys_unet(model: Any, key_map: dict[str, Any] | None = None) -> dict[str, Any]:
    """Names in files → weights, for the network of a model."""
    names = {} if key_map is None else key_map
    names.update(_keys(network_places(model.diffusion_model).items(), PREFIX))
    return names


def model_lora_keys_clip(model: Any, key_map: dict[str, Any] | None = None) -> dict[str, Any]:
    """Names in files → weights, for the towers of a text encoder."""
    names = {} if key_map is None else key_map
    joined = isinstance(model, nn.ModuleDict)
    towers = dict(cast("Any", model).items()) if joined else {"l": model}
    for tower, module in towers.items():
        names.update(_keys(tower_places(tower, tuple(towers), module).items(), f"{tower}." if joined else ""))
    return names


def _keys(places: Iterable[tuple[str, tuple[Place, Any]]], prefix: str) -> dict[str, Any]:
    return {name: _key(place, prefix) for name, (place, _) in places if not name.endswith(BIAS)}


def _key(place: Place, prefix: str) -> Any:
    """A place as packs write it: a name, or (name, (dimension, first, count), what is done with a change)."""
    name = prefix + place.name
    if place.rows is None and not place.halves_swapped:
        return name
    return name, None if place.rows is None else (0, *place.rows), _swapped if place.halves_swapped else None


def _swapped(change: Tensor) -> Tensor:
    return torch.cat(change.chunk(2)[::-1])
