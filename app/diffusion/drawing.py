"""Draws a latent: model, conditioning, seed and schedule in, the steps of a sampler out.

B pictures, C latent channels, h × w latent pixels. Latents outside are the first stage's own, float32 on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from app.diffusion.control import Company, both_sides, controls_of, with_controls
from app.diffusion.denoiser import Denoiser, Step
from app.diffusion.given import checked_conditioning, checked_latent, checked_levels, fall, finite, naming
from app.diffusion.guidance.attention_bias import with_biases
from app.diffusion.guidance.boxes import with_boxes
from app.diffusion.guidance.compose import guided_denoiser, sided_denoiser
from app.diffusion.guidance.conditions import Condition, Entry, conditions_of
from app.diffusion.guidance.hooks import GuidanceHooks
from app.diffusion.guidance.reuse import each_alone
from app.diffusion.guidance.weight_hooks import HookedNetworks
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.samplers import SamplerSpec
from app.diffusion.samplers.catalogue import sampler_named
from app.diffusion.sampling import fit_mask, initial_noise, sample, schedule_for, seeds_for
from app.errors import InvalidRequest

GRID = 8  # pixels per latent pixel that an empty latent is made with, unless it says otherwise
OF_THE_MODEL = "Choose another scheduler; where a node changes how the model is sampled, look at its values."
OF_A_SCHEDULER = "Link noise levels that fall to 0, such as those of Basic Scheduler."
RATIO = "downscale_ratio_spacial"  # the key under which it says so, as users' files spell it


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to sample. The fields are KSampler's; `start`, `end`, `add_noise` and `leave_noise` KSamplerAdvanced's."""

    seed: int = 0
    steps: int = 20
    cfg: float = 8.0
    sampler: str = "euler"
    schedule: str = "simple"
    denoise: float = 1.0
    start: int | None = None
    end: int | None = None
    add_noise: bool = True
    leave_noise: bool = False


