from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.fixture
def clip(bench: Any) -> Any:
    return bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[1]


@pytest.fixture
def red(bench: Any, clip: Any) -> Any:
    return bench("CLIPTextEncode", clip=clip, text="red")


def test_a_prompt_becomes_features_and_a_pooled_one(red: Any) -> None:
    ((features, said),) = red
    assert features.shape == (1, 16, 16)
    assert said["pooled_output"].shape == (1, 16)


def test_long_prompts_and_weights_are_understood(bench: Any, clip: Any, red: Any) -> None:
    assert bench("CLIPTextEncode", clip=clip, text="red circle " * 20)[0][0].shape[1] > 16
    assert not torch.equal(bench("CLIPTextEncode", clip=clip, text="(red:1.5)")[0][0], red[0][0])


@pytest.mark.parametrize("text", ["", "((((", "é ✓ 漢字", "a\0b", "(" * 5000])
def test_no_text_is_too_odd(bench: Any, clip: Any, text: str) -> None:
    assert torch.isfinite(bench("CLIPTextEncode", clip=clip, text=text)[0][0]).all()


def test_an_earlier_layer_says_something_else(bench: Any, clip: Any, red: Any) -> None:
    earlier = bench("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-2)
    assert not torch.equal(bench("CLIPTextEncode", clip=earlier, text="red")[0][0], red[0][0])
    assert clip.layer == -1, "the encoder that was given stays as it was"


def test_prompts_are_combined_concatenated_and_averaged(bench: Any, clip: Any, red: Any) -> None:
    blue = bench("CLIPTextEncode", clip=clip, text="blue")
    assert bench("ConditioningCombine", conditioning_1=red, conditioning_2=blue) == [*red, *blue]
    joined = bench("ConditioningConcat", conditioning_to=red, conditioning_from=blue)
    assert torch.equal(joined[0][0], torch.cat([red[0][0], blue[0][0]], dim=1))
    mixed = bench("ConditioningAverage", conditioning_to=red, conditioning_from=blue, conditioning_to_strength=0.25)
    assert torch.allclose(mixed[0][0], 0.25 * red[0][0] + 0.75 * blue[0][0])
    assert torch.allclose(
        mixed[0][1]["pooled_output"], 0.25 * red[0][1]["pooled_output"] + 0.75 * blue[0][1]["pooled_output"]
    )


def test_a_prompt_can_say_nothing(bench: Any, red: Any) -> None:
    silent = bench("ConditioningZeroOut", conditioning=red)
    assert not silent[0][0].any()
    assert not silent[0][1]["pooled_output"].any()
    assert red[0][0].any(), "what was given stays as it was"


@pytest.mark.parametrize(
    ("node_id", "inputs", "said"),
    [
        (
            "ConditioningSetArea",
            {"width": 64, "height": 128, "x": 8, "y": 16, "strength": 0.5},
            {"area": (16, 8, 2, 1), "strength": 0.5},
        ),
        (
            "ConditioningSetAreaPercentage",
            {"width": 0.5, "height": 0.25, "x": 0.1, "y": 0.2},
            {"area": ("percentage", 0.25, 0.5, 0.2, 0.1), "strength": 1.0},
        ),
        ("ConditioningSetAreaStrength", {"strength": 2.0}, {"strength": 2.0}),
        ("ConditioningSetTimestepRange", {"start": 0.2, "end": 0.7}, {"start_percent": 0.2, "end_percent": 0.7}),
    ],
)
def test_options_are_added(bench: Any, red: Any, node_id: str, inputs: dict[str, Any], said: dict[str, Any]) -> None:
    ((features, options),) = bench(node_id, conditioning=red, **inputs)
    assert torch.equal(features, red[0][0])
    assert {key: options[key] for key in said} == said
    assert "pooled_output" in options
    assert not set(said) & set(red[0][1])


def test_a_mask_says_where(bench: Any, red: Any) -> None:
    mask = torch.ones(8, 8)
    options = bench("ConditioningSetMask", conditioning=red, mask=mask, strength=0.7)[0][1]
    assert options["mask"].shape == (1, 8, 8)
    assert options["mask_strength"] == 0.7
    assert options["set_area_to_bounds"] is False


def test_areas_masks_and_times_reach_the_sampler(bench: Any, red: Any) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    blue = bench("CLIPTextEncode", clip=clip, text="a blue square (far:1.9) away")
    rest = {
        "model": model,
        "negative": red,
        "latent_image": bench("EmptyLatentImage", width=128, height=128),
        "steps": 2,
        "cfg": 4.0,
    }
    plain = bench("KSampler", positive=red, **rest)["samples"]
    half = torch.zeros(1, 16, 16)
    half[:, :, 8:] = 1
    for there in (
        bench("ConditioningSetArea", conditioning=blue, width=64, height=64, x=64, y=0),
        bench("ConditioningSetMask", conditioning=blue, mask=half),
        bench("ConditioningSetTimestepRange", conditioning=blue, start=0.5, end=1.0),
    ):
        both = bench("ConditioningCombine", conditioning_1=red, conditioning_2=there)
        assert not torch.allclose(bench("KSampler", positive=both, **rest)["samples"], plain)
