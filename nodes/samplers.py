"""Samplers with their options."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from app.api import Choice, InvalidRequest, Model, Optionally, Options, Range, SamplerPort, Vae, node
from app.diffusion.drawing import SamplerChoice
from app.diffusion.models.autoencoder_vq import AutoencoderVQ
from app.diffusion.samplers.catalogue import SamplerSpec, sampler_named
from app.diffusion.samplers.cfg_pp import euler_twice_guided
from app.diffusion.samplers.er_sde import scaler_named
from app.diffusion.samplers.few_steps import lcm_growing
from app.diffusion.samplers.plms import plms, with_options
from app.diffusion.samplers.sa_solver import stochastic_between
from app.diffusion.schedules.edits import listed
from app.images.resize import resize

CATEGORY = "sampling/custom_sampling/samplers"
Strength = Annotated[float, Range(0.0, 100.0, step=0.01, round=False)]
Device = Literal["gpu", "cpu"]
Part = Annotated[float, Range(0.0, 1.0, step=0.001)]
Share = Annotated[float, Range(0.0, 1.0, step=0.01)]


def _on(name: str, device: Device) -> SamplerSpec:
    return sampler_named(name if device == "cpu" else f"{name}_gpu")


@node("Sampler DPM++ 3M SDE", category=CATEGORY, id="SamplerDPMPP_3M_SDE")
def sampler_dpmpp_3m_sde(*, eta: Strength = 1.0, s_noise: Strength = 1.0, noise_device: Device) -> SamplerPort:
    """DPM-Solver++ of third order with noise.

    Args:
        noise_device: Where the noise is drawn; on the CPU a seed gives the same picture on every machine.
    """
    return SamplerChoice(_on("dpmpp_3m_sde", noise_device), {"eta": eta, "s_noise": s_noise})


@node("Sampler DPM++ SDE", category=CATEGORY, id="SamplerDPMPP_SDE")
def sampler_dpmpp_sde(
    *, eta: Strength = 1.0, s_noise: Strength = 1.0, r: Strength = 0.5, noise_device: Device
) -> SamplerPort:
    """DPM-Solver++ with noise and two calls a step.

    Args:
        r: Where in the step the second call lies.
        noise_device: Where the noise is drawn; on the CPU a seed gives the same picture on every machine.
    """
    if r <= 0:
        raise InvalidRequest(f"An r of {r} is not above zero.", remedy="Choose 0.5, the middle of the step.")
    return SamplerChoice(_on("dpmpp_sde", noise_device), {"eta": eta, "s_noise": s_noise, "r": r})


@node("Sampler DPM++ 2S Ancestral", category=CATEGORY, id="SamplerDPMPP_2S_Ancestral")
def sampler_dpmpp_2s_ancestral(*, eta: Strength = 1.0, s_noise: Strength = 1.0) -> SamplerPort:
    """DPM-Solver++ with two calls a step, and noise added after each."""
    return SamplerChoice(sampler_named("dpmpp_2s_ancestral"), {"eta": eta, "s_noise": s_noise})


@node("Sampler LMS", category=CATEGORY, id="SamplerLMS")
def sampler_lms(*, order: Annotated[int, Range(1, 100)] = 4) -> SamplerPort:
    """Linear multistep: goes on along the noise of the last steps.

    Args:
        order: How many steps it looks back.
    """
    return SamplerChoice(sampler_named("lms"), {"order": order})


@node("Sampler DPM Adaptative", category=CATEGORY, id="SamplerDPMAdaptative", aliases=("adaptive",))
def sampler_dpm_adaptive(
    *,
    order: Annotated[int, Range(2, 3)] = 3,
    rtol: Strength = 0.05,
    atol: Strength = 0.0078,
    h_init: Strength = 0.05,
    pcoeff: Strength = 0.0,
    icoeff: Strength = 1.0,
    dcoeff: Strength = 0.0,
    accept_safety: Strength = 0.81,
    eta: Strength = 0.0,
    s_noise: Strength = 1.0,
) -> SamplerPort:
    """DPM-Solver that finds its own steps.

    Args:
        rtol: The error that a step may have, relative to the latent.
        atol: The error that it may have besides.
        h_init: The length of the first step.
    """
    options: dict[str, Any] = {"order": order, "rtol": rtol, "atol": atol, "h_init": h_init, "eta": eta}
    control = {"pcoeff": pcoeff, "icoeff": icoeff, "dcoeff": dcoeff, "accept_safety": accept_safety}
    return SamplerChoice(sampler_named("dpm_adaptive"), {**options, **control, "s_noise": s_noise})


@node("Sampler ER-SDE", category=CATEGORY, id="SamplerER_SDE")
def sampler_er_sde(
    *,
    solver_type: Annotated[str, Choice("ER-SDE", "Reverse-time SDE", "ODE")],
    max_stage: Annotated[int, Range(1, 3)] = 3,
    eta: Strength = 1.0,
    s_noise: Strength = 1.0,
) -> SamplerPort:
    """Extended reverse-time SDE.

    Args:
        solver_type: How the noise that is added depends on the level; "ODE" adds none.
        max_stage: The highest order.
    """
    quiet = solver_type == "ODE" or eta == 0
    options = {
        "max_stage": max_stage,
        "noise_scaler": scaler_named(solver_type, eta),
        "s_noise": 0 if quiet else s_noise,
    }
    return SamplerChoice(sampler_named("er_sde"), options)


@node("Sampler SA-Solver", category=CATEGORY, id="SamplerSASolver")
def sampler_sa_solver(
    *,
    model: Model,
    eta: Annotated[float, Range(0.0, 10.0, step=0.01, round=False)] = 1.0,
    sde_start_percent: Part = 0.2,
    sde_end_percent: Part = 0.8,
    s_noise: Strength = 1.0,
    predictor_order: Annotated[int, Range(1, 6)] = 3,
    corrector_order: Annotated[int, Range(0, 6)] = 4,
    use_pece: bool,
    simple_order_2: bool,
) -> SamplerPort:
    """Stochastic Adams solver: predicts from the last steps, then corrects.

    Args:
        eta: How much noise is added between the two parts of the way.
        use_pece: Whether to call the model once more after each correction.
        simple_order_2: Kept for workflows that have it; second order takes its exact weights here.
    """
    ratio = model.sampling.process.ratio
    start, end = (
        float(ratio(torch.tensor(model.sampling.percent_to_sigma(part))))
        for part in (sde_start_percent, sde_end_percent)
    )
    options = {
        "tau": stochastic_between(start, end, eta),
        "s_noise": s_noise,
        "predictor_order": predictor_order,
        "corrector_order": corrector_order,
    }
    return SamplerChoice(sampler_named("sa_solver_pece" if use_pece else "sa_solver"), options)


@node("Sampler Euler Ancestral CFG++", category=CATEGORY, id="SamplerEulerAncestralCFGPP")
def sampler_euler_ancestral_cfg_pp(
    *,
    eta: Annotated[float, Range(0.0, 1.0, step=0.01, round=False)] = 1.0,
    s_noise: Annotated[float, Range(0.0, 10.0, step=0.01, round=False)] = 1.0,
) -> SamplerPort:
    """Euler's method along the unconditional noise, with noise added after every step."""
    return SamplerChoice(sampler_named("euler_ancestral_cfg_pp"), {"eta": eta, "s_noise": s_noise})


