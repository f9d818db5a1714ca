"""Runs of our samplers in which packs have a say as a whole: guiders and wrappers around all of the sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from app.diffusion.denoiser import Step
from app.diffusion.drawing import Drawing, SamplerChoice
from app.diffusion.model import DiffusionModel
from app.extend.facade.comfy.control_values import networks_of
from app.extend.facade.comfy.ksamplers import KSAMPLER, as_function
from app.extend.facade.comfy.patcher_extension import WrappersMP
from app.extend.facade.comfy.samplers import CFGGuider
from app.extend.facade.host import current_context

AROUND = (WrappersMP.OUTER_SAMPLE, WrappersMP.PREPARE_SAMPLING, WrappersMP.SAMPLER_SAMPLE)
METHODS = ("sample", "outer_sample", "inner_sample")


class PatchedRun:
    """What a pack's model brings to a run, and what happens at its end; see `control.Company`."""

    def __init__(self, patcher: Any) -> None:
        self._patcher = patcher

    def networks(self, model: DiffusionModel) -> list[nn.Module]:
        """The networks that are loaded together with the model."""
        return networks_of(_Models(self._patcher))

    def finished(self) -> None:
        """What was put in for the run is taken out, and packs are told."""
        if self._patcher.is_running:
            self._patcher.cleanup()


class _Models:
    def __init__(self, patcher: Any) -> None:
        self.get_models: Callable[[], list[Any]] = patcher.get_additional_models


def whole_of_model(
    model: Any, positive: Sequence[Any], negative: Sequence[Any], cfg: float
) -> Callable[[Drawing], Iterator[Step]] | None:
    """All steps with a pack's wrappers around them; None where there are none of that kind."""
    if not any(model.patcher.get_all_wrappers(kind) for kind in AROUND):
        return None

    def run(drawing: Drawing) -> Iterator[Step]:
        from app.extend.facade.comfy.model_patcher import patcher_of

        guider = CFGGuider(patcher_of(model))
        guider.set_conds(positive, negative)
        guider.set_cfg(cfg)
        return sampled(guider, drawing)

    return run


def whole_of_guider(guider: Any) -> Callable[[Drawing], Iterator[Step]] | None:
    """All steps as a pack's guider makes them; None where it changes nothing but what is expected at a level."""
    own = not isinstance(guider, CFGGuider) or any(
        getattr(type(guider), name) is not getattr(CFGGuider, name) for name in METHODS
    )
    wrapped = any(guider.model_patcher.get_all_wrappers(kind) for kind in AROUND)
    return (lambda drawing: sampled(guider, drawing)) if own or wrapped else None


def sampled(guider: Any, drawing: Drawing) -> Iterator[Step]:
    """A run by a pack's guider. Its steps are told as they happen; the iterator gives the last one."""
    context, total = current_context(), drawing.total
    last: dict[str, Any] = {}

    def heard(step: int, denoised: Tensor, x: Tensor, steps: int) -> None:
        last.update(step=step, denoised=denoised)
        if context is not None:
            context.progress(step + 1, total)

    result: Tensor = guider.sample(
        drawing.noise,
        drawing.latent["samples"],
        sampler_of(drawing.sampler),
        drawing.levels,
        denoise_mask=drawing.latent.get("noise_mask"),
        callback=heard,
        disable_pbar=True,
        seed=drawing.seed,
    )
    if total:
        x = drawing.model.latent.to_model(result)
        yield Step(last.get("step", total - 1), drawing.levels[-2], x, last.get("denoised", x))


def sampler_of(choice: SamplerChoice) -> KSAMPLER:
    """One of our samplers as packs call it."""
    made = KSAMPLER(
        as_function(choice.spec), choice.options, {"random": True} if choice.spec.inpaint_noise_offset else None
    )
    made.native = choice  # pyright: ignore[reportAttributeAccessIssue]
    return made
