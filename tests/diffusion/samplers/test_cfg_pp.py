from __future__ import annotations

import pytest
import torch

from app.diffusion.guidance import Guided
from app.diffusion.noise import GaussianNoise
from app.diffusion.process import FLOW
from app.diffusion.samplers import cfg_pp, dpmpp, euler, res

PAIRS = [
    (cfg_pp.euler_cfg_pp, euler.euler, {}, {}),
    (cfg_pp.dpmpp_2m_cfg_pp, dpmpp.dpmpp_2m, {}, {}),
    (cfg_pp.res_multistep_cfg_pp, res.res_multistep, {}, {}),
    (cfg_pp.gradient_estimation_cfg_pp, res.gradient_estimation, {}, {}),
    (cfg_pp.euler_ancestral_cfg_pp, euler.euler_ancestral, {"eta": 1.0}, {"noise": True}),
    (cfg_pp.dpmpp_2s_ancestral_cfg_pp, dpmpp.dpmpp_2s_ancestral, {}, {"noise": True}),
    (cfg_pp.res_multistep_ancestral_cfg_pp, res.res_multistep_ancestral, {}, {"noise": True}),
]


@pytest.mark.parametrize(("guided", "plain", "options", "needs"), PAIRS)
def test_without_guidance_it_is_the_plain_method(mixture, karras, final, guided, plain, options, needs):
    x, sigmas = mixture.start(10.0), karras(8)
    same = Guided(lambda x, s: (mixture(x, s), mixture(x, s)), lambda yes, no, x, s: yes)

    def noise():
        return {"noise": GaussianNoise(x, 3)} if needs else {}

    ours = final(guided(same, x, sigmas, **options, **noise()))
    assert torch.allclose(ours, final(plain(mixture, x, sigmas, **options, **noise())), atol=1e-9)


def test_the_noise_is_the_unconditional_one(final):
    x = torch.tensor([3.0], dtype=torch.float64)
    split = Guided(lambda x, s: (x * 0 + 1.0, x * 0 + 0.5), lambda yes, no, x, s: yes)
    result = final(cfg_pp.euler_cfg_pp(split, x, torch.tensor([2.0, 1.0], dtype=torch.float64)))
    assert result.item() == pytest.approx(1.0 + 1.0 * (3.0 - 0.5) / 2.0)


@pytest.mark.parametrize(("guided", "plain", "options", "needs"), PAIRS)
def test_a_flow_from_pure_noise_stays_finite(final, guided, plain, options, needs):
    x = torch.randn(8, generator=torch.Generator().manual_seed(0))
    split = Guided(lambda x, s: (x * 0 + 1.0, x * 0 + 0.5), lambda yes, no, x, s: yes)
    more: dict[str, object] = {"noise": GaussianNoise(x, 3)} if needs else {}
    if "process" in guided.__annotations__:
        more["process"] = FLOW
    assert torch.isfinite(final(guided(split, x, torch.linspace(1, 0, 7), **options, **more))).all()