@node("SamplerEulerCFG++", category="_for_testing", id="SamplerEulerCFGpp", experimental=True)
def sampler_euler_cfg_pp(*, version: Annotated[str, Choice("regular", "alternative")]) -> SamplerPort:
    """Euler's method along the unconditional noise.

    Args:
        version: "alternative" is Euler's method itself with guidance counted twice.
    """
    if version == "regular":
        return SamplerChoice(sampler_named("euler_cfg_pp"))
    return SamplerChoice(SamplerSpec("euler_twice_guided", euler_twice_guided, uses_cfg_pp=True))


@node("Sampler LCM Upscale", category=CATEGORY, id="SamplerLCMUpscale", aliases=("hires", "enlarge"))
def sampler_lcm_upscale(
    *,
    scale_ratio: Annotated[float, Range(0.1, 20.0, step=0.01, round=False)] = 1.0,
    scale_steps: Annotated[int, Range(-1, 1000, step=1)] = -1,
    upscale_method: Annotated[str, Choice("bislerp", "nearest-exact", "bilinear", "area", "bicubic")],
) -> SamplerPort:
    """The sampler for consistency models (LCM), whose latent grows on the way.

    Args:
        scale_ratio: How many times as large it becomes along each side.
        scale_steps: After how many of the first steps it grows; -1 for half of all.
    """
    spec = SamplerSpec("lcm_upscale", lcm_growing, noise="gaussian", uses_process=True, resizes=True)
    options = {"ratio": scale_ratio, "growing_steps": scale_steps, "resize": partial(resize, method=upscale_method)}
    return SamplerChoice(spec, options)


