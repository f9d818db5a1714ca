"""`comfy.samplers`: guidance and sampling in the form that packs call and replace.

x [B, C, h, w] is a noisy latent in the model's scale, timestep its noise level (0-d or [B]), cond and uncond lists of
dicts as `sampler_helpers.convert_cond` makes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from app.diffusion.guidance.compose import weighted_answers
from app.diffusion.guidance.conditions import Condition, conditions_of, matched
from app.diffusion.schedules import SCHEDULES, tables
from app.diffusion.schedules import sigmas as schedule_sigmas
from app.errors import InvalidRequest
from app.extend.facade.comfy import patcher_extension as extension
from app.extend.facade.comfy.ksamplers import (
    KSAMPLER,
    KSAMPLER_NAMES,
    KSamplerX0Inpaint,
    Sampler,
    ksampler,
    sampler_object,
)
from app.extend.facade.comfy.model_base import BaseModel
from app.extend.facade.comfy.network_facts import PACK_NAMES
from app.extend.facade.comfy.sampler_helpers import (
    cleanup_models,
    convert_cond,
    prepare_mask,
    prepare_sampling,
    share_controls,
)

__all__ = [
    "KSAMPLER",
    "KSAMPLER_NAMES",
    "SAMPLER_NAMES",
    "SCHEDULER_HANDLERS",
    "SCHEDULER_NAMES",
    "CFGGuider",
    "KSampler",
    "KSamplerX0Inpaint",
    "Sampler",
    "SchedulerHandler",
    "calc_cond_batch",
    "calculate_sigmas",
    "cfg_function",
    "ksampler",
    "process_conds",
    "sample",
    "sampler_object",
    "sampling_function",
]

SIDE = "side"  # carried through batching, so that a call knows which of its rows are of which side


# ---------------------------------------------------------------- conditions


def steering(control: Any, options: Mapping[str, Any]) -> Callable[..., Mapping[str, Any]]:
    """What asks a ControlNet for its residuals at each call of the network.

    It is one function as long as a run lasts, so that conditions of one ControlNet share calls.
    """
    kept = control.__dict__.get("_asked")
    if kept is not None:
        return kept

    def asked(x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        sides = arguments.get(SIDE)
        said = {PACK_NAMES.get(name, name): value for name, value in arguments.items() if name != SIDE}
        chunks = [0] if sides is None else _chunks(sides)
        level = sigma.to(x.device).expand(len(x))
        told = {**options.get("transformer_options", {}), "cond_or_uncond": chunks, "sigmas": level}
        residuals = control.get_control(x, level, said, len(chunks), told)
        return {} if residuals is None else {"control": residuals}

    control.__dict__["_asked"] = asked
    return asked


def prepare_controls(model: BaseModel, conds: Sequence[Mapping[str, Any]]) -> None:
    """Tell ControlNets of conditions that a run begins."""
    for entry in conds:
        if "control" in entry:
            entry["control"].__dict__.pop("_asked", None)
            entry["control"].pre_run(model, model.model_sampling.percent_to_sigma)


def conditions_for(
    model: BaseModel, conds: Sequence[Any] | None, like: Tensor, side: int, options: Mapping[str, Any]
) -> list[Condition]:
    """Conditions resolved against a latent; whatever packs put into model_conds goes to the network."""
    entries = [[entry["cross_attn"], entry] for entry in convert_cond(conds or ())]
    for _, said in entries:
        if "control" in said:
            said["adjust"] = steering(said["control"], options)

    def arguments(features: Tensor, said: Mapping[str, Any]) -> Mapping[str, Any]:
        plain = {name: value for name, value in said.items() if name not in ("cross_attn", "model_conds", "uuid")}
        given: dict[str, Any] = dict(model.native.inputs(features, plain, like, negative=side == 1))
        for name, cond in said.get("model_conds", {}).items():
            given[name] = cond.cond
        given[SIDE] = torch.full((1, 1), float(side))
        return given

    return conditions_of(entries, model.native.sampling, like, arguments)


def conditioned(model: BaseModel, options: Mapping[str, Any]) -> Callable[..., Tensor]:
    """denoise(x, sigma, **arguments) of a model with a pack's functions around the network."""
    wrapper = options.get("model_function_wrapper")

    def denoise(x: Tensor, sigma: Tensor, **arguments: Any) -> Tensor:
        said: dict[str, Any] = dict(options.get("transformer_options", {}))
        sides = arguments.pop(SIDE, None)
        said["cond_or_uncond"] = [0] if sides is None else _chunks(sides)
        said["sigmas"] = level = sigma.to(x.device).expand(len(x))
        given = {PACK_NAMES.get(name, name): value for name, value in arguments.items()}
        given["transformer_options"] = said
        if wrapper is None:
            return model.apply_model(x, level, **given)
        call = {"input": x, "timestep": level, "c": given, "cond_or_uncond": said["cond_or_uncond"]}
        return wrapper(model.apply_model, call)

    return denoise


