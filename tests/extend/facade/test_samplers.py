"""Guidance, schedules and samplers, each by itself, on a model that answers simply."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.schedules import SCHEDULES
from app.errors import InvalidRequest
from app.extend.facade.bridge import FacadeHost
from app.weights.checkpoint import Checkpoint

X, LEVEL = torch.full((1, 1, 1, 1), 10.0), torch.tensor([2.0])
COND, UNCOND = torch.full((1, 1, 1, 1), 4.0), torch.full((1, 1, 1, 1), 1.0)


@pytest.fixture
def samplers(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.samplers")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1 + 3 * 2),
        # a pack's function gives the difference from x
        ({"sampler_cfg_function": lambda args: args["cond"]}, 4),
        ({"sampler_cfg_function": lambda args: args["uncond"] * args["cond_scale"]}, 10 - 9 * 2),
        ({"sampler_cfg_function": lambda args: args["input"] - args["cond_denoised"] - args["uncond_denoised"]}, 5),
        ({"sampler_post_cfg_function": [lambda args: args["denoised"] * 2]}, 14),
        ({"sampler_post_cfg_function": [lambda a: a["denoised"] + 1, lambda a: a["denoised"] * 3]}, 24),
        ({"sampler_post_cfg_function": [lambda args: args["uncond_denoised"]]}, 1),
    ],
)
def test_guidance_as_packs_shape_it(samplers: Any, options: dict[str, Any], expected: float) -> None:
    assert samplers.cfg_function(None, COND, UNCOND, 2.0, X, LEVEL, options).item() == expected


@pytest.mark.parametrize(
    ("scale", "options", "asked_for_both"),
    [(2.0, {}, True), (1.0, {}, False), (1.0, {"disable_cfg1_optimization": True}, True)],
)
def test_without_guidance_one_side_is_enough(samplers: Any, scale: float, options: Any, asked_for_both: bool) -> None:
    heard: list[Any] = []

    def answer(args: dict[str, Any]) -> list[Tensor]:
        heard.append(args["conds"])
        return [COND, UNCOND]

    said = {"sampler_calc_cond_batch_function": answer, **options}
    result = samplers.sampling_function(None, X, LEVEL, "negative", "positive", scale, said)
    assert heard == [["positive", "negative" if asked_for_both else None]]
    assert result.item() == 1 + 3 * scale


def test_a_function_before_guidance_changes_the_answers(samplers: Any) -> None:
    options = {
        "sampler_calc_cond_batch_function": lambda args: [COND, UNCOND],
        "sampler_pre_cfg_function": [lambda args: [args["conds_out"][0] * 2, args["conds_out"][1]]],
    }
    assert samplers.sampling_function(None, X, LEVEL, [], [], 1.5, options).item() == 1 + 7 * 1.5


def test_what_is_said_without_the_condition_can_be_heard(samplers: Any) -> None:
    heard: list[Tensor] = []
    options = {"sampler_post_cfg_function": [lambda args: args["denoised"] + 1]}
    listening = samplers.listening(options, heard)
    for negative in ("negative", [], None):
        assert samplers.cfg_function(None, COND, UNCOND, 1.0, X, LEVEL, listening, "positive", negative).item() == 5
    assert [each.item() for each in heard] == [1, 4, 4], "without a negative side the zeros in its place say nothing"
    assert listening["disable_cfg1_optimization"]
    assert len(options["sampler_post_cfg_function"]) == 1


@torch.inference_mode()
def test_no_condition_means_no_answer(samplers: Any, host: FacadeHost, tiny: Checkpoint) -> None:
    from app.diffusion.conditioning.entries import conditioning_of

    model: Any = host.to_pack(tiny.model).model
    x = torch.randn(1, 4, 8, 8)
    positive = importlib.import_module("comfy.sampler_helpers").convert_cond(conditioning_of(tiny.clip.encode("red")))
    first, second = samplers.calc_cond_batch(model, [positive, None], x, torch.tensor([0.5]), {})
    assert first.any() and not second.any()


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_fall_to_zero(samplers: Any, host: FacadeHost, tiny: Checkpoint, name: str) -> None:
    sampling = host.to_pack(tiny.model).get_model_object("model_sampling")
    levels = samplers.calculate_sigmas(sampling, name, 6)
    assert bool((levels.diff() <= 0).all())
    assert levels[-1] == 0
    assert len(levels) >= 6


@pytest.mark.parametrize(
    ("function", "name", "options"),
    [
        ("simple_scheduler", "simple", {}),
        ("normal_scheduler", "normal", {}),
        ("normal_scheduler", "sgm_uniform", {"sgm": True}),
        ("ddim_scheduler", "ddim_uniform", {}),
        ("beta_scheduler", "beta", {}),
    ],
)
def test_schedules_by_function(
    samplers: Any, host: FacadeHost, tiny: Checkpoint, function: str, name: str, options: dict[str, Any]
) -> None:
    sampling = host.to_pack(tiny.model).get_model_object("model_sampling")
    assert torch.equal(
        getattr(samplers, function)(sampling, 5, **options), samplers.calculate_sigmas(sampling, name, 5)
    )


def test_an_unknown_schedule_is_named_and_a_packs_own_is_called(samplers: Any, monkeypatch: Any) -> None:
    with pytest.raises(InvalidRequest, match="'crooked'"):
        samplers.calculate_sigmas(None, "crooked", 4)
    own = samplers.SchedulerHandler(lambda n, sigma_min, sigma_max: torch.tensor([sigma_max, sigma_min, n]), False)
    monkeypatch.setitem(samplers.SCHEDULER_HANDLERS, "crooked", own)
    levels = samplers.calculate_sigmas(SimpleNamespace(sigma_min=0.5, sigma_max=9.0), "crooked", 4)
    assert levels.tolist() == [9.0, 0.5, 4.0]


@pytest.mark.parametrize(
    ("denoise", "count", "same_end"), [(None, 5, True), (1.0, 5, True), (0.5, 5, False), (0.0, 0, False)]
)
def test_a_part_of_the_noise(
    samplers: Any, host: FacadeHost, tiny: Checkpoint, denoise: float | None, count: int, same_end: bool
) -> None:
    made = samplers.KSampler(host.to_pack(tiny.model), 4, "cpu", "euler", "simple", denoise)
    assert len(made.sigmas) == count
    if count:
        assert made.sigmas[-1] == 0
        assert bool(made.sigmas[0] == made.calculate_sigmas(4)[0]) is same_end


def test_samplers_that_need_one_more_level_drop_the_last_but_one(
    samplers: Any, host: FacadeHost, tiny: Checkpoint
) -> None:
    model = host.to_pack(tiny.model)
    plain = samplers.KSampler(model, 5, "cpu", "euler", "simple")
    odd = samplers.KSampler(model, 4, "cpu", "dpm_2", "simple")
    assert torch.equal(odd.sigmas, torch.cat([plain.sigmas[:-2], plain.sigmas[-1:]]))


def test_unknown_names_mean_the_first(samplers: Any, host: FacadeHost, tiny: Checkpoint) -> None:
    made = samplers.KSampler(host.to_pack(tiny.model), 2, "cpu", "none such", "none such")
    assert (made.sampler, made.scheduler) == (samplers.KSampler.SAMPLERS[0], samplers.KSampler.SCHEDULERS[0])


@torch.inference_mode()
def test_nothing_to_do_gives_back_what_was_given(samplers: Any, host: FacadeHost, tiny: Checkpoint) -> None:
    model = host.to_pack(tiny.model)
    noise, latent = torch.randn(1, 4, 4, 4), torch.ones(1, 4, 4, 4)
    made = samplers.KSampler(model, 3, "cpu", "euler", "simple")
    assert made.sample(noise, [], [], 4.0, latent, start_step=3, last_step=3) is latent
    assert not made.sample(noise, [], [], 4.0, None, start_step=3).any()
    assert samplers.CFGGuider(model).sample(noise, latent, None, torch.zeros(0)) is latent


@pytest.mark.parametrize(
    ("mask", "seen", "result"),
    [
        (None, 10.0, 110.0),
        (1.0, 10.0, 110.0),
        # where nothing is drawn the network sees the noised picture, and the picture comes out
        (0.0, 7.0, 5.0),
        (0.5, 8.5, 0.5 * 108.5 + 0.5 * 5.0),
    ],
)
def test_a_mask_keeps_the_picture(samplers: Any, mask: float | None, seen: float, result: float) -> None:
    heard: list[float] = []

    class Model:
        inner_model = SimpleNamespace(scale_latent_inpaint=lambda **said: said["latent_image"] + said["sigma"])

        def __call__(self, x: Tensor, sigma: Tensor, **_: Any) -> Tensor:
            heard.append(x.item())
            return x + 100

    inpaint = samplers.KSamplerX0Inpaint(Model(), None)
    inpaint.latent_image = torch.full((1, 1, 1, 1), 5.0)
    given = None if mask is None else torch.full((1, 1, 1, 1), mask)
    assert inpaint(X, LEVEL, given).item() == result
    assert heard == [seen]
    options = {"denoise_mask_function": lambda sigma, mask, extra_options: torch.ones_like(mask)}
    if given is not None:
        assert inpaint(X, LEVEL, given, options).item() == 110.0


@pytest.mark.parametrize(("first", "full"), [(14.0, True), (20.0, True), (13.9, False), (1.0, False)])
def test_whether_the_first_level_is_pure_noise(samplers: Any, first: float, full: bool) -> None:
    wrapped = SimpleNamespace(inner_model=SimpleNamespace(model_sampling=SimpleNamespace(sigma_max=14.0)))
    assert samplers.Sampler().max_denoise(wrapped, torch.tensor([first, 0.0])) is full
    with pytest.raises(TypeError, match="has no sample method"):
        samplers.Sampler().sample()


def test_samplers_by_name(samplers: Any) -> None:
    assert samplers.sampler_object("ddim").inpaint_options == {"random": True}
    assert samplers.sampler_object("euler").inpaint_options == {}
    assert samplers.ksampler("euler", {"eta": 1}).extra_options == {"eta": 1}
    with pytest.raises(InvalidRequest, match="none such"):
        samplers.ksampler("none such")


def test_conditions_become_dicts_and_keep_what_they_hold(host: FacadeHost) -> None:
    helpers = importlib.import_module("comfy.sampler_helpers")
    features = torch.ones(1, 2, 3)
    entry, same = helpers.convert_cond([[features, {"strength": 0.5, "acme": 1}], {"cross_attn": features}])
    assert entry["cross_attn"] is features
    assert (entry["strength"], entry["acme"], entry["model_conds"]) == (0.5, 1, {})
    assert same == {"cross_attn": features}
    cleaned: list[str] = []
    control = SimpleNamespace(get_models=lambda: [company], cleanup=lambda: cleaned.append("control"))
    company = SimpleNamespace(cleanup=lambda: cleaned.append("model"))
    conds = {"positive": [{"control": control}], "negative": [{"control": control}, {}]}
    assert helpers.get_models_from_cond(conds["negative"], "control") == [control]
    models, needed = helpers.get_additional_models(conds, torch.float32)
    assert (models, needed) == ([company], 0)
    helpers.cleanup_models(conds, [company, object()])
    assert cleaned == ["model", "control"]
    assert helpers.prepare_mask(torch.ones(1, 16, 16), (1, 4, 2, 2), "cpu").shape[-2:] == (2, 2)


def test_empty_latents_get_the_models_channels(host: FacadeHost, tiny: Checkpoint) -> None:
    sample = importlib.import_module("comfy.sample")
    model = host.to_pack(tiny.model)
    assert sample.fix_empty_latent_channels(model, torch.zeros(2, 16, 3, 5)).shape == (2, 4, 3, 5)
    full = torch.ones(1, 16, 3, 5)
    assert sample.fix_empty_latent_channels(model, full) is full
    noise = sample.prepare_noise(torch.zeros(3, 4, 2, 2), 9, [0, 0, 2])
    assert torch.equal(noise[0], noise[1]) and not torch.equal(noise[0], noise[2])


@torch.inference_mode()
def test_levels_of_ones_own(host: FacadeHost, tiny: Checkpoint) -> None:
    from app.diffusion.conditioning.entries import conditioning_of

    sample, samplers = importlib.import_module("comfy.sample"), importlib.import_module("comfy.samplers")
    model, prompt = host.to_pack(tiny.model), conditioning_of(tiny.clip.encode("red"))
    empty = torch.zeros(1, 4, 8, 8)
    noise = sample.prepare_noise(empty, 1)
    levels = samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", 2)
    heard: list[tuple[int, int]] = []

    def callback(step: int, x0: Tensor, x: Tensor, total: int) -> None:
        heard.append((step, total))

    custom = sample.sample_custom(
        model, noise, 2.0, samplers.sampler_object("euler"), levels, prompt, prompt, empty, callback=callback, seed=1
    )
    usual = sample.sample(model, noise, 2, 2.0, "euler", "simple", prompt, prompt, empty, seed=1)
    assert torch.allclose(custom, usual, atol=1e-5)
    assert heard == [(0, 2), (1, 2)]
