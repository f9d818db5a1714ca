"""What a header of ours says of a model, checked entry by entry before anything is built of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from app.diffusion.families import Family, SamplingConfig, family_from_json
from app.diffusion.first_stage import autoencoder_of
from app.diffusion.latent_format import LatentFormat, PerChannel
from app.diffusion.models.clip_text import ACTIVATIONS, ClipTextConfig
from app.diffusion.models.unet import UNetConfig
from app.diffusion.published import PUBLISHED
from app.errors import UnusableFile
from app.weights.blank import blank
from app.weights.network import network_of

FAMILY_KEY = "loom.family"
PARTS = ("unet", "first_stage", "text", "latent", "sampling")
TEXTS = frozenset({"sd3", "flux"} | {family.text for family in PUBLISHED.values() if isinstance(family.text, str)})
MOST = 1 << 20  # of anything counted: more stands for a damaged header, and would take forever to build
# Counts of parts, each of which is built by itself.
STACKED = ("layers", "num_res_blocks", "double", "single", "depth", "dual", "transformer_depth", "output_depth")
MOST_STACKED = 256
# The least of what need not be there; of all others it is 1.
LEAST: Mapping[str, int] = {
    **dict.fromkeys(("vector_width", "position_waves", "classes", "codes", "dual"), 0),
    **dict.fromkeys(("transformer_depth", "output_depth"), 0),
    "transformer_depth_middle": -2,
}


def described(metadata: Mapping[str, str], name: str) -> Family | None:
    """The family that the header of the file `name` describes, None without such a description.

    Raises:
        UnusableFile: a description that cannot be understood, or of a model that cannot be built.
    """
    if FAMILY_KEY not in metadata:
        return None
    try:
        return _family(metadata[FAMILY_KEY])
    except (ValueError, RecursionError) as error:
        raise UnusableFile(
            f"The file {name!r} describes a model that cannot be built: {error}.",
            remedy=f"Its header's entry {FAMILY_KEY!r} is damaged or comes from a newer version; update, or choose "
            "another file.",
        ) from error


@lru_cache(maxsize=64)
def _family(text: str) -> Family:
    """The family that a header's entry describes. Raises ValueError, naming what cannot be built."""
    family = family_from_json(json.loads(text))
    _check(family)
    return family


def check_sampling(sampling: SamplingConfig) -> None:
    """Raises ValueError, naming the entry, for noise levels that nothing can be sampled on."""
    for entry in ("shift", "linear_start", "linear_end", "sigma_min", "sigma_max", "sigma_data", "multiplier"):
        if not 0 < getattr(sampling, entry) < math.inf:
            raise ValueError(f"sampling.{entry} is {getattr(sampling, entry)}, which is no number above 0")
    if sampling.sigma_min >= sampling.sigma_max:
        raise ValueError(f"sampling.sigma_max {sampling.sigma_max} is not above sigma_min {sampling.sigma_min}")
    if not sampling.linear_start < sampling.linear_end < 1:
        raise ValueError(f"sampling.linear_end {sampling.linear_end} is not between linear_start and 1")


def check_latent(latent: LatentFormat) -> None:
    """Raises ValueError, naming the entry, for a scale or shift that leaves no latent."""
    for entry in ("scale", "shift"):
        value: PerChannel = getattr(latent, entry)
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(value, tuple) and len(values) != latent.channels:
            raise ValueError(f"latent.{entry} has {len(values)} numbers for {latent.channels} channels")
        if not all(math.isfinite(each) and (each or entry == "shift") for each in values):
            raise ValueError(f"latent.{entry} is {value}, which no latent survives")


def _check(family: Family) -> None:
    """Raises ValueError, naming the entry, for a family that cannot be built."""
    for part in PARTS:
        config = getattr(family, part)
        if not isinstance(config, str):
            _check_types(part, config)
    _check_text(family.text)
    _check_levels("unet", family.unet, ("transformer_depth", "cross_only"), needed="transformer_depth")
    _check_levels("first_stage", family.first_stage, ("attention",))
    _check_heads(family)
    check_sampling(family.sampling)
    check_latent(family.latent)
    _check_builds(family)


def _check_types(part: str, config: Any) -> None:
    hints = get_type_hints(cast("type[object]", type(config)))
    for field in fields(config):
        value = getattr(config, field.name)
        if not _is_of(value, hints[field.name]):
            raise ValueError(f"{part}.{field.name} is {value!r}, which is no {field.type}")
        least = LEAST.get(field.name, 1)
        most = MOST_STACKED if field.name in STACKED else MOST
        for count in _counts(value):
            if not least <= count <= most:
                raise ValueError(f"{part}.{field.name} is {value!r}; it must be from {least} to {most}")


def _is_of(value: object, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is_of(each, get_args(hint)[0]) for each in cast("tuple[Any]", value))
    if isinstance(hint, UnionType):
        return any(_is_of(value, each) for each in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def _counts(value: object) -> Iterator[int]:
    for each in cast("tuple[Any]", value) if isinstance(value, tuple) else (value,):
        if type(each) is int:
            yield each


def _check_levels(part: str, config: Any, entries: tuple[str, ...], needed: str = "") -> None:
    """Entries with a value for each level have as many as there are levels, or none if they are not `needed`."""
    if not hasattr(config, "channel_mult"):
        return
    levels = len(config.channel_mult)
    if not levels:
        raise ValueError(f"{part}.channel_mult is empty")
    for entry in entries:
        count = len(getattr(config, entry))
        if count != levels and (count or entry == needed):
            raise ValueError(f"{part}.{entry} has {count} values for {levels} levels")


def _check_text(text: ClipTextConfig | str) -> None:
    if isinstance(text, str) and text not in TEXTS:
        raise ValueError(f"text is {text!r}; known are {', '.join(sorted(TEXTS))}")
    if isinstance(text, ClipTextConfig) and text.activation not in ACTIVATIONS:
        raise ValueError(f"text.activation is {text.activation!r}; known are {', '.join(ACTIVATIONS)}")


def _check_heads(family: Family) -> None:
    """Building does not tell: features are split among heads when they are computed."""
    for part, config in (("unet", family.unet), ("text", family.text)):
        if isinstance(config, UNetConfig):
            widths = [config.model_channels * mult for mult in config.channel_mult]
            attending = [width for width, depth in zip(widths, config.transformer_depth, strict=True) if depth]
            heads = config.head_width or config.heads or 1
        elif isinstance(config, str):
            continue
        else:
            attending, heads = [config.width], config.heads
        for width in attending:
            if width % max(heads, 1) or not heads:
                raise ValueError(f"{part}: the width {width} cannot be split among {heads} heads")


def _check_builds(family: Family) -> None:
    try:
        family.sampling.build()
    except ValueError as error:
        raise ValueError(f"sampling: {error}") from error
    for part, build in (
        ("unet", lambda: network_of(family.unet)),
        ("first_stage", lambda: autoencoder_of(family.first_stage)),
    ):
        try:
            with blank():
                build()
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{part}: {str(error).splitlines()[0]}") from error
