from __future__ import annotations

import pytest
import torch

from app.diffusion.guidance.differential import differential
from app.diffusion.parameterization import discrete, flow


@pytest.mark.parametrize("sampling", [flow(), discrete()], ids=["flow", "discrete"])
def test_places_join_in_as_the_time_falls_to_their_share(sampling):
    mask = torch.linspace(0, 1, 11).reshape(1, 1, 1, 11)
    levels = torch.cat([sampling.sigmas.flip(0)[::100], torch.zeros(1)])
    at = differential()
    counts = [at(mask, sigma, levels, sampling).sum().item() for sigma in levels[:-1]]
    assert counts[0] == 1, "at first only what may change all the way"
    assert counts == sorted(counts)
    assert at(mask, torch.tensor(sampling.sigma_min), levels, sampling).sum() == 11


def test_a_smaller_strength_mixes_the_soft_mask_in():
    mask = torch.tensor([[[[0.2, 0.8]]]])
    sampling = flow()
    levels = torch.tensor([1.0, 0.5, 0.0])
    hard = differential()(mask, torch.tensor(0.5), levels, sampling)
    assert hard.tolist() == [[[[0.0, 1.0]]]]
    soft = differential(0.25)(mask, torch.tensor(0.5), levels, sampling)
    assert torch.allclose(soft, 0.25 * hard + 0.75 * mask)


def test_a_single_level_opens_everything():
    mask = torch.tensor([[[[0.0, 1.0]]]])
    assert differential()(mask, torch.tensor(1.0), torch.tensor([1.0, 1.0]), flow()).sum() == 2