def _chunks(sides: Tensor) -> list[int]:
    """Which side each part of a batch is of, from the mark on each row: as many parts as there are sides."""
    marks = [int(mark) for mark in sides.flatten()]
    changes = sum(a != b for a, b in itertools.pairwise(marks))
    size = len(marks) // (changes + 1)
    return marks[:: max(size, 1)]


def calc_cond_batch(
    model: BaseModel,
    conds: Sequence[Sequence[Any] | None],
    x_in: Tensor,
    timestep: Tensor,
    model_options: Mapping[str, Any],
) -> list[Tensor]:
    """What the model expects under x for each list of conditions; zeros for None."""
    wrappers = extension.get_all_wrappers(
        extension.WrappersMP.CALC_COND_BATCH, model_options.get("transformer_options", {})
    )
    return extension.WrapperExecutor.new_executor(_calc_cond_batch, wrappers).execute(
        model, conds, x_in, timestep, model_options
    )


def _calc_cond_batch(
    model: BaseModel,
    conds: Sequence[Sequence[Any] | None],
    x_in: Tensor,
    timestep: Tensor,
    model_options: Mapping[str, Any],
) -> list[Tensor]:
    if model.current_patcher is not None:
        model.current_patcher.prepare_state(timestep)
    sides = [conditions_for(model, cond, x_in, index, model_options) for index, cond in enumerate(conds)]
    if len(sides) == 2 and all(sides):
        sides = [matched(sides[0], sides[1]), matched(sides[1], sides[0])]
    level = timestep.flatten()[0]
    answers = weighted_answers(conditioned(model, model_options), sides, x_in, level)
    return [answer if cond else torch.zeros_like(x_in) for answer, cond in zip(answers, conds, strict=True)]


def cfg_function(
    model: Any,
    cond_pred: Tensor,
    uncond_pred: Tensor,
    cond_scale: float,
    x: Tensor,
    timestep: Tensor,
    model_options: Mapping[str, Any] | None = None,
    cond: Any = None,
    uncond: Any = None,
) -> Tensor:
    """Guidance, by a pack's function if there is one, and the functions after it."""
    options = model_options or {}
    said: dict[str, Any] = {
        "cond_scale": cond_scale,
        "timestep": timestep,
        "sigma": timestep,
        "input": x,
        "model": model,
        "model_options": options,
        "cond_denoised": cond_pred,
        "uncond_denoised": uncond_pred,
    }
    if "sampler_cfg_function" in options:
        differences = {"cond": x - cond_pred, "uncond": x - uncond_pred, "input_cond": cond, "input_uncond": uncond}
        result = x - options["sampler_cfg_function"]({**said, **differences})
    else:
        result = uncond_pred + (cond_pred - uncond_pred) * cond_scale
    for function in options.get("sampler_post_cfg_function", ()):
        result = function({**said, "denoised": result, "cond": cond, "uncond": uncond})
    return result