@node("Sampler DDIM", category=CATEGORY, id="LoomSamplerDDIM", aliases=("ldm", "compvis", "eta"))
def sampler_ddim(
    *,
    eta: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.0,
    temperature: Annotated[float, Range(0.0, 10.0, step=0.01)] = 1.0,
    noise_dropout: Annotated[float, Range(0.0, 0.99, step=0.01)] = 0.0,
    repeat_noise: bool = False,
    temperatures: Annotated[str, Options(multiline=False)] = "",
    quantize_denoised: Annotated[Vae | None, Optionally()] = None,
) -> SamplerPort:
    """DDIM with all options of the first latent diffusion release.

    Args:
        eta: How much noise is added after each step; 1 is the ancestral chain (DDPM).
        temperature: A factor on that noise.
        noise_dropout: Which share of it is left out.
        repeat_noise: Whether all pictures of a batch get the same.
        temperatures: A factor for each step in place of the one for all, with commas between them.
        quantize_denoised: A VQ model's VAE, whose codebook each step's clean latent is put into.
    """
    treated = with_options(
        sampler_named("euler_ancestral").function,
        temperature=listed(temperatures) if temperatures.strip() else temperature,
        noise_dropout=noise_dropout,
        repeat_noise=repeat_noise,
        quantise=None if quantize_denoised is None else _codebook(quantize_denoised),
    )
    spec = replace(sampler_named("euler_ancestral"), name="ddim", function=treated, inpaint_noise_offset=1)
    return SamplerChoice(spec, {"eta": eta})


@node("Sampler PLMS", category=CATEGORY, id="LoomSamplerPLMS", aliases=("ldm", "compvis", "pndm"))
def sampler_plms(*, quantize_denoised: Annotated[Vae | None, Optionally()] = None) -> SamplerPort:
    """Pseudo linear multistep, the fast sampler of the first latent diffusion release.

    Args:
        quantize_denoised: A VQ model's VAE, whose codebook each step's clean latent is put into.
    """
    treated = plms
    if quantize_denoised is not None:
        treated = with_options(plms, quantise=_codebook(quantize_denoised))
    return SamplerChoice(SamplerSpec("plms", treated))


def _codebook(vae: Any) -> Any:
    model = vae.model
    if not isinstance(model, AutoencoderVQ):
        raise InvalidRequest("This VAE has no codebook.", remedy="Link the VAE of a VQ model, or leave the input open.")

    def quantise(latent: Tensor) -> Tensor:
        codes = model.quantize.to(latent.device)
        return codes(latent.to(codes.embedding.weight.dtype)).to(latent)

    return quantise
