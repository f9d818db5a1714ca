"""Vision towers and ControlNets as packs hold, call and extend them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.conditioning.entries import conditioning_of
from app.diffusion.models.clip_vision import ClipVision, ClipVisionConfig, VisionFeatures, seen
from app.errors import InvalidRequest, UnknownFamily
from app.extend.facade.bridge import FacadeHost
from app.weights.checkpoint import Checkpoint

SMALL = ClipVisionConfig(32, 3, 16, 48, 4, 12, "gelu", 8)


@pytest.fixture(scope="module")
def tower() -> ClipVision:
    torch.manual_seed(8)
    return ClipVision(SMALL).eval()


@pytest.fixture
def vision(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.clip_vision")


def test_a_tower_looks_as_our_own_node_does(host: FacadeHost, tower: ClipVision) -> None:
    packed: Any = host.to_pack(tower)
    image = torch.rand(2, 20, 30, 3)
    for crop in (True, False):
        said, ours = packed.encode_image(image, crop), tower.see(seen(image, 12, crop=crop))
        for name in ("last_hidden_state", "penultimate_hidden_states", "image_embeds"):
            assert torch.allclose(said[name], getattr(ours, name), atol=1e-5)
    assert host.from_pack(packed) is tower
    assert packed.image_size == 12
    assert set(packed.get_sd()) == set(tower.state_dict())
    assert packed.patcher.diffusion_network is tower


def test_what_was_seen_goes_there_and_back(host: FacadeHost, vision: Any) -> None:
    parts = tuple(torch.rand(1, 2, 3) for _ in range(3))
    packed: Any = host.to_pack(VisionFeatures(*parts))
    assert packed["image_embeds"] is packed.image_embeds is parts[2]
    packed["acme"] = 1
    assert packed.acme == 1
    back: Any = host.from_pack(packed)
    assert (back.last_hidden_state, back.penultimate_hidden_states, back.image_embeds) == parts
    assert vision.Output()["mm_projected"] is None


@pytest.mark.parametrize(("asked", "layer"), [(-2, 1), (-1, 2), (0, 0), (None, None), ("all", "all")])
@torch.no_grad()
def test_layers_between(host: FacadeHost, tower: ClipVision, asked: Any, layer: Any) -> None:
    packed: Any = host.to_pack(tower)
    pixels = torch.randn(1, 3, 12, 12)
    last, between, embeds, rest = packed.model(pixel_values=pixels, intermediate_output=asked)
    whole = packed.model(pixels, intermediate_output="all")[1]
    assert torch.equal(last, whole[:, -1])
    assert (embeds.shape, rest) == ((1, 8), None)
    if layer is None:
        assert between is None
    else:
        assert torch.equal(between, whole if layer == "all" else whole[:, layer])


def test_all_layers_if_a_pack_wants_them(host: FacadeHost, tower: ClipVision) -> None:
    packed: Any = host.to_pack(tower)
    packed.return_all_hidden_states = True
    said = packed.encode_image(torch.rand(1, 12, 12, 3))
    assert said.all_hidden_states.shape[1] == SMALL.layers
    assert torch.equal(said.penultimate_hidden_states, said.all_hidden_states[:, -2])


def test_towers_from_files_and_tensors(host: FacadeHost, vision: Any, tower: ClipVision, tmp_path: Path) -> None:
    utils = importlib.import_module("comfy.utils")
    path = str(tmp_path / "vision.safetensors")
    utils.save_torch_file(tower.state_dict(), path)
    prefixed = {f"acme.{name}": value for name, value in tower.state_dict().items()}
    image = torch.rand(1, 12, 12, 3)
    expected = host.to_pack(tower).encode_image(image).image_embeds
    for read in (vision.load(path), vision.load_clipvision_from_sd(prefixed, "acme.")):
        assert torch.allclose(read.encode_image(image).image_embeds, expected, atol=1e-6)
    assert read.load_sd({"visual_projection.weight": torch.zeros(8, 32), "odd": torch.ones(1)}).unexpected_keys == [
        "odd"
    ]
    assert not read.encode_image(image).image_embeds.any()
    with pytest.raises(UnknownFamily):
        vision.load_clipvision_from_sd({"encoder.weight": torch.ones(1)})


def test_pictures_of_another_mean(vision: Any) -> None:
    image = torch.rand(1, 12, 12, 3)
    plain = vision.clip_preprocess(image, 12, mean=[0, 0, 0], std=[1, 1, 1])
    assert torch.allclose(plain, (image.movedim(-1, 1) * 255).round() / 255, atol=1e-5)
    assert torch.equal(vision.clip_preprocess(image, 12), seen(image, 12))


def test_a_checkpoint_without_a_tower(host: FacadeHost, tiny_file: Path) -> None:
    sd = importlib.import_module("comfy.sd")
    assert sd.load_checkpoint_guess_config(str(tiny_file), output_vae=False, output_clipvision=True)[3] is None


# ---------------------------------------------------------------- ControlNets


@pytest.fixture
def nets(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.controlnet")


def part(value: float) -> Tensor:
    return torch.full((1, 1, 2, 2), value)


@pytest.mark.parametrize(
    ("settings", "control", "before", "expected"),
    [
        ({}, {"output": [1.0, 2.0]}, None, [1, 2]),
        ({"strength": 0.5}, {"output": [1.0, None]}, None, [0.5, None]),
        ({}, {"output": [1.0]}, {"output": [10.0, 20.0]}, [11, 20]),
        ({}, {"output": [None, 1.0]}, {"output": [3.0, None]}, [3, 1]),
        ({}, {}, {"output": [4.0]}, [4]),
        ({"strength": 0.5, "linear": True}, {"output": [1.0, 1.0, 1.0]}, None, [0.125, 0.25, 0.5]),
    ],
)
def test_residuals_are_weighted_and_added(
    nets: Any, settings: dict[str, Any], control: Any, before: Any, expected: list[float | None]
) -> None:
    def made(said: Any) -> Any:
        return said and {name: [None if v is None else part(v) for v in values] for name, values in said.items()}

    base = nets.ControlBase()
    base.strength = settings.get("strength", 1.0)
    base.strength_type = nets.StrengthType.LINEAR_UP if settings.get("linear") else nets.StrengthType.CONSTANT
    merged = base.control_merge(made(control), made(before))
    assert [None if x is None else x.mean().item() for x in merged["output"]] == expected
    assert merged["input"] == merged["middle"] == []


def test_a_mean_over_the_picture(nets: Any) -> None:
    base = nets.ControlBase()
    base.global_average_pooling = True
    merged = base.control_merge({"middle": [torch.arange(4.0).view(1, 1, 2, 2)]}, None, torch.float16)
    assert merged["middle"][0].flatten().tolist() == [1.5] * 4
    assert merged["middle"][0].dtype == torch.float16


def test_copies_and_chains(nets: Any) -> None:
    class Steady(nets.ControlBase):
        def get_control(self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, options: Any) -> Any:
            before = super().get_control(x_noisy, t, cond, batched_number, options)
            return self.control_merge({"middle": [part(1.0)]}, before)

        def get_models(self) -> list[Any]:
            return [self, *super().get_models()]

    first = Steady().set_cond_hint(torch.zeros(1, 3, 8, 8), 2.0, (0.25, 0.75))
    second = first.copy().set_previous_controlnet(first)
    assert (second.strength, second.timestep_percent_range) == (2.0, (0.25, 0.75))
    assert second.cond_hint_original is first.cond_hint_original
    second.pre_run(None, lambda percent: 10 - 10 * percent)
    assert first.timestep_range == second.timestep_range == (7.5, 2.5)
    assert [second.active(torch.tensor([t])) for t in (9.0, 7.5, 5.0, 2.0)] == [False, True, True, False]
    assert second.get_control(part(0), torch.ones(1), {}, 1, {})["middle"][0].mean() == 4.0
    assert second.get_models() == [second, first]
    assert second.get_extra_hooks() == [] and second.inference_memory_requirements(torch.float16) == 0
    second.cleanup()
    assert first.timestep_range is None and first.active(torch.tensor([99.0]))


@pytest.mark.parametrize(
    ("count", "target", "parts", "expected"), [(1, 4, 2, [0]), (2, 4, 2, [0, 1, 0, 1]), (3, 2, 1, [0, 1])]
)
def test_hints_for_a_batch(nets: Any, count: int, target: int, parts: int, expected: list[int]) -> None:
    hints = torch.arange(float(count))[:, None, None, None]
    assert nets.broadcast_image_to(hints, target, parts).flatten().tolist() == expected


def test_the_picture_is_brought_to_the_latents_size(nets: Any) -> None:
    base = nets.ControlBase()
    with pytest.raises(InvalidRequest, match="no picture to follow"):
        base.hint_for(torch.zeros(1, 4, 2, 3), 1)
    base.set_cond_hint(torch.rand(1, 3, 40, 40))
    assert base.hint_for(torch.zeros(1, 4, 2, 3), 1).shape == (1, 3, 16, 24)
    assert base.hint_for(torch.zeros(1, 4, 4, 4), 1).shape == (1, 3, 32, 32)


def test_a_network_that_a_pack_brings(nets: Any) -> None:
    heard: dict[str, Any] = {}

    def network(**said: Any) -> Any:
        heard.update(said)
        return {"output": [said["x"] * 0 + 1.0]}

    control = nets.ControlNet(network, extra_conds=["extra"]).set_cond_hint(torch.rand(1, 3, 16, 16), 0.5)
    sampling = SimpleNamespace(calculate_input=lambda t, x: x / 2, timestep=lambda t: t * 100)
    control.pre_run(SimpleNamespace(model_sampling=sampling), lambda percent: 1 - percent)
    cond = {"c_crossattn": "text", "y": None, "extra": 3}
    merged = control.get_control(torch.ones(1, 4, 2, 2), torch.tensor([0.5]), cond, 1, {})
    assert merged["output"][0].mean() == 0.5
    assert (heard["context"], heard["extra"], heard["timesteps"].tolist()) == ("text", 3, [50.0])
    assert "y" not in heard and heard["x"].mean() == 0.5 and heard["hint"].shape == (1, 3, 16, 16)
    assert control.get_control(torch.ones(1, 4, 2, 2), torch.tensor([7.0]), cond, 1, {}) is None


@pytest.mark.parametrize(("channels", "seen_channels"), [(3, 3), (1, 1)])
def test_an_adapter_sees_the_picture_alone(nets: Any, channels: int, seen_channels: int) -> None:
    heard: list[int] = []

    def network(hint: Tensor) -> list[Tensor | None]:
        heard.append(hint.shape[1])
        return [part(1.0), None, part(2.0)]

    adapter = nets.T2IAdapter(network, channels).set_cond_hint(torch.rand(1, 3, 16, 16))
    merged = adapter.get_control(torch.ones(1, 4, 2, 2), torch.tensor([0.5]), {}, 1, {})
    assert [None if x is None else x.mean().item() for x in merged["input"]] == [2.0, None, 1.0]
    assert heard == [seen_channels]


@pytest.mark.parametrize("place", ["input", "middle", "output"])
@pytest.mark.parametrize("patched", [False, True])
@torch.inference_mode()
def test_residuals_of_a_packs_own_reach_the_network(
    nets: Any, host: FacadeHost, tiny: Checkpoint, place: str, patched: bool
) -> None:
    nodes, sample = importlib.import_module("nodes"), importlib.import_module("comfy.sample")
    helpers = importlib.import_module("node_helpers")
    calls: list[tuple[int, int]] = []
    shapes: list[Any] = []

    class Push(nets.ControlBase):
        def get_control(self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, options: Any) -> Any:
            calls.append((len(x_noisy), batched_number))
            return self.control_merge({place: [torch.full(shape, 3.0) for shape in shapes]}, None)

    model = host.to_pack(tiny.model)

    def watch(h: Tensor, skip: Tensor, options: Any) -> tuple[Tensor, Tensor]:
        shapes.append(skip.shape[1:])
        return h, skip

    prompt = conditioning_of(tiny.clip.encode("red"))
    empty = torch.zeros(1, 4, 8, 8)

    def drawn(conditioning: Any) -> Tensor:
        noise = sample.prepare_noise(empty, 3)
        return sample.sample(model, noise, 2, 2.0, "euler", "simple", conditioning, conditioning, empty, seed=3)

    plain = drawn(prompt)
    if place == "output":
        watching = model.clone()
        watching.set_model_output_block_patch(watch)
        noise = sample.prepare_noise(empty, 3)
        sample.sample(watching, noise, 1, 1.0, "euler", "simple", prompt, prompt, empty, seed=3)
        shapes = [(1, *shape) for shape in shapes[:1]]
    else:
        shapes = [(1, 1, 1, 1)]
    if patched:
        model.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    control = Push()
    steered = helpers.conditioning_set_values(prompt, {"control": control})
    if place == "output":
        assert not torch.allclose(drawn(steered), plain, atol=1e-4)
        assert calls[0] == (2, 2)
        assert control.timestep_range is None, "cleaned up after the run"
    else:
        with pytest.raises(InvalidRequest, match=f"block {place}"):
            drawn(steered)
    assert nodes.MAX_RESOLUTION


@torch.inference_mode()
def test_a_guider_of_a_pack_brings_its_control_into_our_sampler(nets: Any, host: FacadeHost, tiny: Checkpoint) -> None:
    samplers, helpers = importlib.import_module("comfy.samplers"), importlib.import_module("node_helpers")
    model, prompt = host.to_pack(tiny.model), conditioning_of(tiny.clip.encode("red"))
    ranges: list[Any] = []

    class Noted(nets.ControlBase):
        def get_control(self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, options: Any) -> Any:
            ranges.append(self.timestep_range)

    follows = samplers.CFGGuider(model)
    follows.set_conds(helpers.conditioning_set_values(prompt, {"control": Noted()}), prompt)
    follows.set_cfg(2.0)
    native: Any = host.from_pack(follows)
    x = torch.randn(1, 4, 8, 8)
    assert native.denoiser(x, False)(x, torch.tensor(0.5)).shape == x.shape
    sampling = model.get_model_object("model_sampling")
    assert ranges == [(sampling.percent_to_sigma(0.0), sampling.percent_to_sigma(1.0))]
