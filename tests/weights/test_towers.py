"""Text towers in every layout that checkpoints have them in give the same encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from app.diffusion.conditioning.encoders import CLIP_G, CLIP_L
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.open_clip_text import to_open_clip
from app.errors import UnusableFile
from app.weights import towers
from app.weights.stored import Stored, held
from app.weights.towers import TOWERS, clip_tower, text_encoder_in
from tests.weights.paper import listed, paper

SMALL_L = replace(CLIP_L, vocabulary=60, width=32, layers=2, heads=2, length=10)
SMALL_G = replace(CLIP_G, vocabulary=60, width=32, layers=2, heads=2, length=10, projection=32)
PREFIXES = [(tower, prefix) for tower, (_, prefixes) in TOWERS.items() for prefix in prefixes]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Towers of the published layouts and a handy size."""
    shapes: dict[str, ClipTextConfig] = {"l": SMALL_L, "g": SMALL_G, "h": SMALL_G}
    monkeypatch.setattr(towers, "TOWERS", {name: (shapes[name], TOWERS[name][1]) for name in TOWERS})


def pooled(tower: ClipText) -> Tensor:
    """What a tower says of some tokens."""
    tokens = torch.arange(10)[None] * 5
    return tower(tokens, torch.tensor([7])).pooled


@pytest.mark.usefixtures("small")
def test_open_clip_s_and_transformers_layouts_are_one() -> None:
    state = ClipText(SMALL_G).state_dict()
    plain = clip_tower("g", held(state), "x", torch.float32)
    packed = clip_tower("g", held(to_open_clip(state)), "x", torch.float32)
    torch.testing.assert_close(pooled(plain), pooled(packed))


@pytest.mark.usefixtures("small")
def test_the_oldest_files_lack_a_word_in_their_names() -> None:
    state = ClipText(SMALL_L).state_dict()
    old = {key.removeprefix("text_model."): value for key, value in state.items()}
    old["embeddings.position_ids"] = torch.arange(10)[None]
    assert torch.equal(
        pooled(clip_tower("l", held(old), "x", torch.float32)), pooled(clip_tower("l", held(state), "x", torch.float32))
    )


@pytest.mark.usefixtures("small")
def test_a_tower_without_its_projection_is_used_as_it_is() -> None:
    state = ClipText(SMALL_G).state_dict()
    del state["text_projection.weight"]
    assert clip_tower("g", held(state), "x", torch.float32).config.projection is None


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("tower", "prefix"), PREFIXES)
def test_towers_lie_below_every_prefix(tower: str, prefix: str) -> None:
    kind = {"l": "sd1", "h": "sd2", "g": "refiner"}[tower]
    state = ClipText({"l": SMALL_L}.get(tower, SMALL_G)).state_dict()
    rest = {prefix + key: stored for key, stored in held(state).items()}
    encoder = text_encoder_in(kind, rest, "x", torch.float32)
    assert encoder is not None
    assert set(encoder.towers) == {tower}


def test_one_of_two_towers_is_not_enough() -> None:
    only = listed("clip_l_text_hf", "conditioner.embedders.0.transformer.")
    assert text_encoder_in("sdxl", only, "x", torch.float16) is None
    assert text_encoder_in("none", only, "x", torch.float16) is None
    assert text_encoder_in("sd1", {}, "x", torch.float16) is None


def test_an_incomplete_tower_is_named() -> None:
    tensors: dict[str, Stored] = listed("clip_l_text_hf", "cond_stage_model.transformer.")
    del tensors["cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.bias"]
    with pytest.raises(UnusableFile, match=r"layers\.3\.mlp\.fc1\.bias"):
        text_encoder_in("sd1", tensors, "x", torch.float16)


def test_values_that_are_no_numbers_are_named() -> None:
    tensors = listed("clip_l_text_hf", "cond_stage_model.transformer.")
    name = "text_model.final_layer_norm.bias"
    tensors[f"cond_stage_model.transformer.{name}"] = paper((768,), float("inf"))
    with pytest.raises(UnusableFile, match="not numbers"):
        text_encoder_in("sd1", tensors, "x", torch.float16)
