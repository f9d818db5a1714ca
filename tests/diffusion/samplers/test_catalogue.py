from __future__ import annotations

import pytest
import torch

from app.diffusion.guidance import Guided
from app.diffusion.noise import BrownianNoise, GaussianNoise
from app.diffusion.process import FLOW, VE
from app.diffusion.samplers import DEFAULT_SAMPLER, SAMPLERS, sampler_named
from app.errors import InvalidRequest

NAMES = """euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 exp_heun_2_x0 exp_heun_2_x0_sde dpm_2
dpm_2_ancestral lms dpm_fast dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m
dpmpp_2m_cfg_pp dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu
ddpm lcm ipndm ipndm_v deis cfgpp_ud10_ab res_multistep res_multistep_cfg_pp res_multistep_ancestral
res_multistep_ancestral_cfg_pp gradient_estimation gradient_estimation_cfg_pp er_sde seeds_2 seeds_3 sa_solver
sa_solver_pece ddim uni_pc uni_pc_bh2"""


def test_names_and_order_are_those_that_workflows_use():
    assert list(SAMPLERS) == NAMES.split()
    assert len(SAMPLERS) == 45
    assert DEFAULT_SAMPLER == "euler"


def test_extra_levels_are_asked_for_where_the_last_one_would_be_undershot():
    assert {n for n, s in SAMPLERS.items() if s.needs_extra_sigma} == {
        "dpm_2",
        "dpm_2_ancestral",
        "uni_pc",
        "uni_pc_bh2",
    }


def test_an_unknown_name_lists_the_known():
    with pytest.raises(InvalidRequest, match="euler"):
        sampler_named("eular")


@pytest.mark.parametrize("spec", SAMPLERS.values(), ids=lambda s: s.name)
def test_every_sampler_reaches_a_constant_target(spec, karras, final):
    target = torch.full((1, 4, 3, 3), 0.7)
    guided = Guided(lambda x, s: (target, target), lambda yes, no, x, s: yes)
    x = 14.6 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    options = dict(spec.defaults)
    if spec.noise.startswith("brownian"):
        options["noise"] = BrownianNoise(x, 1, 0.03, 14.6)
    elif spec.noise != "none":
        options["noise"] = GaussianNoise(x, 1)
    result = final(spec.function(guided, x, karras(8, 0.03, 14.6).float(), **options))
    # The two that stop at the last positive level leave its noise.
    assert torch.allclose(result, target, atol=0.2 if spec.name in ("dpm_fast", "dpm_adaptive") else 5e-3)


@pytest.mark.parametrize("spec", SAMPLERS.values(), ids=lambda s: s.name)
def test_every_result_is_independent_of_the_rest_of_the_batch_without_noise(spec, mixture, karras, final):
    if spec.stochastic or spec.own_steps:
        return
    guided = Guided(lambda x, s: (mixture(x, s), mixture(x, s)), lambda yes, no, x, s: yes)
    x, sigmas = mixture.start(10.0), karras(6)
    together = final(spec.function(guided, x, sigmas, **spec.defaults))
    alone = final(spec.function(guided, x[:1], sigmas, **spec.defaults))
    assert torch.allclose(together[:1], alone, atol=1e-12)


@pytest.mark.parametrize("process", [VE, FLOW], ids=["ve", "flow"])
@pytest.mark.parametrize("spec", SAMPLERS.values(), ids=lambda s: s.name)
def test_levels_stay_on_the_cpu_while_latents_are_elsewhere(spec, process):
    """On the meta device a read of a latent's values, or a mix of devices, is an error."""
    if spec.own_steps:
        return
    x = torch.zeros(1, 4, 2, 2, device="meta")
    guided = Guided(lambda x, s: (x * 0.5, x * 0.25), lambda yes, no, x, s: yes)
    options = dict(spec.defaults)
    if spec.uses_process:
        options["process"] = process
    if spec.noise != "none":
        options["noise"] = lambda a, b: torch.zeros_like(x)
    sigmas = torch.linspace(1, 0, 7)
    *_, step = spec.function(guided, x, sigmas, **options)
    assert step.x.device.type == "meta"
