"""From pictures to a LoRA that draws differently, by the nodes alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from app.engine.events import Preview, Progress
from app.errors import Cancelled, InvalidRequest

QUICK = {
    "steps": 6,
    "batch_size": 2,
    "learning_rate": 0.05,
    "training_dtype": "fp32",
    "lora_dtype": "fp32",
    "gradient_checkpointing": False,
    "seed": 5,
}


def parts(bench: Any) -> tuple[Any, Any, dict[str, Any]]:
    """(model, conditioning, latents)."""
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    colours = torch.linspace(-2, 2, 4).view(1, 4, 1, 1).expand(1, 4, 4, 4).clone()
    return model, bench("CLIPTextEncode", clip=clip, text="red"), {"samples": colours}


def train(bench: Any, **changed: Any) -> tuple[Any, ...]:
    model, said, latents = parts(bench)
    return bench("TrainLoraNode", **{"model": model, "latents": latents, "positive": said, **QUICK, **changed})


def drawn(bench: Any, model: Any, said: Any) -> torch.Tensor:
    latent = {"samples": torch.zeros(1, 4, 4, 4)}
    given = {"model": model, "positive": said, "negative": said, "latent_image": latent}
    return bench("KSampler", **given, steps=2, cfg=1.0, seed=5)["samples"]


def saved(bench: Any, node_id: str, **inputs: Any) -> dict[str, str]:
    ui = bench.workshop.outputs.publish_ui(bench.returned(node_id, **inputs).ui, "job", "1")
    (entry,) = next(iter(ui.values()))
    return entry


def test_what_was_trained_draws_differently_at_once_later_and_from_its_file(bench: Any) -> None:
    with torch.inference_mode():  # as in a run
        model, said, _ = parts(bench)
        trained, lora, losses, steps = train(bench)
        assert steps == 6
        assert len(losses["loss"]) == 6
        assert sum(losses["loss"][-2:]) < sum(losses["loss"][:2])
        plain, changed = drawn(bench, model, said), drawn(bench, trained, said)
        assert not torch.equal(plain, changed)
        assert torch.equal(drawn(bench, bench("LoraModelLoader", model=model, lora=lora), said), changed)
        assert bench("LoraModelLoader", model=model, lora=lora, strength_model=0.0) is model
        entry = saved(bench, "SaveLoRANode", lora=lora, steps=steps)
        assert entry["filename"] == "LatentLoom_trained_lora_6_steps_00001_.safetensors"
        assert entry["subfolder"] == "loras"
        loaded = bench("LoraLoaderModelOnly", model=model, lora_name=entry["filename"])
        assert torch.equal(drawn(bench, loaded, said), changed)


def test_training_goes_on_from_the_file_and_adds_the_steps_up(bench: Any) -> None:
    _, lora, losses, steps = train(bench)
    name = saved(bench, "SaveLoRANode", lora=lora, steps=steps, prefix="loras/mine")["filename"]
    _, further, more, total = train(bench, existing_lora=name, seed=6)
    assert total == 12
    assert further.keys() == lora.keys()
    assert sum(more["loss"]) < sum(losses["loss"])
    assert not any(torch.equal(further[name], tensor) for name, tensor in lora.items() if "lora_up" in name)


@pytest.mark.parametrize("algorithm", ["LoHa", "LoKr", "OFT"])
def test_every_algorithm_has_an_effect_in_the_precision_of_the_defaults(bench: Any, algorithm: str) -> None:
    given = {"steps": 2, "training_dtype": "bf16", "lora_dtype": "bf16", "gradient_checkpointing": True}
    model, said, _ = parts(bench)
    trained, lora, _, _ = train(bench, algorithm=algorithm, **given)
    assert {tensor.dtype for name, tensor in lora.items() if not name.endswith("alpha")} == {torch.bfloat16}
    assert not torch.equal(drawn(bench, model, said), drawn(bench, trained, said))


def test_it_tells_how_far_it_is_and_shows_the_curve(bench: Any) -> None:
    train(bench, steps=3)
    told = [(event.value, event.maximum) for event in bench.heard if isinstance(event, Progress)]
    assert told[-3:] == [(1, 3), (2, 3), (3, 3)]
    assert any(isinstance(event, Preview) for event in bench.heard)


def test_it_stops_when_it_is_asked_to(bench: Any) -> None:
    bench.stop_after = 2
    with pytest.raises(Cancelled):
        train(bench, steps=100_000)
    assert sum(isinstance(event, Progress) for event in bench.heard) <= 2


def test_the_curve_is_drawn_and_not_kept(bench: Any) -> None:
    entry = saved(bench, "LossGraphNode", loss={"loss": [3.0, 2.0, 1.5]}, prompt={"1": {}}, extra_pnginfo={"a": 1})
    assert entry["type"] == "temp"
    assert entry["filename"].startswith("loss_graph")
    picture = bench.workshop.folders.temp / entry["filename"]
    read = bench("LoadImage", image=f"{entry['filename']} [temp]")[0]
    assert read.shape[0] == 1
    assert json.dumps({"1": {}}).encode() in picture.read_bytes()
    with pytest.raises(InvalidRequest, match="nothing to plot"):
        bench("LossGraphNode", loss={})


def test_mistakes_are_told_before_anything_is_computed(bench: Any) -> None:
    model, said, _ = parts(bench)
    with pytest.raises(InvalidRequest, match="2 conditionings") as count:
        train(bench, positive=said * 2)
    assert count.value.input_name == "positive"
    with pytest.raises(InvalidRequest, match="channels"):
        train(bench, latents={"samples": torch.ones(1, 16, 4, 4)})
    with pytest.raises(InvalidRequest, match="holds nothing"):
        bench("SaveLoRANode", lora={})
    with pytest.raises(InvalidRequest, match="no LoRA"):
        bench("LoraModelLoader", model=model, lora={"weight": torch.zeros(1)})
    assert not [event for event in bench.heard if isinstance(event, Progress)]
