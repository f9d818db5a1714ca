from __future__ import annotations

import pytest
import torch

from app.diffusion import parameterization as p
from app.diffusion.parameterization.model_sampling import flux_shift
from app.diffusion.process import FLOW, VE
from app.errors import InvalidRequest


def test_stable_diffusion_levels():
    sampling = p.discrete()
    assert sampling.sigma_min == pytest.approx(0.0292, abs=1e-4)
    assert sampling.sigma_max == pytest.approx(14.6146, abs=1e-4)
    assert len(sampling.sigmas) == 1000


def test_zero_terminal_levels_stay_finite():
    sampling = p.discrete(p.V, zero_terminal_snr=True)
    assert sampling.sigma_min == pytest.approx(0.0292, abs=1e-4)
    assert sampling.sigma_max == pytest.approx(4518.76, rel=1e-4)


def test_processes():
    assert p.discrete().process is VE
    assert p.flow().process is FLOW
    assert p.cosmos_flow().process is VE


def test_max_denoise_is_told_with_a_tolerance():
    sampling = p.discrete()
    top = torch.tensor(sampling.sigma_max)
    assert sampling.is_max_denoise(top * (1 - 5e-6))
    assert sampling.is_max_denoise(top * 2)
    assert not sampling.is_max_denoise(top * 0.999)


@pytest.mark.parametrize("sampling", [p.flow(), p.flow(3.0), p.flux(), p.discrete()], ids=["flow", "sd3", "flux", "sd"])
def test_a_step_on_the_end_of_a_range_belongs_to_it(sampling):
    """Schedules are float32, so the level at a percentage must be one of theirs and not lie between two."""
    for percent in torch.linspace(0.01, 0.99, 99).tolist():
        level = sampling.percent_to_sigma(percent)
        assert level == torch.tensor(level, dtype=torch.float32).item()
    shifted = sampling.sigmas
    if len(shifted) == 1000 and sampling.prediction is p.FLOW:
        # Every tenth level of the table is that of a whole percentage, to the bit or its neighbour's.
        parts = torch.tensor([sampling.percent_to_sigma(1 - i / 100) for i in range(1, 100)])
        torch.testing.assert_close(parts, shifted[9:999:10][: len(parts)], rtol=2e-7, atol=0)


def test_given_betas_and_unknown_names():
    own = p.discrete(betas=torch.tensor([0.1, 0.5]))
    assert own.sigmas.tolist() == pytest.approx([(0.1 / 0.9) ** 0.5, (0.55 / 0.45) ** 0.5])
    with pytest.raises(InvalidRequest, match="scaled"):
        p.discrete(beta_schedule="scaled")


@pytest.mark.parametrize(("side", "shift"), [(256, 0.5), (1024, 1.15)])
def test_flux_shift_grows_with_the_picture(side, shift):
    assert flux_shift(side, side) == pytest.approx(shift)


def test_ranges_of_the_continuous_families():
    assert p.continuous_edm().sigma_max == pytest.approx(80)
    assert p.continuous_v().sigma_min == pytest.approx(0.03)
    assert p.cascade(2.0).sigma_min == pytest.approx(0.01, rel=1e-2)
    cosmos = p.cosmos_flow()
    assert cosmos.timestep(torch.tensor(3.0)).item() == pytest.approx(0.75)
    assert cosmos.sigma(torch.tensor(0.75)).item() == pytest.approx(3.0)
    assert cosmos.percent_to_sigma(1.0) == 0.0
