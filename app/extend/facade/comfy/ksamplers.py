"""Samplers as functions of a denoiser with a callback, the form that packs write, over our generators."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, Step
from app.diffusion.drawing import SamplerChoice
from app.diffusion.samplers import SAMPLERS, SamplerSpec
from app.diffusion.sampling import noise_source
from app.extend.facade.host import current_context

KSAMPLER_NAMES: list[str] = [*SAMPLERS]


class Sampler:
    """What turns noise into a latent."""

    def sample(self, *_: Any, **__: Any) -> Tensor:
        """See `KSAMPLER.sample`; subclasses do it their way."""
        raise TypeError(f"The sampler {type(self).__name__} has no sample method.")

    def max_denoise(self, model_wrap: Any, sigmas: Tensor) -> bool:
        """Whether the first level is pure noise."""
        highest, first = float(model_wrap.inner_model.model_sampling.sigma_max), float(sigmas[0])
        return first > highest or abs(first - highest) <= 1e-5 * highest


class KSamplerX0Inpaint:
    """A guided denoiser that keeps what an inpaint mask keeps."""

    def __init__(self, model: Any, sigmas: Tensor) -> None:
        self.inner_model = model
        self.sigmas = sigmas
        self.latent_image: Tensor | None = None
        self.noise: Tensor | None = None

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor,
        denoise_mask: Tensor | None = None,
        model_options: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """The clean latent that is expected under x."""
        options = model_options or {}
        if denoise_mask is None or self.latent_image is None:
            return self.inner_model(x, sigma, model_options=options, seed=seed)
        if "denoise_mask_function" in options:
            extra = {"model": self.inner_model, "sigmas": self.sigmas}
            denoise_mask = options["denoise_mask_function"](sigma, denoise_mask, extra_options=extra)
        mask: Any = denoise_mask
        kept = self.inner_model.inner_model.scale_latent_inpaint(
            x=x, sigma=sigma, noise=self.noise, latent_image=self.latent_image
        )
        out = self.inner_model(x * mask + kept * (1 - mask), sigma, model_options=options, seed=seed)
        return out * mask + self.latent_image * (1 - mask)


class KSAMPLER(Sampler):
    """A sampler of the form function(model, x, sigmas, extra_args, callback, disable, **options)."""

    def __init__(
        self,
        sampler_function: Callable[..., Tensor],
        extra_options: Mapping[str, Any] | None = None,
        inpaint_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.sampler_function = sampler_function
        self.extra_options = dict(extra_options or {})
        self.inpaint_options = dict(inpaint_options or {})

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """The latent after all levels, in the model's scale. `callback(step, x0, x, total)` hears each step."""
        model = KSamplerX0Inpaint(model_wrap, sigmas)
        model.latent_image = latent_image
        model.noise = noise
        if self.inpaint_options.get("random", False) and latent_image is not None:
            generator = torch.Generator("cpu").manual_seed((extra_args.get("seed") or 0) + 1)
            model.noise = torch.randn(noise.shape, generator=generator).to(noise)
        sampling = model_wrap.inner_model.model_sampling
        start = torch.zeros_like(noise) if latent_image is None else latent_image
        x = sampling.noise_scaling(sigmas[0], noise, start, self.max_denoise(model_wrap, sigmas))
        total = len(sigmas) - 1

        def heard(step: Mapping[str, Any]) -> None:
            if callback is not None:
                callback(step["i"], step["denoised"], step["x"], total)

        arguments = {**extra_args, "denoise_mask": denoise_mask}
        samples = self.sampler_function(
            model, x, sigmas, extra_args=arguments, callback=heard, disable=disable_pbar, **self.extra_options
        )
        return sampling.inverse_noise_scaling(sigmas[-1], samples)