def empty_latent(width: int, height: int, count: int = 1, channels: int = 4) -> dict[str, Any]:
    """A LATENT of zeros, (count, channels, height / 8, width / 8); whoever samples it fits it to the model."""
    return {"samples": torch.zeros(count, channels, height // GRID, width // GRID), RATIO: GRID}


@runtime_checkable
class Guiding(Protocol):
    """A model that brings guidance of its own, such as one that a pack has changed."""

    def guided(self, positive: Sequence[Entry], negative: Sequence[Entry], cfg: float, like: Tensor) -> Denoiser:
        """A guided denoiser for latents shaped as `like`, in the model's scale."""
        ...

    def company(self) -> Company:
        """What goes with a run, and is told of its end."""
        ...

    def whole(self, positive: Sequence[Entry], negative: Sequence[Entry], cfg: float) -> Whole | None:
        """Makes all steps of a run, where more than the denoiser is changed; None where our samplers make them."""
        ...


# A run → its steps, in the model's scale.
Whole = Callable[["Drawing"], Iterator[Step]]
# What a run tells conditions that did not say so themselves.
Told = Mapping[str, Any]
NOTHING_TOLD: Told = MappingProxyType({})


class Following(Protocol):
    """Makes the guided denoiser of a run."""

    def __call__(self, like: Tensor, keep_unconditional: bool, told: Told = NOTHING_TOLD, /) -> Denoiser:
        """The denoiser for latents shaped as `like`, in the model's scale.

        `keep_unconditional` asks for one that can also tell its unconditional half. `told` are options that hold for
        all conditions: seed, latent_image and denoise_mask (see `inputs`).
        """
        ...


@dataclass(frozen=True, slots=True)
class Guider:
    """A model and what it follows.

    `company` goes with a run: what steers it besides the prompt, and what the model brings. `whole` makes all steps
    where our samplers do not.
    """

    model: DiffusionModel
    denoiser: Following
    company: tuple[Company, ...] = ()
    whole: Whole | None = None


@dataclass(frozen=True, slots=True)
class SamplerChoice:
    """A sampler, and options that win over its defaults."""

    spec: SamplerSpec
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class NoiseMaker(Protocol):
    """Whatever makes the initial noise; node packs bring their own."""

    def generate_noise(self, latent: Mapping[str, Any]) -> Tensor:
        """Noise for a LATENT, shaped as its samples."""
        ...


@dataclass(frozen=True, slots=True)
class Noise:
    """The initial noise of a seed, or none at all where the seed is None."""

    seed: int | None = None

    def generate_noise(self, latent: Mapping[str, Any]) -> Tensor:
        """Noise for a LATENT, (B, C, h, w) on the CPU."""
        return initial_noise(latent, self.seed or 0, add_noise=self.seed is not None)


def guider(
    model: DiffusionModel,
    positive: Sequence[Entry],
    negative: Sequence[Entry] = (),
    cfg: float = 1.0,
    *,
    inputs: tuple[str, str] = ("positive", "negative"),
) -> Guider:
    """Follows the positive conditioning, away from the negative one; a cfg of 1 needs no negative one.

    Raises:
        InvalidRequest: no conditioning; `inputs` are the names by which it tells which.
    """
    for side, input_name in zip((positive, negative), inputs, strict=True):
        checked_conditioning(side, input_name)

    def denoiser(like: Tensor, keep_unconditional: bool, told: Told = NOTHING_TOLD, /) -> Denoiser:
        if isinstance(model, Guiding):
            _without_hooks(model, [*positive, *negative])
            return model.guided(_telling(positive, told), _telling(negative, told), cfg, like)
        resolve = partial(conditions_for, model, like=like, told=told, networks=HookedNetworks(model))
        with naming(inputs[0]):
            wanted = resolve(positive)
        with naming(inputs[1]):
            unwanted = resolve(both_sides(positive, negative), negative=True)
        return guided_denoiser(
            model.denoiser(),
            wanted,
            unwanted,
            cfg,
            hooks=_hooks(model, told),
            keep_unconditional=keep_unconditional and bool(negative),
            resolve=resolve,
        )

    company: tuple[Company, ...] = tuple(controls_of([positive, negative]))
    if not isinstance(model, Guiding):
        return Guider(model, denoiser, company)
    whole = model.whole(positive, negative, cfg)

    def checked(drawing: Drawing) -> Iterator[Step]:
        _without_hooks(model, [*positive, *negative])
        assert whole is not None
        return whole(drawing)

    return Guider(model, denoiser, (*company, model.company()), checked if whole else None)


def guider_of_sides(
    model: DiffusionModel, said: Mapping[str, Sequence[Entry]], combine: Callable[[Sequence[Tensor]], Tensor]
) -> Guider:
    """Follows several conditionings by a formula over their answers; the last one is what says nothing.

    Raises:
        InvalidRequest: no conditioning, told by its name in `said`.
    """
    for input_name, side in said.items():
        checked_conditioning(side, input_name)
    sides = list(said.values())

    def denoiser(like: Tensor, keep_unconditional: bool, told: Told = NOTHING_TOLD, /) -> Denoiser:
        last = len(sides) - 1
        resolve = partial(conditions_for, model, like=like, told=told, networks=HookedNetworks(model))
        return sided_denoiser(
            model.denoiser(),
            [resolve(side, negative=place == last) for place, side in enumerate(sides)],
            combine,
            hooks=_hooks(model, told),
            resolve=resolve,
        )

    return Guider(model, denoiser, tuple(controls_of(sides)))


def _hooks(model: DiffusionModel, told: Told) -> GuidanceHooks:
    """The model's; where each picture has a seed of its own, such that none depends on the rest of its batch."""
    return model.guidance if isinstance(told.get("seed", 0), int) else each_alone(model.guidance)


def _without_hooks(model: Any, entries: Sequence[Entry]) -> None:
    """Raises InvalidRequest for what a pack's guidance would leave out in silence."""
    if model.guidance != GuidanceHooks():
        raise InvalidRequest(
            "This model is guided by a node pack, which would leave out the built-in guidance nodes before it.",
            remedy="Remove either the pack's node or the built-in ones (FreeU, RescaleCFG and their like).",
        )
    if any(options.get("hooks") for _, options in entries):
        raise InvalidRequest(
            "This model is guided by a node pack, which would leave out the hooks of the conditioning.",
            remedy="Remove either the pack's node or the hooks; Load LoRA works with both.",
        )


def conditions_for(
    model: DiffusionModel,
    entries: Sequence[Entry],
    like: Tensor,
    *,
    networks: HookedNetworks,
    negative: bool = False,
    told: Told = NOTHING_TOLD,
) -> list[Condition]:
    """Conditioning resolved for a model and latents shaped as `like`; `told` holds where an entry says nothing.

    `networks` makes those of the entries' hooks.
    """

    def arguments(features: Tensor, said: Mapping[str, Any]) -> Mapping[str, Any]:
        return model.inputs(features, said, like, negative=negative)

    steered = with_controls(model, _telling(entries, told), like, negative=negative)
    ready = with_boxes(model, with_biases(steered), like)
    return conditions_of(ready, model.sampling, like, arguments, networks.of)


def _telling(entries: Sequence[Entry], told: Told) -> list[Entry]:
    return [[features, {**told, **said}] for features, said in entries]


def draw(
    model: DiffusionModel,
    positive: Sequence[Entry],
    negative: Sequence[Entry],
    latent: Mapping[str, Any],
    recipe: Recipe,
) -> Drawing:
    """Everything ready to sample. Iterate over the drawing for its steps, then take its `result`.

    Raises:
        InvalidRequest: an unknown sampler or schedule, a seed out of range, a latent of another model, a latent,
            conditioning or noise levels that cannot be computed with.
    """
    with naming("sampler_name"):
        sampler = sampler_named(recipe.sampler)
    with naming("scheduler"):
        levels = schedule_for(
            sampler,
            recipe.schedule,
            model.sampling,
            recipe.steps,
            denoise=recipe.denoise,
            start=recipe.start,
            end=recipe.end,
            force_full_denoise=not recipe.leave_noise,
        )
        checked_levels(levels, OF_THE_MODEL)
    follows = guider(model, positive, negative, recipe.cfg)
    seed = recipe.seed if recipe.add_noise else None
    drawing = draw_levels(follows, latent, levels, SamplerChoice(sampler), seed, step_seed=recipe.seed)
    drawing.told = f"sampler {recipe.sampler}, scheduler {recipe.schedule}, cfg {recipe.cfg}"
    drawing.levels_from = "scheduler"
    return drawing


def draw_levels(
    follows: Guider,
    latent: Mapping[str, Any],
    levels: Tensor,
    sampler: SamplerChoice,
    seed: int | None,
    *,
    step_seed: int | None = None,
    noise_from: NoiseMaker | None = None,
) -> Drawing:
    """As `draw`, along given noise levels (n + 1,).

    `seed` is that of the initial noise, None for none; `step_seed` that of the noise in the steps, by default the same;
    `noise_from` makes the initial noise in the seed's place.
    """
    with naming("sigmas"):
        checked_levels(levels, OF_A_SCHEDULER)
    with naming("latent_image"):
        samples = fitted(latent, follows.model)
    made = noise_from or Noise(seed)
    noise = made.generate_noise({**latent, "samples": samples})
    steps = step_seed if step_seed is not None else seed or 0
    return Drawing(follows, {**latent, "samples": samples}, noise, levels, sampler, steps)


class Drawing:
    """A latent on its way. One pass only.

    `latent` is a LATENT that fits the model, `noise` (B, C, h, w), `levels` the noise levels (n + 1,), `told` what a
    failure says of how it came about, and `levels_from` the input that it names where the levels are the reason.
    """

    def __init__(
        self,
        follows: Guider,
        latent: Mapping[str, Any],
        noise: Tensor,
        levels: Tensor,
        sampler: SamplerChoice,
        seed: int,
    ):
        self.model = follows.model
        self.latent = latent
        self.noise = noise
        self.levels = levels
        self.sampler = sampler
        self.seed = seed
        self.told = f"sampler {sampler.spec.name}"
        self.levels_from = "sigmas"
        self._follows = follows
        self._last: Step | None = None

    @property
    def networks(self) -> list[nn.Module]:
        """The networks that must be where they are computed: the model's, and those that steer it."""
        return [self.model.network, *(net for each in self._follows.company for net in each.networks(self.model))]

    @property
    def total(self) -> int:
        """How many steps there will be; samplers with a step control of their own may make others."""
        return max(0, len(self.levels) - 1)

    def __iter__(self) -> Iterator[Step]:
        try:
            for step in self._made():
                if not finite(step.x):
                    raise self._not_numbers(step)
                self._last = step
                yield step
        finally:
            for each in self._follows.company:
                each.finished()

    def _made(self) -> Iterator[Step]:
        try:
            yield from self._follows.whole(self) if self._follows.whole else self._steps()
        except (ArithmeticError, ValueError) as error:
            if fall(self.levels):
                raise
            raise self._cannot_run() from error

    def _steps(self) -> Iterator[Step]:
        model, device = self.model, _device(self.model)
        samples: Tensor = self.latent["samples"]
        seeds = seeds_for(self.latent, self.seed)
        start = _started(samples, model.latent, alone=not isinstance(seeds, int)).to(device)
        mask = self.latent.get("noise_mask")
        told: dict[str, Any] = {"seed": seeds, "latent_image": start}
        if mask is not None:
            told["denoise_mask"] = fit_mask(mask, start)[:, :1]
        yield from sample(
            self._denoiser(start, told),
            self.noise.to(device),
            start,
            self.levels,
            self.sampler.spec,
            model.sampling,
            mask=None if mask is None else mask.to(device),
            mask_at=model.guidance.mask,
            seed=seeds,
            options=self.sampler.options,
        )

    def _denoiser(self, start: Tensor, told: Told) -> Denoiser:
        keeps = self.sampler.spec.uses_cfg_pp
        if not self.sampler.spec.resizes:
            return self._follows.denoiser(start, keeps, told)
        if "denoise_mask" in told:
            raise InvalidRequest(
                f"The sampler {self.sampler.spec.name} changes the size on the way, so that it cannot keep what a mask "
                "covers.",
                remedy="Choose another sampler, or remove the mask.",
            )
        made: dict[tuple[int, ...], Denoiser] = {tuple(start.shape): self._follows.denoiser(start, keeps, told)}

        def denoise(x: Tensor, sigma: Tensor, /) -> Tensor:
            size = tuple(x.shape)
            if size not in made:
                seed = {"seed": told["seed"]}
                made[size] = self._follows.denoiser(x, keeps, seed)
            return made[size](x, sigma)

        return denoise

    @property
    def result(self) -> dict[str, Any]:
        """The LATENT that came out; what went in where there was no step to take."""
        return dict(self.latent) if self._last is None else self._output(self._last.x)

    @property
    def denoised(self) -> dict[str, Any]:
        """The model's last answer as LATENT: as `result`, but without the noise that may be left in it."""
        return dict(self.latent) if self._last is None else self._output(self._last.denoised)

    def _output(self, x: Tensor) -> dict[str, Any]:
        kept = {key: value for key, value in self.latent.items() if key != RATIO}
        return {**kept, "samples": self.model.latent.from_model(x).cpu()}

    def _cannot_run(self) -> InvalidRequest:
        return InvalidRequest(
            f"The noise levels do not fall from each step to the next, and the sampler {self.sampler.spec.name} cannot "
            f"run along such ({self.told}).",
            remedy="Choose the sampler euler, or make fewer steps, or choose another schedule.",
            input_name=self.levels_from,
        )

    def _not_numbers(self, step: Step) -> InvalidRequest:
        if not fall(self.levels):
            return self._cannot_run()
        return InvalidRequest(
            f"Step {step.index + 1} of {self.total} gave values that are not numbers ({self.told}).",
            remedy="Lower cfg, or choose another sampler or scheduler.",
        )


def _device(model: DiffusionModel) -> torch.device:
    return next(model.network.parameters()).device


def fitted(latent: Mapping[str, Any], model: DiffusionModel) -> Tensor:
    """The samples of a LATENT in the model's channels; an empty one also in the model's size for the same pixels.

    Raises:
        InvalidRequest: no latent of pictures, one whose values are no numbers, or one with content and another number
            of channels.
    """
    samples = checked_latent(latent)
    if RATIO in latent and not bool(samples.any()):
        samples = _regridded(samples, int(latent[RATIO]), model.latent)
    return model.fit(samples).float()


def _regridded(samples: Tensor, ratio: int, format: LatentFormat) -> Tensor:
    if ratio == format.factor:
        return samples
    height, width = (max(1, side * ratio // format.factor) for side in samples.shape[-2:])
    return samples.new_zeros(*samples.shape[:-2], height, width)


def _started(samples: Tensor, format: LatentFormat, *, alone: bool) -> Tensor:
    """Samples in the model's scale; an empty batch stays zero, as shifting it would put a colour where nothing is.

    With `alone` each picture is looked at by itself, so that it starts as it would without the others.
    """
    filled = samples.flatten(1).any(dim=1) if alone else samples.any()[None]
    return torch.where(filled[:, None, None, None], format.to_model(samples), samples)


def noised(model: DiffusionModel, latent: Mapping[str, Any], noise: Noise, levels: Tensor) -> dict[str, Any]:
    """A LATENT with as much noise as falls away along the levels; the first one's, where there is only one."""
    with naming("sigmas"):
        checked_levels(levels, OF_A_SCHEDULER)
    if not len(levels):
        return dict(latent)
    with naming("latent_image"):
        samples = fitted(latent, model)
    start = _started(samples, model.latent, alone=not isinstance(seeds_for(latent, 0), int))
    scale = (levels[0] - levels[-1]).abs() if len(levels) > 1 else levels[0]
    drawn = noise.generate_noise({**latent, "samples": samples})
    noisy = model.latent.from_model(model.sampling.noise_scaling(scale, drawn, start))
    return {**{key: value for key, value in latent.items() if key != RATIO}, "samples": torch.nan_to_num(noisy)}
