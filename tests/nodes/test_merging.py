from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from app.diffusion.adapters.merge import merged
from app.settings import Settings
from tests.weights.adapters.models import small_clip


def other(bench: Any) -> tuple[Any, Any, Any]:
    """The tiny model, and one with every weight a tenth larger."""
    model, clip, vae = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    second = replace(model, network=merged(model.network, model.network, lambda _: (0.5, 0.6)))
    towers = {name: merged(tower, tower, lambda _: (0.5, 0.6)) for name, tower in clip.towers.items()}
    return (model, clip, vae), second, clip.with_towers(towers)


def states(*models: Any) -> list[dict[str, Tensor]]:
    return [(model.network if hasattr(model, "network") else model.model).state_dict() for model in models]


@pytest.mark.parametrize(
    ("node", "inputs", "first", "second"),
    [
        ("ModelMergeSimple", {"ratio": 0.3}, 0.3, 0.7),
        ("ModelMergeSimple", {"ratio": 0.0}, 0.0, 1.0),
        ("ModelMergeAdd", {}, 1.0, 1.0),
        ("ModelMergeSubtract", {"multiplier": 0.5}, 0.5, -0.5),
        ("CLIPMergeSimple", {"ratio": 0.3}, 0.3, 0.7),
        ("CLIPMergeAdd", {}, 1.0, 1.0),
        ("CLIPMergeSubtract", {"multiplier": 2.0}, 2.0, -2.0),
    ],
)
def test_every_weight_is_the_sum(bench: Any, node: str, inputs: dict[str, Any], first: float, second: float) -> None:
    (model, clip, _), model2, clip2 = other(bench)
    pair = (model, model2) if node.startswith("Model") else (clip, clip2)
    names = ("model1", "model2") if node.startswith("Model") else ("clip1", "clip2")
    made = bench(node, **dict(zip(names, pair, strict=True)), **inputs)
    ours, one, two = states(made, *pair)
    for name, value in ours.items():
        torch.testing.assert_close(value, first * one[name] + second * two[name])


def test_the_first_alone_is_left_as_it_is(bench: Any) -> None:
    (model, clip, _), model2, clip2 = other(bench)
    assert bench("ModelMergeSimple", model1=model, model2=model2, ratio=1.0).network is model.network
    assert bench("CLIPMergeSimple", clip1=clip, clip2=clip2, ratio=1.0).model is clip.model


def test_blocks_have_ratios_of_their_own(bench: Any) -> None:
    (model, _, _), model2, _ = other(bench)
    made = bench("ModelMergeBlocks", model1=model, model2=model2, input=0.1, middle=0.5, out=0.9)
    ours, one, two = states(made, model, model2)
    shares = {"input_blocks": 0.1, "time_embed": 0.1, "middle_block": 0.5, "output_blocks": 0.9, "out": 0.9}
    for name, value in ours.items():
        share = shares[name.split(".")[0]]
        torch.testing.assert_close(value, share * one[name] + (1 - share) * two[name])


def test_a_merged_checkpoint_is_saved_and_read_back(bench: Any, installation: Settings) -> None:
    (model, clip, vae), model2, clip2 = other(bench)
    mixed = bench("ModelMergeSimple", model1=model, model2=model2, ratio=0.5)
    text = bench("CLIPMergeSimple", clip1=clip, clip2=clip2, ratio=0.5)
    returned = bench.returned("CheckpointSave", model=mixed, clip=text, vae=vae, filename_prefix="checkpoints/mixed")
    bench.workshop.outputs.publish_ui(returned.ui, "job", "1")
    assert list((installation.directories.output / "checkpoints").glob("mixed*"))
    read, read_text, _ = bench("CheckpointLoaderSimple", ckpt_name="mixed_00001_.safetensors")
    assert read.source == model.source
    for ours, expected in zip(states(read, read_text), states(mixed, text), strict=True):
        assert all(torch.equal(ours[name], value) for name, value in expected.items())


def test_a_text_encoder_is_saved_tower_by_tower(bench: Any, installation: Settings) -> None:
    """SDXL's towers, small; each file holds what its tower has after its edits."""
    clip: Any = small_clip("l", "g")
    doubled = bench("CLIPMergeAdd", clip1=clip, clip2=clip)
    returned = bench.returned("CLIPSave", clip=doubled, filename_prefix="clip/mine")
    published = bench.workshop.outputs.publish_ui(returned.ui, "job", "1")["models"]
    assert [entry["filename"] for entry in published] == [
        "mine_clip_l_00001_.safetensors",
        "mine_clip_g_00001_.safetensors",
    ]
    for name, entry in zip("lg", published, strict=True):
        state = load_file(installation.directories.output / "clip" / entry["filename"])
        plain = clip.towers[name].state_dict()
        assert set(state) == set(plain)
        assert all(torch.equal(state[key], 2 * value) for key, value in plain.items())
