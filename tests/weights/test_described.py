"""A header that describes what cannot be built is refused with the entry's name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.diffusion.families import Family, family_to_json
from app.diffusion.published import FLUX, PUBLISHED, SCHNELL, SD3
from app.errors import UnusableFile
from app.weights.described import FAMILY_KEY, described
from tests.weights.test_checkpoint import FAMILY

HUGE = 10**9


def header(family: Family, part: str = "", **entries: Any) -> dict[str, str]:
    """The metadata of a file of that family, with other entries in one of its parts."""
    data = family_to_json(family)
    if part:
        data[part] |= entries
    return {FAMILY_KEY: json.dumps(data)}


@pytest.mark.parametrize("family", [FAMILY, *PUBLISHED.values(), SD3, FLUX, SCHNELL], ids=lambda family: family.name)
def test_every_family_is_accepted(family: Family) -> None:
    assert described(header(family), "x") == family


BAD: tuple[tuple[str, str, Any], ...] = (
    ("unet", "groups", 0),
    ("unet", "groups", 7),
    ("unet", "channel_mult", [1, -2]),
    ("unet", "channel_mult", []),
    ("unet", "model_channels", "x"),
    ("unet", "model_channels", HUGE),
    ("unet", "model_channels", 16.5),
    ("unet", "heads", 0),
    ("unet", "heads", 3),
    ("unet", "num_res_blocks", HUGE),
    ("unet", "transformer_depth", [1]),
    ("unet", "context_width", -1),
    ("first_stage", "groups", 0),
    ("first_stage", "channel_mult", "abc"),
    ("first_stage", "attention", [True]),
    ("first_stage", "latent_channels", None),
    ("text", "width", 7),
    ("text", "width", HUGE),
    ("text", "width", None),
    ("text", "layers", True),
    ("text", "activation", "odd"),
    ("latent", "scale", 0.0),
    ("latent", "scale", float("nan")),
    ("latent", "scale", [1.0]),
    ("latent", "shift", "x"),
    ("sampling", "prediction", "nonsense"),
    ("sampling", "shift", float("nan")),
    ("sampling", "shift", 0),
    ("sampling", "sigma_max", 0.001),
    ("sampling", "linear_end", 7.0),
)


@pytest.mark.parametrize(("part", "entry", "value"), BAD)
def test_an_impossible_entry_is_named(part: str, entry: str, value: Any) -> None:
    with pytest.raises(UnusableFile, match=f"'x' describes a model that cannot be built: {part}") as caught:
        described(header(FAMILY, part, **{entry: value}), "x")
    assert entry.removeprefix("model_").removesuffix("s") in caught.value.message
    assert FAMILY_KEY in caught.value.remedy


def test_an_unknown_kind_of_text_is_named() -> None:
    data = family_to_json(FAMILY) | {"text": "odd"}
    with pytest.raises(UnusableFile, match="text is 'odd'; known are bert"):
        described({FAMILY_KEY: json.dumps(data)}, "x")
