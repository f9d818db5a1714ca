"""`comfy.model_detection`: which family tensors belong to, by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from app.extend.facade.comfy.network_facts import facts_of
from app.extend.facade.comfy.supported_models import family_of
from app.extend.facade.comfy.supported_models_base import BASE
from app.weights.diffusers_names import is_unet, unet_names
from app.weights.diffusers_transformers import transformer_kind, transformer_names
from app.weights.shapes import transformer_of, unet_of
from app.weights.stored import below, held, shapes_of

PREFIXES = ("model.diffusion_model.", "model.model.", "net.")
FEWEST = 5  # names below a prefix that is one


def unet_prefix_from_state_dict(state_dict: Mapping[str, Any]) -> str:
    """What the names of a checkpoint's network begin with."""
    counts = {prefix: sum(name.startswith(prefix) for name in state_dict) for prefix in PREFIXES}
    best = max(counts, key=lambda prefix: counts[prefix])
    return best if counts[best] > FEWEST else "model."


def detect_unet_config(
    state_dict: Mapping[str, Tensor], key_prefix: str, metadata: Any = None
) -> dict[str, Any] | None:
    """The shape of the network below a prefix, as published configurations say it; None for an unknown one."""
    shapes = shapes_of(below(key_prefix, held(state_dict)))
    config = transformer_of(shapes) or unet_of(shapes)
    return facts_of(config) if config is not None else None


def model_config_from_unet_config(unet_config: Mapping[str, Any], state_dict: Any = None) -> BASE:
    """The family of a network with that shape."""
    return family_of(unet_config)


def model_config_from_unet(
    state_dict: Mapping[str, Tensor],
    unet_key_prefix: str,
    use_base_if_no_match: bool = False,
    metadata: Any = None,
) -> BASE | None:
    """The family of the network below a prefix; None for an unknown one, or a plain one if asked."""
    config = detect_unet_config(state_dict, unet_key_prefix, metadata)
    if config is None:
        return None
    family = family_of(config)
    return family if use_base_if_no_match or type(family) is not BASE else None


def convert_diffusers_mmdit(state_dict: Mapping[str, Tensor], output_prefix: str = "") -> dict[str, Tensor] | None:
    """diffusers' names of SD 3 or Flux as the published ones; None for other tensors."""
    tensors = held(state_dict)
    kind = transformer_kind(tensors)
    if kind is None:
        return None
    return {output_prefix + name: stored.read() for name, stored in transformer_names(kind, tensors).items()}


def unet_config_from_diffusers_unet(state_dict: Mapping[str, Tensor], dtype: Any = None) -> dict[str, Any] | None:
    """As `detect_unet_config`, of a U-Net in diffusers' names."""
    tensors = held(state_dict)
    config = unet_of(shapes_of(unet_names(tensors))) if is_unet(tensors) else None
    return None if config is None else {**facts_of(config), "dtype": dtype}
