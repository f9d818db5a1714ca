"""OpenCLIP's layout: there and back, sharing memory where the bytes are the same."""

from __future__ import annotations

import torch

from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.open_clip_text import count_layers, from_open_clip, to_open_clip

CONFIG = ClipTextConfig(30, 16, 2, 2, 8, "gelu", projection=12)


def test_there_and_back_changes_nothing() -> None:
    state = ClipText(CONFIG).state_dict()
    returned = from_open_clip(to_open_clip(state))
    assert returned.keys() == state.keys()
    assert all(torch.equal(returned[name], value) for name, value in state.items())


def test_queries_keys_and_values_are_one_matrix_in_this_order() -> None:
    state = ClipText(CONFIG).state_dict()
    joined = to_open_clip(state)["transformer.resblocks.1.attn.in_proj_weight"]
    parts = [state[f"text_model.encoder.layers.1.self_attn.{name}_proj.weight"] for name in "qkv"]
    assert torch.equal(joined, torch.cat(parts))


def test_no_second_copy_is_made_of_what_is_read() -> None:
    theirs = to_open_clip(ClipText(CONFIG).state_dict())
    ours = from_open_clip(theirs)
    places = {value.untyped_storage().data_ptr() for value in theirs.values()}
    assert {value.untyped_storage().data_ptr() for value in ours.values()} <= places


def test_layers_are_counted() -> None:
    assert count_layers(to_open_clip(ClipText(CONFIG).state_dict())) == 2
    assert count_layers({"ln_final.weight": 0}) == 0


def test_names_that_are_not_known_stay() -> None:
    assert "stranger" in from_open_clip({"stranger": torch.ones(1), "logit_scale": torch.ones(())})
