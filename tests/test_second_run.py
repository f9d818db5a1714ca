"""What is known is not computed again: calls of networks and encoders are counted, on the shipped checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from app.engine.events import Event, NodeFinished, RunSucceeded
from app.graph.prompt import parse_prompt
from app.settings import Settings
from app.wiring import Workshop

ROOT = Path(__file__).parent.parent
SHIPPED = "loom-scenes-64.safetensors"
STEPS = 2


class Counter:
    """How often the parts of the checkpoint were called since `taken` was asked last."""

    def __init__(self, **parts: nn.Module) -> None:
        self._calls = dict.fromkeys(parts, 0)
        self._hooks = [part.register_forward_pre_hook(self._counting(name)) for name, part in parts.items()]

    def _counting(self, name: str) -> Any:
        def count(*_: Any) -> None:
            self._calls[name] += 1

        return count

    def taken(self) -> dict[str, int]:
        taken = {name: calls for name, calls in self._calls.items() if calls}
        self._calls = dict.fromkeys(self._calls, 0)
        return taken

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


@pytest.fixture
def workshop(installation: Settings) -> Workshop:
    shutil.copy(ROOT / "models" / "checkpoints" / SHIPPED, installation.directories.base / "models" / "checkpoints")
    return Workshop.build(installation)


@pytest.fixture
def counter(workshop: Workshop) -> Iterator[Counter]:
    loaded = workshop.models.checkpoint(SHIPPED)
    (tower,) = loaded.clip.towers.values()
    decoder = loaded.vae.model.get_submodule("decoder")
    counter = Counter(network=loaded.model.network, text=tower, decoder=decoder)
    yield counter
    counter.remove()


def prompt(**changes: dict[str, Any]) -> dict[str, Any]:
    """The default graph on the shipped checkpoint, small; `changes` of inputs by "n" and the node's number."""
    graph = json.loads((ROOT / "web" / "templates" / "default.api.json").read_text())
    graph["4"]["inputs"]["ckpt_name"] = SHIPPED
    graph["3"]["inputs"] |= {"steps": STEPS, "sampler_name": "euler", "scheduler": "simple", "cfg": 4.0, "denoise": 1.0}
    graph["5"]["inputs"] |= {"width": 64, "height": 64}
    graph["6"]["inputs"]["text"], graph["7"]["inputs"]["text"] = "a red circle", "blurred"
    for number, inputs in changes.items():
        graph[number.removeprefix("n")]["inputs"] |= inputs
    return graph


def run(workshop: Workshop, graph: dict[str, Any]) -> list[str]:
    """The classes that ran."""
    heard: list[Event] = []
    workshop.evaluate(parse_prompt(graph), ["9"], {"preview_method": "none"}, heard.append, lambda: False)
    assert isinstance(heard[-1], RunSucceeded), heard[-1]
    return [event.class_type for event in heard if isinstance(event, NodeFinished) and not event.cached]


def test_an_unchanged_prompt_calls_nothing(workshop: Workshop, counter: Counter) -> None:
    run(workshop, prompt())
    # Both prompts share the network's calls.
    assert counter.taken() == {"network": STEPS, "text": 2, "decoder": 1}
    assert run(workshop, prompt()) == []
    assert counter.taken() == {}


@pytest.mark.parametrize(
    ("changes", "classes", "calls"),
    [
        ({"n9": {"filename_prefix": "other"}}, ["SaveImage"], {}),
        ({"n3": {"seed": 8}}, ["KSampler", "VAEDecode", "SaveImage"], {"network": STEPS, "decoder": 1}),
        (
            {"n7": {"text": "dark"}},
            ["CLIPTextEncode", "KSampler", "VAEDecode", "SaveImage"],
            {"network": STEPS, "text": 1, "decoder": 1},
        ),
    ],
)
def test_what_changed_calls_what_it_needs_alone(
    workshop: Workshop, counter: Counter, changes: dict[str, Any], classes: list[str], calls: dict[str, int]
) -> None:
    run(workshop, prompt())
    counter.taken()
    assert run(workshop, prompt(**changes)) == classes
    assert counter.taken() == calls
    assert run(workshop, prompt()) == [], "the results of before are still there"
    assert counter.taken() == {}


def test_a_model_is_read_once_whoever_asks_for_it(workshop: Workshop) -> None:
    loaded = workshop.models.checkpoint(SHIPPED)
    run(workshop, prompt())
    renamed = prompt()
    renamed["44"] = renamed.pop("4")
    for node in renamed.values():
        node["inputs"] = {
            name: ["44", value[1]] if isinstance(value, list) and value[0] == "4" else value
            for name, value in node["inputs"].items()
        }
    assert run(workshop, renamed) == [], "results belong to what a node is and is given, not to its number"
    assert workshop.models.checkpoint(SHIPPED) is loaded


def test_weights_under_a_lora_are_computed_once(workshop: Workshop, installation: Settings) -> None:
    folder = installation.directories.base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    save_file({"diffusion_model.out.2.diff_b": torch.full((8,), 0.1)}, folder / "shift.safetensors")
    graph = prompt()
    graph["20"] = {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "shift.safetensors"}}
    graph["20"]["inputs"] |= {"model": ["4", 0], "strength_model": 1.0}
    graph["3"]["inputs"]["model"] = ["20", 0]
    counted: list[str] = []

    def seen(module: nn.Module, *_: Any) -> None:
        counted.append(str(module.get_parameter("out.2.bias").data_ptr()))

    watched = nn.modules.module.register_module_forward_hook(
        lambda module, *_: seen(module) if type(module).__name__ == "UNet" else None
    )
    try:
        run(workshop, graph)
        graph["3"]["inputs"]["seed"] = 5
        assert run(workshop, graph) == ["KSampler", "VAEDecode", "SaveImage"]
    finally:
        watched.remove()
    plain = workshop.models.checkpoint(SHIPPED).model.network.get_parameter("out.2.bias")
    assert len(counted) == 2 * STEPS
    assert len(set(counted)) == 1, "the changed weights of the first run serve the second"
    assert str(plain.data_ptr()) not in counted
