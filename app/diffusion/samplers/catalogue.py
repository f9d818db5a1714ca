"""Every sampler that a node offers by name, in ComfyUI's order, with what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import torch

from app.diffusion.denoiser import Step
from app.diffusion.parameterization import ModelSampling
from app.diffusion.samplers.cfg_pp import (
    dpmpp_2m_cfg_pp,
    dpmpp_2s_ancestral_cfg_pp,
    euler_ancestral_cfg_pp,
    euler_cfg_pp,
    gradient_estimation_cfg_pp,
    res_multistep_ancestral_cfg_pp,
    res_multistep_cfg_pp,
)
from app.diffusion.samplers.cfg_pp_adams import cfgpp_ud10_ab
from app.diffusion.samplers.dpm_solver import dpm_adaptive, dpm_fast
from app.diffusion.samplers.dpmpp import dpmpp_2m, dpmpp_2s_ancestral
from app.diffusion.samplers.dpmpp_sde import dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde
from app.diffusion.samplers.er_sde import er_sde
from app.diffusion.samplers.euler import euler, euler_ancestral
from app.diffusion.samplers.few_steps import ddpm, lcm
from app.diffusion.samplers.heun import dpm_2, dpm_2_ancestral, heun, heunpp2
from app.diffusion.samplers.multistep import deis, ipndm, ipndm_v, lms
from app.diffusion.samplers.res import gradient_estimation, res_multistep, res_multistep_ancestral
from app.diffusion.samplers.sa_solver import sa_solver, sa_solver_pece, stochastic_between
from app.diffusion.samplers.seeds import exp_heun_2_x0, exp_heun_2_x0_sde, seeds_2, seeds_3
from app.diffusion.samplers.unipc import uni_pc, uni_pc_bh2
from app.errors import InvalidRequest

SamplerFunction = Callable[..., Iterator[Step]]


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler and how to call it.

    `noise` says what noise it draws: none of its own, independent draws, or Brownian increments on the CPU or on the
    model's device. `uses_process` tells that its formulas differ between variance-exploding and flow models.
    `needs_extra_sigma`: its schedule is made one step longer and loses the last level above zero. `own_steps`: it
    does not keep to the schedule's number of steps. `options_for`: further defaults that depend on the model.
    `inpaint_noise_offset`: added to the seed for the noise of what an inpaint mask keeps; None keeps the first noise.
    `resizes`: the latent changes its size on the way.
    """

    name: str
    function: SamplerFunction
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    evaluations: int = 1
    noise: Literal["none", "optional", "gaussian", "brownian", "brownian_device"] = "none"
    uses_process: bool = False
    uses_cfg_pp: bool = False
    needs_extra_sigma: bool = False
    own_steps: bool = False
    options_for: Callable[[ModelSampling], Mapping[str, Any]] | None = None
    inpaint_noise_offset: int | None = None
    resizes: bool = False

    @property
    def stochastic(self) -> bool:
        """Whether two runs from the same noise can differ by their step noise."""
        return self.noise not in ("none", "optional")


def _on_both(
    name: str, function: SamplerFunction, *, defaults: Mapping[str, Any] = MappingProxyType({}), evaluations: int = 1
) -> tuple[SamplerSpec, SamplerSpec]:
    """A sampler on Brownian noise, drawn on the CPU, and its "_gpu" twin that draws on the model's device."""
    cpu = SamplerSpec(name, function, defaults, evaluations, noise="brownian", uses_process=True)
    return cpu, replace(cpu, name=f"{name}_gpu", noise="brownian_device")


def _tau_of(sampling: ModelSampling) -> dict[str, Any]:
    """SA-Solver is stochastic between 20 % and 80 % of the way."""
    ratios = (sampling.process.ratio(torch.tensor(sampling.percent_to_sigma(p))).item() for p in (0.2, 0.8))
    return {"tau": stochastic_between(*ratios)}


