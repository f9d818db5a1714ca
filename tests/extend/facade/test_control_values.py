"""What steers, both ways between our nodes and packs: links, conditioning, samplers."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.diffusion.conditioning.entries import conditioning_of
from app.diffusion.control import Control, ControlModel
from app.diffusion.drawing import Recipe, draw, empty_latent
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet import ControlNet, ControlNetConfig
from app.diffusion.models.controlnet_adapter import T2IAdapter, T2IAdapterConfig
from app.diffusion.models.controlnet_lora import ControlLora
from app.diffusion.models.unet import UNet, UNetConfig
from app.errors import InvalidRequest, UnknownFamily
from app.extend.facade.bridge import FacadeHost
from app.weights.checkpoint import Checkpoint

SMALL = UNetConfig(
    model_channels=32, channel_mult=(1, 2), num_res_blocks=2, transformer_depth=(1, 0), heads=8, context_width=16
)
SPAN = (0.0, 1.0)


def random(module: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.08, generator=generator)
    return module.eval().requires_grad_(False)


@pytest.fixture
def nets(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.controlnet")


@pytest.fixture
def model(tiny: Checkpoint) -> DiffusionModel:
    return replace(tiny.model, network=random(UNet(SMALL), 1))


@pytest.fixture
def prompt(tiny: Checkpoint) -> list[list[Any]]:
    return conditioning_of(tiny.clip.encode("red"))


def net(**more: Any) -> ControlModel:
    return ControlModel(random(ControlNet(ControlNetConfig(SMALL, **more)), 2), "canny")


def lora(model: DiffusionModel) -> ControlModel:
    own = random(ControlNet(ControlNetConfig(SMALL)), 2).state_dict()
    base = model.network.state_dict()
    return ControlModel(ControlLora({name: value for name, value in own.items() if name not in base}), "lora")


def picture(count: int = 1) -> Tensor:
    return torch.rand(count, 32, 32, 3, generator=torch.Generator().manual_seed(3))


def drawn(model: Any, positive: Any, negative: Any, cfg: float = 2.0) -> Tensor:
    drawing = draw(model, positive, negative, empty_latent(32, 32, 2), Recipe(seed=3, steps=2, cfg=cfg))
    for _ in drawing:
        pass
    return drawing.result["samples"]


def with_control(prompt: Any, control: Any) -> Any:
    return [[features, {**said, "control": control}] for features, said in prompt]


KINDS = ("net", "adapter", "lora", "union", "pooled")


def kind(name: str, model: DiffusionModel) -> ControlModel:
    if name == "adapter":
        return ControlModel(random(T2IAdapter(T2IAdapterConfig(3, (32, 64))), 3), "sketch")
    if name == "lora":
        return lora(model)
    if name == "pooled":
        return replace(net(), pooled=True)
    return net() if name == "net" else replace(net(tasks=8), task=3)


@pytest.mark.parametrize("name", KINDS)
def test_ours_on_a_packs_way_gives_the_same_picture(
    nets: Any, host: FacadeHost, model: DiffusionModel, prompt: Any, name: str
) -> None:
    ours = kind(name, model)
    packed: Any = host.to_pack(ours)
    assert isinstance(packed, {"adapter": nets.T2IAdapter, "lora": nets.ControlLora}.get(name, nets.ControlNet))
    assert host.from_pack(packed) is ours
    control = ours.following(picture(), 0.7, SPAN, None)
    negative = with_control(prompt, control) if name == "pooled" else prompt  # which it leaves alone
    expected = drawn(model, with_control(prompt, control), prompt)
    # As packs apply it: a copy, a picture, one before it.
    theirs = packed.copy().set_cond_hint(picture().movedim(-1, 1), 0.7, SPAN)
    theirs.set_previous_controlnet(None)
    steered: Any = host.from_pack(with_control(prompt, theirs))
    other: Any = host.from_pack(with_control(prompt, theirs)) if name == "pooled" else prompt
    assert torch.allclose(drawn(model, steered, other), expected, atol=1e-4)
    assert torch.allclose(drawn(model, with_control(prompt, control), negative), expected, atol=1e-4)
    assert not torch.allclose(expected, drawn(model, prompt, prompt), atol=1e-3)
    # And sampled by a pack.
    sample = importlib.import_module("comfy.sample")
    empty = torch.zeros(2, 4, 4, 4)
    noise = sample.prepare_noise(empty, 3)
    by_pack = sample.sample(
        *(host.to_pack(model), noise, 2, 2.0, "euler", "simple", with_control(prompt, theirs), prompt, empty), seed=3
    )
    assert torch.allclose(by_pack, expected, atol=1e-4)


def test_a_packs_own_object_steers_our_sampler(nets: Any, host: FacadeHost, model: DiffusionModel, prompt: Any) -> None:
    calls: list[tuple[int, int, list[int], float]] = []

    class Push(nets.ControlBase):
        def get_control(self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, options: Any) -> Any:
            calls.append((len(x_noisy), batched_number, options["cond_or_uncond"], float(t[0])))
            assert cond["c_crossattn"].shape[0] == len(x_noisy)
            return self.control_merge({"middle": [torch.full((1, 64, 2, 2), 3.0)]}, None)

    push = Push()
    push.set_cond_hint(picture().movedim(-1, 1))
    both: Any = host.from_pack(with_control(prompt, push))
    again: Any = host.from_pack(with_control(prompt, push))
    plain, there = drawn(model, prompt, prompt), drawn(model, both, again)
    assert not torch.allclose(plain, there, atol=1e-3)
    assert [(count, parts, sides) for count, parts, sides, _ in calls] == [(4, 2, [0, 1])] * 2, "both sides at once"
    assert push.timestep_range is None, "cleaned up after the run"
    calls.clear()
    drawn(model, prompt, both)
    assert [(count, parts, sides) for count, parts, sides, _ in calls] == [(2, 1, [1])] * 2
    assert host.to_pack(both)[0][1]["control"] is push


def test_an_object_of_a_packs_own_making(host: FacadeHost, model: DiffusionModel, prompt: Any) -> None:
    class Own:
        """Nothing of ours: what is asked of it is the contract."""

        hint: Any = None
        strength = 0.0

        def copy(self) -> Own:
            return Own()

        def set_cond_hint(self, hint: Tensor, strength: float, span: Any, vae: Any = None) -> Own:
            self.hint, self.strength = hint, strength
            return self

        def set_previous_controlnet(self, previous: Any) -> None:
            self.previous = previous

        def pre_run(self, model: Any, percent_to_timestep_function: Any) -> None:
            assert float(percent_to_timestep_function(1.0)) == 0.0 and model.diffusion_model is not None

        def get_control(self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, options: Any) -> Any:
            return {"output": [None, torch.full((1, 1, 1, 1), self.strength).expand(1, 64, 2, 2)], "middle": []}

    steering: Any = host.from_pack(Own())
    control = steering.following(picture(), 2.0, SPAN, None)
    assert not torch.allclose(
        drawn(model, with_control(prompt, control), prompt), drawn(model, prompt, prompt), atol=1e-3
    )
    with pytest.raises(InvalidRequest, match="Own, a node pack's"):
        steering.of_task(1)
    assert type(host.to_pack(steering)) is Own


@pytest.mark.parametrize("turn", [False, True])
def test_ours_and_a_packs_one_after_the_other(
    nets: Any, host: FacadeHost, model: DiffusionModel, prompt: Any, turn: bool
) -> None:
    first, second = net(), ControlModel(random(ControlNet(ControlNetConfig(SMALL)), 9), "depth")
    expected = second.following(picture(), 0.5, SPAN, first.following(picture(), 1.0, SPAN, None))
    if turn:  # a pack's before ours
        theirs = host.to_pack(first).copy().set_cond_hint(picture().movedim(-1, 1), 1.0, SPAN)
        before: Any = host.from_pack(with_control(prompt, theirs))
        mixed: Any = second.following(picture(), 0.5, SPAN, before[0][1]["control"])
    else:
        theirs = host.to_pack(second).copy().set_cond_hint(picture().movedim(-1, 1), 0.5, SPAN)
        held: Any = host.to_pack(with_control(prompt, first.following(picture(), 1.0, SPAN, None)))
        assert isinstance(held[0][1]["control"], nets.ControlNet)
        theirs.set_previous_controlnet(held[0][1]["control"])
        mixed = host.from_pack(with_control(prompt, theirs))[0][1]["control"]  # pyright: ignore
    one, other = (drawn(model, with_control(prompt, c), with_control(prompt, c)) for c in (expected, mixed))
    assert torch.allclose(one, other, atol=1e-4)
    assert len(mixed.networks(model)) == 2
    mixed.finished()


def test_ours_stays_the_same_object_for_packs(host: FacadeHost, prompt: Any) -> None:
    control = net().following(picture(), 1.0, SPAN, None)
    first: Any = host.to_pack(with_control(prompt, control))
    second: Any = host.to_pack(with_control(prompt, control))
    assert first[0][1]["control"] is second[0][1]["control"]
    untouched = [[1.0, 2.0], ["a", {}]]
    assert host.to_pack(untouched) == untouched


def test_our_apply_node_takes_a_packs_controlnet(
    nets: Any, host: FacadeHost, model: DiffusionModel, prompt: Any
) -> None:
    nodes = importlib.import_module("nodes")
    apply: Any = nodes.NODE_CLASS_MAPPINGS["ControlNetApplyAdvanced"]()
    packed = host.to_pack(net())
    positive, negative = apply.apply_controlnet(prompt, prompt, packed, picture(), 0.7, 0.0, 1.0)
    control = positive[0][1]["control"]
    assert isinstance(control, nets.ControlNet) and control is negative[0][1]["control"]
    expected = with_control(prompt, net().following(picture(), 0.7, SPAN, None))
    steered: Any = host.from_pack(positive), host.from_pack(negative)
    assert torch.allclose(drawn(model, *steered), drawn(model, expected, expected), atol=1e-4)

    class Masked(nets.ControlBase):
        def __init__(self) -> None:
            super().__init__()
            self.concat_mask = True

    masked: Any = host.from_pack(Masked())
    mask = torch.zeros(1, 32, 32)
    mask[:, :16] = 1
    made = masked.following(picture(), 1.0, SPAN, None, mask=mask).control
    assert not made.cond_hint_original[:, :, :16].any() and made.cond_hint_original[:, :, 16:].all()
    assert torch.equal(made.extra_concat_orig[0], 1 - mask[:, None])


def test_a_changed_model_is_steered_by_ours_too(host: FacadeHost, model: DiffusionModel, prompt: Any) -> None:
    patcher: Any = host.to_pack(model)
    patcher.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    changed: Any = host.from_pack(patcher)
    control = net().following(picture(), 1.0, SPAN, None)
    for positive, negative in (
        (with_control(prompt, control), prompt),
        ([[f, {**s, "control_apply_to_uncond": True}] for f, s in with_control(prompt, control)], prompt),
    ):
        expected = drawn(model, positive, negative)
        assert torch.allclose(drawn(changed, positive, negative), expected, atol=1e-4)


def test_files_by_the_packs_door(nets: Any, host: FacadeHost, model: DiffusionModel, tmp_path: Path) -> None:
    ours = net()
    save_file(ours.network.state_dict(), tmp_path / "canny.safetensors")
    read = nets.load_controlnet(str(tmp_path / "canny.safetensors"))
    assert isinstance(read, nets.ControlNet)
    assert set(read.control_model.network.state_dict()) == set(ours.network.state_dict())
    assert [type(each).__name__ for each in read.get_models()] == ["ModelPatcher"]
    again = nets.load_controlnet_state_dict(ours.network.state_dict(), host.to_pack(model))
    hint = picture().movedim(-1, 1)
    said = {"x": torch.ones(1, 4, 4, 4), "timesteps": torch.ones(1), "context": torch.ones(1, 2, 16)}
    for part, expected in zip(
        read.control_model(hint=hint, **said)["output"],
        again.control_model(hint=hint, **said)["output"],
        strict=True,
    ):
        assert torch.allclose(part.float(), expected.float(), atol=1e-3)
    with pytest.raises(UnknownFamily):
        nets.load_controlnet_state_dict({"odd": torch.ones(1)})


def test_another_family_is_refused_when_a_pack_samples(
    nets: Any, host: FacadeHost, tiny: Checkpoint, prompt: Any
) -> None:
    packed = host.to_pack(net()).copy().set_cond_hint(picture().movedim(-1, 1))
    steered: Any = host.from_pack(with_control(prompt, packed))
    with pytest.raises(InvalidRequest, match="does not fit this model"):
        drawn(tiny.model, steered, prompt)


def test_a_control_is_no_plain_value(model: DiffusionModel, prompt: Any) -> None:
    with pytest.raises(InvalidRequest, match="unknown kind"):
        drawn(model, with_control(prompt, object()), prompt)
    assert isinstance(net().following(picture(), 1.0, SPAN, None), Control)