def sampling_function(
    model: BaseModel,
    x: Tensor,
    timestep: Tensor,
    uncond: Sequence[Any] | None,
    cond: Sequence[Any] | None,
    cond_scale: float,
    model_options: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> Tensor:
    """The guided clean latent that the model expects under x."""
    options = model_options or {}
    alone = math.isclose(cond_scale, 1.0) and not options.get("disable_cfg1_optimization", False)
    conds = [cond, None if alone else uncond]
    said = {"input": x, "sigma": timestep, "model": model, "model_options": options}
    if "sampler_calc_cond_batch_function" in options:
        answers = options["sampler_calc_cond_batch_function"]({**said, "conds": conds})
    else:
        answers = calc_cond_batch(model, conds, x, timestep, options)
    for function in options.get("sampler_pre_cfg_function", ()):
        more = {"conds": conds, "conds_out": answers, "cond_scale": cond_scale, "timestep": timestep}
        answers = function({**said, **more})
    return cfg_function(model, answers[0], answers[1], cond_scale, x, timestep, options, cond, conds[1])


class GuidedByOptions:
    """A pack's patched model as a guided denoiser of our samplers."""

    def __init__(
        self, model: BaseModel, positive: Sequence[Any], negative: Sequence[Any], cfg: float, patcher: Any
    ) -> None:
        self._model = model
        self._guider = CFGGuider(patcher)
        self._guider.inner_model, self._guider.cfg = model, cfg
        conds = {"positive": convert_cond(positive), "negative": convert_cond(negative)}
        share_controls(conds)
        self._guider.conds = conds
        self._options = patcher.run_options()
        for entries in conds.values():
            prepare_controls(model, entries)

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        return self._guided(x, sigma, self._options)

    def split(self, x: Tensor, sigma: Tensor, /) -> tuple[Tensor, Tensor]:
        """(guided, unconditional)."""
        heard: list[Tensor] = []
        guided = self._guided(x, sigma, listening(self._options, heard))
        return guided, heard[0]

    def _guided(self, x: Tensor, sigma: Tensor, options: dict[str, Any]) -> Tensor:
        return self._guider(x, sigma.to(x.device).expand(len(x)), options)


def listening(options: Mapping[str, Any], heard: list[Tensor]) -> dict[str, Any]:
    """The options; into `heard` goes what the model says without the condition, or with it if no side is negative."""

    def listen(args: Mapping[str, Any]) -> Tensor:
        heard.append(args["uncond_denoised" if args["uncond"] else "cond_denoised"])
        return args["denoised"]

    after = [*options.get("sampler_post_cfg_function", ()), listen]
    return {**options, "sampler_post_cfg_function": after, "disable_cfg1_optimization": True}


# ---------------------------------------------------------------- schedules


class SchedulerHandler:
    """A schedule: handler(model_sampling, steps) with `use_ms`, else handler(n, sigma_min, sigma_max)."""

    def __init__(self, handler: Callable[..., Tensor], use_ms: bool = True) -> None:
        self.handler = handler
        self.use_ms = use_ms


def _native_schedule(name: str) -> SchedulerHandler:
    def levels(sampling: Any, steps: int) -> Tensor:
        return schedule_sigmas(name, _native(sampling), steps)

    return SchedulerHandler(levels)


def _native(sampling: Any) -> Any:
    from app.extend.facade.comfy.model_sampling import sampling_of

    return sampling_of(sampling)


def simple_scheduler(model_sampling: Any, steps: int) -> Tensor:
    """Evenly over the model's table of levels."""
    return tables.simple(_native(model_sampling), steps)


def normal_scheduler(model_sampling: Any, steps: int, sgm: bool = False, floor: bool = False) -> Tensor:
    """Evenly in the network's time."""
    return (tables.sgm_uniform if sgm else tables.normal)(_native(model_sampling), steps)


def ddim_scheduler(model_sampling: Any, steps: int) -> Tensor:
    """As DDIM spaces its steps."""
    return tables.ddim_uniform(_native(model_sampling), steps)


def beta_scheduler(model_sampling: Any, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """At the quantiles of a beta distribution."""
    return tables.beta(_native(model_sampling), steps, alpha, beta)


SCHEDULER_HANDLERS: dict[str, SchedulerHandler] = {name: _native_schedule(name) for name in SCHEDULES}
SCHEDULER_NAMES: list[str] = list(SCHEDULER_HANDLERS)
SAMPLER_NAMES: list[str] = [*KSAMPLER_NAMES]


def calculate_sigmas(model_sampling: Any, scheduler_name: str, steps: int) -> Tensor:
    """The levels of a schedule, falling to 0.

    Raises:
        InvalidRequest: an unknown schedule.
    """
    handler = SCHEDULER_HANDLERS.get(scheduler_name)
    if handler is None:
        known = ", ".join(SCHEDULER_HANDLERS)
        raise InvalidRequest(f"No schedule is called {scheduler_name!r}.", remedy=f"Choose one of: {known}.")
    if handler.use_ms:
        return handler.handler(model_sampling, steps)
    return handler.handler(
        n=steps, sigma_min=float(model_sampling.sigma_min), sigma_max=float(model_sampling.sigma_max)
    )


# ---------------------------------------------------------------- guiders


def process_conds(
    model: BaseModel,
    noise: Tensor,
    conds: Mapping[str, Sequence[Any]],
    device: Any,
    latent_image: Tensor | None = None,
    denoise_mask: Tensor | None = None,
    seed: int | None = None,
    latent_shapes: Any = None,
) -> dict[str, list[dict[str, Any]]]:
    """Conditions ready for the model; areas and times are resolved where they are used."""
    prepared = {name: convert_cond(entries) for name, entries in conds.items()}
    share_controls(prepared)
    for entries in prepared.values():
        prepare_controls(model, entries)
    return prepared


class CFGGuider:
    """Samples a model under conditions. Packs make their own by overriding `predict_noise` or `sample`."""

    def __init__(self, model_patcher: Any) -> None:
        self.model_patcher = model_patcher
        self.model_options: dict[str, Any] = model_patcher.model_options
        self.original_conds: dict[str, Any] = {}
        self.conds: Mapping[str, Any] = {}
        self.cfg = 1.0
        self.inner_model: Any = None
        self.loaded_models: list[Any] = []

    def set_conds(self, positive: Any, negative: Any) -> None:
        """What to follow, and what to keep away from."""
        self.inner_set_conds({"positive": positive, "negative": negative})

    def set_cfg(self, cfg: float) -> None:
        """How strongly."""
        self.cfg = cfg

    def inner_set_conds(self, conds: Mapping[str, Any]) -> None:
        """Conditions by name."""
        for name, entries in conds.items():
            self.original_conds[name] = convert_cond(entries)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        wrappers = self.model_patcher.get_all_wrappers(extension.WrappersMP.PREDICT_NOISE)
        inner = extension.WrapperExecutor.new_class_executor(self.predict_noise, self, wrappers)
        return inner.execute(*args, **kwargs)

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        """The clean latent that is expected under x."""
        negative, positive = self.conds.get("negative"), self.conds.get("positive")
        return sampling_function(
            self.inner_model, x, timestep, negative, positive, self.cfg, model_options=model_options or {}, seed=seed
        )

    def inner_sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        device: Any,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None,
        callback: Any,
        disable_pbar: bool,
        seed: int | None,
        **_: Any,
    ) -> Tensor:
        """The sampling itself, with the model on its device."""
        if bool(latent_image.any()):
            latent_image = self.inner_model.process_latent_in(latent_image)
        self.conds = process_conds(
            self.inner_model, noise, self.original_conds, device, latent_image, denoise_mask, seed
        )
        options = self.model_patcher.run_options(self.model_options)
        options["transformer_options"]["sample_sigmas"] = sigmas
        wrappers = self.model_patcher.get_all_wrappers(extension.WrappersMP.SAMPLER_SAMPLE)
        inner = extension.WrapperExecutor.new_class_executor(sampler.sample, sampler, wrappers)
        arguments = {"model_options": options, "seed": seed}
        samples = inner.execute(self, sigmas, arguments, callback, noise, latent_image, denoise_mask, disable_pbar)
        return self.inner_model.process_latent_out(samples.float())

    def outer_sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
        **_: Any,
    ) -> Tensor:
        """The sampling with what has to be brought and taken away around it."""
        self.inner_model, self.conds, self.loaded_models = prepare_sampling(
            self.model_patcher, noise.shape, self.original_conds, self.model_options
        )
        device = self.inner_model.device
        if denoise_mask is not None:
            denoise_mask = prepare_mask(denoise_mask, noise.shape, device)
        self.model_patcher.pre_run()
        try:
            return self.inner_sample(
                noise.to(device),
                latent_image.to(device),
                device,
                sampler,
                sigmas.to(device),
                denoise_mask,
                callback,
                disable_pbar,
                seed,
            )
        finally:
            self.model_patcher.cleanup()
            cleanup_models(self.conds, self.loaded_models)
            self.inner_model = None

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """A latent from noise. Latents outside are the first stage's own."""
        if len(sigmas) == 0:
            return latent_image
        wrappers = self.model_patcher.get_all_wrappers(extension.WrappersMP.OUTER_SAMPLE)
        inner = extension.WrapperExecutor.new_class_executor(self.outer_sample, self, wrappers)
        return inner.execute(noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)