_SPECS = (
    SamplerSpec("euler", euler, noise="optional"),
    SamplerSpec("euler_cfg_pp", euler_cfg_pp, uses_process=True, uses_cfg_pp=True),
    SamplerSpec("euler_ancestral", euler_ancestral, noise="gaussian", uses_process=True),
    SamplerSpec(
        "euler_ancestral_cfg_pp",
        euler_ancestral_cfg_pp,
        noise="gaussian",
        uses_process=True,
        uses_cfg_pp=True,
    ),
    SamplerSpec("heun", heun, evaluations=2, noise="optional"),
    SamplerSpec("heunpp2", heunpp2, evaluations=3, noise="optional"),
    SamplerSpec("exp_heun_2_x0", exp_heun_2_x0, evaluations=2, uses_process=True),
    SamplerSpec("exp_heun_2_x0_sde", exp_heun_2_x0_sde, evaluations=2, noise="gaussian", uses_process=True),
    SamplerSpec("dpm_2", dpm_2, evaluations=2, noise="optional", needs_extra_sigma=True),
    SamplerSpec(
        "dpm_2_ancestral",
        dpm_2_ancestral,
        evaluations=2,
        noise="gaussian",
        uses_process=True,
        needs_extra_sigma=True,
    ),
    SamplerSpec("lms", lms),
    SamplerSpec("dpm_fast", dpm_fast, noise="optional"),
    SamplerSpec("dpm_adaptive", dpm_adaptive, evaluations=3, noise="optional", own_steps=True),
    SamplerSpec("dpmpp_2s_ancestral", dpmpp_2s_ancestral, evaluations=2, noise="gaussian", uses_process=True),
    SamplerSpec(
        "dpmpp_2s_ancestral_cfg_pp",
        dpmpp_2s_ancestral_cfg_pp,
        evaluations=2,
        noise="gaussian",
        uses_process=True,
        uses_cfg_pp=True,
    ),
    *_on_both("dpmpp_sde", dpmpp_sde, evaluations=2),
    SamplerSpec("dpmpp_2m", dpmpp_2m),
    SamplerSpec("dpmpp_2m_cfg_pp", dpmpp_2m_cfg_pp, uses_cfg_pp=True),
    *_on_both("dpmpp_2m_sde", dpmpp_2m_sde),
    *_on_both("dpmpp_2m_sde_heun", dpmpp_2m_sde, defaults={"solver_type": "heun"}),
    *_on_both("dpmpp_3m_sde", dpmpp_3m_sde),
    SamplerSpec("ddpm", ddpm, noise="gaussian", uses_process=True),
    SamplerSpec("lcm", lcm, noise="gaussian", uses_process=True),
    SamplerSpec("ipndm", ipndm),
    SamplerSpec("ipndm_v", ipndm_v),
    SamplerSpec("deis", deis),
    # Without `uses_cfg_pp`: at a scale of 1 its negative side is left out on purpose, for distilled models.
    SamplerSpec("cfgpp_ud10_ab", cfgpp_ud10_ab, uses_process=True),
    SamplerSpec("res_multistep", res_multistep, uses_process=True),
    SamplerSpec("res_multistep_cfg_pp", res_multistep_cfg_pp, uses_process=True, uses_cfg_pp=True),
    SamplerSpec("res_multistep_ancestral", res_multistep_ancestral, noise="gaussian", uses_process=True),
    SamplerSpec(
        "res_multistep_ancestral_cfg_pp",
        res_multistep_ancestral_cfg_pp,
        noise="gaussian",
        uses_process=True,
        uses_cfg_pp=True,
    ),
    SamplerSpec("gradient_estimation", gradient_estimation),
    SamplerSpec("gradient_estimation_cfg_pp", gradient_estimation_cfg_pp, uses_cfg_pp=True),
    SamplerSpec("er_sde", er_sde, noise="gaussian", uses_process=True),
    SamplerSpec("seeds_2", seeds_2, evaluations=2, noise="gaussian", uses_process=True),
    SamplerSpec("seeds_3", seeds_3, evaluations=3, noise="gaussian", uses_process=True),
    SamplerSpec("sa_solver", sa_solver, noise="gaussian", uses_process=True, options_for=_tau_of),
    SamplerSpec(
        "sa_solver_pece",
        sa_solver_pece,
        evaluations=2,
        noise="gaussian",
        uses_process=True,
        options_for=_tau_of,
    ),
    SamplerSpec("ddim", euler, noise="optional", inpaint_noise_offset=1),
    SamplerSpec("uni_pc", uni_pc, needs_extra_sigma=True),
    SamplerSpec("uni_pc_bh2", uni_pc_bh2, needs_extra_sigma=True),
)
SAMPLERS: Mapping[str, SamplerSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
DEFAULT_SAMPLER = "euler"


def sampler_named(name: str) -> SamplerSpec:
    """The sampler of this name; raises InvalidRequest that lists the names."""
    if name not in SAMPLERS:
        raise InvalidRequest(f"No sampler is called {name!r}.", remedy=f"Choose one of: {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]
