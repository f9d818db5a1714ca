from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from app.diffusion.conditioning.entries import conditioning_of
from app.diffusion.conditioning.hooked import HookedEncoder, said_by
from app.diffusion.guidance.conditions import conditions_of
from app.diffusion.guidance.keyframes import Keyframe
from app.diffusion.guidance.weight_hooks import WeightHook, WeightHooks
from app.diffusion.parameterization.model_sampling import flow
from tests.weights.adapters.models import lora, saved, small_clip

LAYER = "lora_te_text_model_encoder_layers_0_mlp_fc1"


def hooks_of(folder: Path, strength: float = 1.0, *frames: Keyframe) -> WeightHooks:
    torch.manual_seed(5)
    return WeightHooks((WeightHook(saved(folder, lora(LAYER, (64, 16))), 1.0, strength, frames),))


def asked(encoder: Any) -> Any:
    return encoder.encode("a red house")


def test_what_is_said_is_what_the_changed_encoder_says(tmp_path: Path) -> None:
    clip, hooks = small_clip("l"), hooks_of(tmp_path, 0.5)
    changed = hooks.hooks[0].change.changed_clip(clip, 0.5)
    ((features, options),) = said_by(HookedEncoder(clip, hooks), asked)
    assert torch.equal(features, asked(changed).context)
    assert not torch.allclose(features, asked(clip).context, atol=1e-4)
    assert options["hooks"] is hooks
    assert "hooks" not in said_by(HookedEncoder(clip, hooks, told=False), asked)[0][1]


def test_without_hooks_nothing_is_different() -> None:
    clip = small_clip("l")
    assert torch.equal(said_by(clip, asked)[0][0], conditioning_of(asked(clip))[0][0])


def test_a_schedule_gives_an_entry_for_each_part_of_the_way(tmp_path: Path) -> None:
    clip, hooks = small_clip("l"), hooks_of(tmp_path, 0.5, Keyframe(0.0, 0.0), Keyframe(2.0, 0.5))
    said = said_by(HookedEncoder(clip, hooks, scheduled=True), asked)
    assert [(entry[1]["clip_start_percent"], entry[1]["clip_end_percent"]) for entry in said] == [(0.0, 0.5), (0.5, 1)]
    assert torch.equal(said[0][0], asked(clip).context)
    assert torch.equal(said[1][0], asked(hooks.hooks[0].change.changed_clip(clip, 1.0)).context)
    conditions = conditions_of(said, flow(), torch.zeros(1, 4, 8, 8), lambda features, options: {})
    assert [[each.active(level) for each in conditions] for level in (0.9, 0.5, 0.1)] == [
        [True, False],
        [True, True],
        [False, True],
    ]


def test_parts_of_the_way_are_what_both_kinds_allow(tmp_path: Path) -> None:
    features = torch.zeros(1, 2, 3)
    options = {"clip_start_percent": 0.25, "clip_end_percent": 1.0, "start_percent": 0.0, "end_percent": 0.5}
    (found,) = conditions_of([[features, options]], flow(), torch.zeros(1, 4, 8, 8), lambda features, options: {})
    assert (found.sigma_start, found.sigma_end) == (0.75, 0.5)


def test_everything_that_an_encoder_does_reaches_the_inner_one(tmp_path: Path) -> None:
    clip, hooks = small_clip("l", "g"), hooks_of(tmp_path)
    encoder = HookedEncoder(clip, hooks)
    changed = hooks.applied_to_clip(clip)
    assert encoder.model is clip.model
    assert encoder.towers.keys() == clip.towers.keys()
    assert encoder.chunks_of("a") == clip.chunks_of("a")
    assert torch.equal(encoder.encode("a").context, changed.encode("a").context)
    prompts = {"l": "a", "g": "b"}
    assert torch.equal(encoder.encode_each(prompts).context, changed.encode_each(prompts).context)
    chunks = clip.chunks_of("a")
    assert torch.equal(encoder.encode_chunks(chunks).context, changed.encode_chunks(chunks).context)
    earlier = encoder.with_layer(-2).with_lengths(3, 0).with_embeddings(lambda name: None).with_towers({})
    assert torch.equal(earlier.encode("a").context, hooks.applied_to_clip(clip.with_layer(-2)).encode("a").context)