class _Split:
    """A guided denoiser of packs as ours, which can tell its unconditional half."""

    def __init__(self, model: Any, extra_args: Mapping[str, Any]) -> None:
        self._model = model
        self._arguments = dict(extra_args)

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        return self._model(x, sigma.to(x.device).expand(len(x)), **self._arguments)

    def split(self, x: Tensor, sigma: Tensor, /) -> tuple[Tensor, Tensor]:
        """(guided, unconditional)."""
        from app.extend.facade.comfy.samplers import listening

        heard: list[Tensor] = []
        options = listening(self._arguments.get("model_options", {}), heard)
        level = sigma.to(x.device).expand(len(x))
        return self._model(x, level, **{**self._arguments, "model_options": options}), heard[0]


def as_function(spec: SamplerSpec) -> Callable[..., Tensor]:
    """One of our samplers as packs call it."""

    def run(
        model: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: Mapping[str, Any] | None = None,
        callback: Callable[[Mapping[str, Any]], None] | None = None,
        disable: bool | None = None,
        **options: Any,
    ) -> Tensor:
        arguments = extra_args or {}
        given: dict[str, Any] = {**spec.defaults}
        base: Any = getattr(getattr(model, "inner_model", None), "inner_model", None)
        if base is not None:
            native = base.native.sampling
            given |= spec.options_for(native) if spec.options_for else {}
            given |= {"process": native.process} if spec.uses_process else {}
        source = options.pop("noise_sampler", None) or noise_source(spec, x, sigmas.cpu(), arguments.get("seed") or 0)
        if source is not None:
            given["noise"] = source
        taken = inspect.signature(spec.function).parameters
        given |= {name: value for name, value in options.items() if name in taken}
        for step in spec.function(_Split(model, arguments), x, sigmas.cpu(), **given):
            x = step.x
            if callback is not None:
                told = {"x": x, "i": step.index, "sigma": step.sigma, "sigma_hat": step.sigma}
                callback({**told, "denoised": step.denoised})
        return x

    return run


def ksampler(
    sampler_name: str, extra_options: Mapping[str, Any] | None = None, inpaint_options: Mapping[str, Any] | None = None
) -> KSAMPLER:
    """A sampler by name: one of ours, or one that a pack has put into `comfy.k_diffusion.sampling`.

    Raises:
        InvalidRequest: neither.
    """
    from app.diffusion.samplers.catalogue import sampler_named
    from app.extend.facade.comfy.k_diffusion import sampling as known

    brought = vars(known).get(f"sample_{sampler_name}")
    if brought is not None:
        return KSAMPLER(brought, extra_options, inpaint_options)
    made = KSAMPLER(as_function(sampler_named(sampler_name)), extra_options, inpaint_options)
    made.native = SamplerChoice(sampler_named(sampler_name), dict(extra_options or {}))  # pyright: ignore
    return made


def sampler_object(name: str) -> KSAMPLER:
    """A sampler by name, with what it needs for inpainting."""
    return ksampler(name, inpaint_options={"random": True} if name == "ddim" else None)


class _Wrapped:
    """One of our denoisers in the place of a guider, for samplers of packs."""

    def __init__(self, denoise: Denoiser) -> None:
        self._denoise = denoise

    def __call__(self, x: Tensor, sigma: Tensor, **_: Any) -> Tensor:
        return self._denoise(x, sigma.flatten()[0])


def native_sampler(sampler: Any) -> SamplerChoice:
    """A pack's sampler for our nodes. Its steps are told as they happen; the generator gives the last one."""

    def run(denoise: Denoiser, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
        last: dict[str, Any] = {"denoised": x, "i": len(sigmas) - 2}
        context = current_context()

        def heard(step: Mapping[str, Any]) -> None:
            last.update(step)
            if context is not None:
                context.progress(int(step["i"]) + 1, len(sigmas) - 1)

        result = sampler.sampler_function(
            _Wrapped(denoise),
            x,
            sigmas.to(x.device),
            extra_args={},
            callback=heard,
            disable=True,
            **sampler.extra_options,
        )
        yield Step(int(last["i"]), sigmas[-2], result, last["denoised"])

    return SamplerChoice(SamplerSpec(type(sampler).__name__, run))