def sample(
    model: Any,
    noise: Tensor,
    positive: Any,
    negative: Any,
    cfg: float,
    device: Any,
    sampler: Any,
    sigmas: Tensor,
    model_options: dict[str, Any] | None = None,
    latent_image: Tensor | None = None,
    denoise_mask: Tensor | None = None,
    callback: Any = None,
    disable_pbar: bool = False,
    seed: int | None = None,
) -> Tensor:
    """A latent from noise, guided by a positive and a negative prompt."""
    guider = CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    start = torch.zeros_like(noise) if latent_image is None else latent_image
    return guider.sample(noise, start, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)


class KSampler:
    """A sampler and a schedule by name. SAMPLERS and SCHEDULERS are what packs offer in their combos, and extend."""

    SCHEDULERS = SCHEDULER_NAMES
    SAMPLERS = SAMPLER_NAMES
    DISCARD_PENULTIMATE_SIGMA_SAMPLERS = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})

    def __init__(
        self,
        model: Any,
        steps: int,
        device: Any,
        sampler: str | None = None,
        scheduler: str | None = None,
        denoise: float | None = None,
        model_options: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.device = device
        self.scheduler = scheduler if scheduler in self.SCHEDULERS else self.SCHEDULERS[0]
        self.sampler = sampler if sampler in self.SAMPLERS else self.SAMPLERS[0]
        self.denoise = denoise
        self.model_options = model_options or {}
        self.set_steps(steps, denoise)

    def calculate_sigmas(self, steps: int) -> Tensor:
        """The levels of so many steps."""
        extra = self.sampler in self.DISCARD_PENULTIMATE_SIGMA_SAMPLERS
        levels = calculate_sigmas(self.model.get_model_object("model_sampling"), self.scheduler, steps + extra)
        return torch.cat([levels[:-2], levels[-1:]]) if extra else levels

    def set_steps(self, steps: int, denoise: float | None = None) -> None:
        """So many steps; with `denoise` below 1 the last ones of a longer schedule."""
        self.steps = steps
        if denoise is None or denoise > 0.9999:
            self.sigmas = self.calculate_sigmas(steps)
        elif denoise <= 0.0:
            self.sigmas = torch.zeros(0)
        else:
            self.sigmas = self.calculate_sigmas(int(steps / denoise))[-(steps + 1) :]

    def sample(
        self,
        noise: Tensor,
        positive: Any,
        negative: Any,
        cfg: float,
        latent_image: Tensor | None = None,
        start_step: int | None = None,
        last_step: int | None = None,
        force_full_denoise: bool = False,
        denoise_mask: Tensor | None = None,
        sigmas: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """A latent from noise, over a part of the steps if asked."""
        from app.diffusion.sampling import window

        levels = window(
            self.sigmas if sigmas is None else sigmas, start_step, last_step, force_full_denoise=force_full_denoise
        )
        if len(levels) < 2:
            return torch.zeros_like(noise) if latent_image is None else latent_image
        return sample(
            self.model,
            noise,
            positive,
            negative,
            cfg,
            self.device,
            sampler_object(self.sampler),
            levels,
            self.model_options,
            latent_image=latent_image,
            denoise_mask=denoise_mask,
            callback=callback,
            disable_pbar=disable_pbar,
            seed=seed,
        )
