"""A pack that samples through the facade draws what our own nodes draw; one that patches changes what they draw."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor

from app.context.context import NodeContext
from app.diffusion.conditioning.entries import conditioning_of
from app.diffusion.drawing import Recipe, SamplerChoice, draw, draw_levels, empty_latent, guider
from app.diffusion.samplers import SAMPLERS, sampler_named
from app.engine.events import Progress
from app.extend.facade.bridge import FacadeHost
from app.weights.checkpoint import Checkpoint
from tests.extend.facade.conftest import Said

STEPS = 3


@pytest.fixture
def prompts(tiny: Checkpoint) -> tuple[Any, Any]:
    return conditioning_of(tiny.clip.encode("red")), conditioning_of(tiny.clip.encode("circle"))


def drawn(model: Any, prompts: tuple[Any, Any], **more: Any) -> Tensor:
    """What our own sampler node makes of a model."""
    recipe = Recipe(seed=5, steps=STEPS, cfg=more.pop("cfg", 4.0), sampler=more.pop("sampler", "euler"), **more)
    drawing = draw(model, *prompts, empty_latent(64, 64), recipe)
    list(drawing)
    return drawing.result["samples"]


def by_pack(model: Any, prompts: tuple[Any, Any], **more: Any) -> Tensor:
    """What `nodes.common_ksampler` makes of it."""
    nodes = importlib.import_module("nodes")
    named = {"sampler_name": "euler", "scheduler": "simple", "cfg": 4.0, **more}
    positive, negative = prompts
    (latent,) = nodes.common_ksampler(
        model, 5, STEPS, positive=positive, negative=negative, latent=empty_latent(64, 64), **named
    )
    return latent["samples"]


@pytest.mark.parametrize(
    "sampler", ["euler", "euler_ancestral", "dpmpp_2m_sde", "euler_cfg_pp", "cfgpp_ud10_ab", "heun", "sa_solver"]
)
@torch.inference_mode()
def test_a_seed_means_the_same_picture(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any], sampler: str
) -> None:
    ours = drawn(tiny.model, prompts, sampler=sampler)
    theirs = by_pack(host.to_pack(tiny.model), prompts, sampler_name=sampler)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert ours.std() > 0.1


@torch.inference_mode()
def test_a_part_of_the_steps_and_a_mask(host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]) -> None:
    model = host.to_pack(tiny.model)
    whole = by_pack(model, prompts)
    first = by_pack(model, prompts, last_step=2)
    assert not torch.allclose(whole, first)
    nodes = importlib.import_module("nodes")
    latent = {"samples": torch.ones(1, 4, 8, 8), "noise_mask": torch.zeros(1, 1, 64, 64)}
    positive, negative = prompts
    (kept,) = nodes.common_ksampler(model, 5, 2, 4.0, "euler", "simple", positive, negative, latent)
    assert torch.allclose(kept["samples"], latent["samples"], atol=1e-5)


@torch.inference_mode()
def test_progress_and_the_wish_to_stop_reach_the_run(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any], context: NodeContext, said: Said
) -> None:
    management = importlib.import_module("comfy.model_management")
    with host.enter(context):
        by_pack(host.to_pack(tiny.model), prompts)
        steps = [event.value for event in said.events if isinstance(event, Progress)]
        assert steps == [1, 2, 3]
        said.stop = True
        utils = importlib.import_module("comfy.utils")
        with pytest.raises(management.InterruptProcessingException):
            utils.ProgressBar(3).update(1)


@torch.inference_mode()
def test_functions_around_guidance(host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]) -> None:
    model = host.to_pack(tiny.model)
    heard: list[dict[str, Any]] = []

    def guide(args: dict[str, Any]) -> Tensor:
        heard.append(args)
        return args["uncond"] + (args["cond"] - args["uncond"]) * args["cond_scale"]

    def halve(args: dict[str, Any]) -> Tensor:
        return args["denoised"] * 0.5

    same = model.clone()
    same.set_model_sampler_cfg_function(guide)
    assert torch.allclose(drawn(host.from_pack(same), prompts), drawn(tiny.model, prompts), atol=1e-5)
    assert len(heard) == STEPS
    assert heard[0]["input"].shape == (1, 4, 8, 8)
    changed = model.clone()
    changed.set_model_sampler_post_cfg_function(halve)
    assert not torch.allclose(drawn(host.from_pack(changed), prompts), drawn(tiny.model, prompts), atol=1e-3)
    assert not model.changed(), "the clone's change is its own"


@torch.inference_mode()
def test_a_patched_model_without_a_negative_side_is_drawn_as_ours(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]
) -> None:
    patched = host.to_pack(tiny.model)
    patched.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    alone = (prompts[0], [])
    ours, theirs = (
        drawn(model, alone, sampler="cfgpp_ud10_ab", cfg=1.0) for model in (tiny.model, host.from_pack(patched))
    )
    assert torch.allclose(ours, theirs, atol=1e-5)


@torch.inference_mode()
def test_a_function_of_three_and_one_before_guidance(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]
) -> None:
    three = host.to_pack(tiny.model)
    three.set_model_sampler_cfg_function(lambda cond, uncond, scale: uncond + (cond - uncond) * scale)
    assert torch.allclose(drawn(host.from_pack(three), prompts), drawn(tiny.model, prompts), atol=1e-5)
    swapped = host.to_pack(tiny.model)
    swapped.set_model_sampler_pre_cfg_function(lambda args: args["conds_out"][::-1])
    expected = drawn(tiny.model, prompts[::-1])
    assert torch.allclose(drawn(host.from_pack(swapped), prompts), expected, atol=1e-5)


@torch.inference_mode()
def test_a_wrapper_around_the_network_sees_which_rows_are_which(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]
) -> None:
    model = host.to_pack(tiny.model)
    seen: list[Any] = []

    def wrap(apply_model: Any, args: dict[str, Any]) -> Tensor:
        seen.append((args["cond_or_uncond"], tuple(args["input"].shape), sorted(args["c"])))
        return apply_model(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(wrap)
    assert torch.allclose(drawn(host.from_pack(model), prompts), drawn(tiny.model, prompts), atol=1e-5)
    assert seen[0] == ([0, 1], (2, 4, 8, 8), ["c_crossattn", "transformer_options"])


@torch.inference_mode()
def test_patches_inside_the_network_last_for_the_call_alone(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]
) -> None:
    plain = drawn(tiny.model, prompts)
    places: list[Any] = []

    def note(*args: Any) -> Any:
        places.append(args[-1]["block"])
        return args[:-1] if len(args) > 2 else next(iter(args))

    neutral = host.to_pack(tiny.model)
    neutral.set_model_attn1_patch(note)
    neutral.set_model_attn2_patch(note)
    neutral.set_model_attn2_output_patch(note)
    neutral.set_model_input_block_patch(note)
    neutral.set_model_output_block_patch(note)
    assert torch.allclose(drawn(host.from_pack(neutral), prompts), plain, atol=1e-5)
    assert {kind for kind, _ in places} == {"input", "middle", "output"}
    changing = host.to_pack(tiny.model)
    changing.set_model_attn2_replace(lambda q, k, v, extra: torch.full_like(q, 50.0), "middle", 0)
    assert not torch.allclose(drawn(host.from_pack(changing), prompts), plain, atol=1e-3)
    skips = host.to_pack(tiny.model)
    skips.set_model_output_block_patch(lambda h, skip, options: (h, skip * 0))
    assert not torch.allclose(drawn(host.from_pack(skips), prompts), plain, atol=1e-3)
    assert torch.equal(drawn(tiny.model, prompts), plain)


@torch.inference_mode()
def test_other_levels_are_taken_by_our_own_nodes(host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]) -> None:
    sampling = importlib.import_module("comfy.model_sampling")

    class Shifted(sampling.ModelSamplingDiscreteFlow, sampling.CONST):
        pass

    model = host.to_pack(tiny.model)
    levels = Shifted(model.model.model_config)
    levels.set_parameters(shift=3.0)
    model.add_object_patch("model_sampling", levels)
    nodes = importlib.import_module("nodes")
    (ours,) = nodes.NODE_CLASS_MAPPINGS["ModelSamplingSD3"]().execute(host.to_pack(tiny.model), 3.0)
    assert torch.allclose(drawn(host.from_pack(model), prompts), drawn(host.from_pack(ours), prompts), atol=1e-5)
    assert model.get_model_object("model_sampling") is levels


@torch.inference_mode()
def test_weights_are_changed_for_one_clone(host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]) -> None:
    model = host.to_pack(tiny.model)
    key = "diffusion_model.out.2.weight"
    before = model.model_state_dict()[key].clone()
    clone = model.clone()
    taken = clone.add_patches({key: (torch.ones_like(before),), "diffusion_model.nowhere": (before,)}, 0.5)
    assert taken == [key]
    assert torch.allclose(clone.patched_weights()[key.removeprefix("diffusion_model.")], before + 0.5)
    plain = drawn(tiny.model, prompts)
    assert not torch.allclose(drawn(host.from_pack(clone), prompts), plain, atol=1e-4)
    assert torch.equal(drawn(tiny.model, prompts), plain)
    assert torch.equal(model.model_state_dict()[key], before)


@torch.inference_mode()
def test_wrappers_of_every_step_are_called(host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]) -> None:
    extension = importlib.import_module("comfy.patcher_extension")
    model, heard = host.to_pack(tiny.model), []
    kinds = {name: kind for name, kind in vars(extension.WrappersMP).items() if name.isupper()}
    for name, kind in kinds.items():

        def wrap(executor: Any, *args: Any, _name: str = name, **kwargs: Any) -> Any:
            heard.append(_name)
            return executor(*args, **kwargs)

        model.add_wrapper(kind, wrap)
    result = by_pack(model, prompts)
    assert torch.allclose(result, drawn(tiny.model, prompts), atol=1e-5)
    assert set(kinds) == set(heard)


@torch.inference_mode()
def test_a_guider_and_a_sampler_of_a_pack_serve_our_nodes(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]
) -> None:
    samplers = importlib.import_module("comfy.samplers")
    model = host.to_pack(tiny.model)

    class Doubting(samplers.CFGGuider):
        def predict_noise(self, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
            return super().predict_noise(x, timestep, model_options, seed)

    follows = Doubting(model)
    follows.set_conds(*prompts)
    follows.set_cfg(4.0)

    def walk(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, callback: Any = None, **_: Any) -> Tensor:
        for i in range(len(sigmas) - 1):
            denoised = model(x, sigmas[i] * x.new_ones(len(x)), **extra_args)
            callback({"x": x, "i": i, "sigma": sigmas[i], "denoised": denoised})
            x = x + (x - denoised) / sigmas[i] * (sigmas[i + 1] - sigmas[i])
        return x

    levels = samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", STEPS)
    ours = host.from_pack(samplers.KSAMPLER(walk))
    assert isinstance(ours, SamplerChoice)
    drawing = draw_levels(host.from_pack(follows), empty_latent(64, 64), levels, ours, 5)
    list(drawing)
    assert torch.allclose(drawing.result["samples"], drawn(tiny.model, prompts), atol=1e-5)


@torch.inference_mode()
def test_our_guider_and_sampler_serve_packs(host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any]) -> None:
    sample = importlib.import_module("comfy.sample")
    samplers = importlib.import_module("comfy.samplers")
    follows = host.to_pack(guider(tiny.model, *prompts, 4.0))
    sampler = host.to_pack(SamplerChoice(sampler_named("euler")))
    levels = samplers.calculate_sigmas(follows.model_patcher.get_model_object("model_sampling"), "simple", STEPS)
    empty = empty_latent(64, 64)["samples"]
    result = follows.sample(sample.prepare_noise(empty, 5), empty, sampler, levels, seed=5)
    assert torch.allclose(result.cpu(), drawn(tiny.model, prompts), atol=1e-5)
    assert host.from_pack(sampler).spec.name == "euler"


@torch.inference_mode()
def test_a_sampler_that_a_pack_adds_is_found_by_name(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    samplers = importlib.import_module("comfy.samplers")
    known = importlib.import_module("comfy.k_diffusion.sampling")

    def still(model: Any, x: Tensor, sigmas: Tensor, **_: Any) -> Tensor:
        return torch.full_like(x, 0.25)

    monkeypatch.setattr(known, "sample_still", still, raising=False)
    monkeypatch.setattr(samplers.KSampler, "SAMPLERS", [*samplers.KSampler.SAMPLERS, "still"])
    result = by_pack(host.to_pack(tiny.model), prompts, sampler_name="still")
    assert torch.allclose(result, tiny.model.latent.from_model(torch.full_like(result, 0.25)))
    assert set(SAMPLERS) < set(samplers.KSampler.SAMPLERS)


@torch.inference_mode()
def test_noise_of_a_packs_own_starts_our_sampler(
    host: FacadeHost, tiny: Checkpoint, prompts: tuple[Any, Any], context: NodeContext
) -> None:
    heard: list[Any] = []

    class Flat:
        seed = 5

        def generate_noise(self, input_latent: Any) -> Tensor:
            heard.append(input_latent["samples"].shape)
            return torch.full_like(input_latent["samples"], 0.5)

    nodes, samplers = importlib.import_module("nodes"), importlib.import_module("comfy.samplers")
    model = host.to_pack(tiny.model)
    levels = samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", STEPS)
    follows = host.to_pack(guider(tiny.model, *prompts, 4.0))
    latent = {"samples": torch.zeros(1, 16, 8, 8)}
    sampler = nodes.NODE_CLASS_MAPPINGS["SamplerCustomAdvanced"]()

    def drawn_from(noise: Any) -> Tensor:
        with host.enter(context):
            return sampler.execute(noise, follows, samplers.sampler_object("euler"), levels, latent)[0]["samples"]

    flat = drawn_from(Flat())
    seeded = drawn_from(nodes.NODE_CLASS_MAPPINGS["RandomNoise"]().execute(5)[0])
    assert heard == [(1, 4, 8, 8)], "the latent has the model's channels by then"
    assert torch.allclose(seeded, drawn(tiny.model, prompts), atol=1e-5)
    assert not torch.allclose(flat, seeded, atol=1e-3)
