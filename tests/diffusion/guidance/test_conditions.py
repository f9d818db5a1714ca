from __future__ import annotations

import pytest
import torch

from app.diffusion.guidance.conditions import Area, Condition, conditions_of, matched
from app.diffusion.parameterization import discrete, flow
from app.diffusion.schedules import sigmas

SD = discrete()
LATENT = torch.zeros(2, 4, 32, 48)
PROMPT = torch.ones(1, 7, 3)


def resolve(**options):
    (condition,) = conditions_of([[PROMPT, options]], SD, LATENT, lambda tensor, _: {"context": tensor})
    return condition


def test_a_plain_prompt_counts_everywhere_and_always():
    condition = resolve()
    assert condition.active(1e12)
    assert condition.active(0.0)
    assert condition.weight(LATENT).unique().tolist() == [1.0]


def test_time_ranges_include_both_ends():
    condition = resolve(start_percent=0.2, end_percent=0.6)
    high, low = SD.percent_to_sigma(0.2), SD.percent_to_sigma(0.6)
    assert [condition.active(s) for s in (high * 1.01, high, low, low * 0.99)] == [False, True, True, False]


@pytest.mark.parametrize(("steps", "end"), [(20, 0.05), (20, 0.35), (50, 0.06), (10, 0.1)])
def test_a_step_of_a_flow_on_the_end_of_a_range_is_inside(steps, end):
    """0.95 of float32 lies below 0.95 of float64."""
    sampling = flow()
    (condition,) = conditions_of([[PROMPT, {"end_percent": end}]], sampling, LATENT, lambda tensor, _: {})
    active = [condition.active(float(level)) for level in sigmas("simple", sampling, steps)]
    assert active == [place <= round(end * steps) for place in range(steps + 1)]


@pytest.mark.parametrize(
    ("given", "area"),
    [
        ((8, 16, 4, 2), Area(8, 16, 4, 2)),
        (("percentage", 0.5, 0.25, 0.5, 0.0), Area(16, 12, 16, 0)),
        ((40, 60, 10, 10), Area(22, 38, 10, 10)),
        (("percentage", 0.001, 1.0, 0.0, 0.0), Area(1, 48, 0, 0)),
    ],
)
def test_areas_are_cut_to_the_latent(given, area):
    assert resolve(area=given).area == area


def test_areas_fade_in_but_not_at_the_border():
    weight = resolve(area=(32, 24, 0, 24), strength=2.0).weight(LATENT)[0, 0]
    assert weight.shape == (32, 24)
    # min(8, 24 // 4) cells on the inner side only.
    assert weight[5, :7].tolist() == pytest.approx([2 * (i + 1) / 6 for i in range(6)] + [2.0])
    assert weight[:, -1].unique().tolist() == [2.0]


def test_masks_are_fitted_and_weighed():
    mask = torch.zeros(64, 96)
    mask[:, 48:] = 1
    weight = resolve(mask=mask, mask_strength=0.5, strength=2.0).weight(LATENT)
    assert weight.shape == (1, 1, 32, 48)
    assert weight[0, 0, 0, 0] == 0
    assert weight[0, 0, 0, -1] == 1.0


def test_a_mask_can_give_the_area():
    mask = torch.zeros(1, 32, 48)
    mask[:, 10:14, 20:40] = 1
    assert resolve(mask=mask, set_area_to_bounds=True).area == Area(8, 20, 10, 20)
    assert resolve(mask=torch.zeros(1, 32, 48), set_area_to_bounds=True).area == Area(8, 8, 0, 0)


def test_the_other_side_answers_the_same_areas():
    area, wide = Area(8, 8, 0, 0), Area(16, 16, 0, 0)
    negative = [Condition({"context": PROMPT}), Condition({"context": PROMPT * 2}, area=wide)]
    result = matched(negative, [Condition({}, area=area), Condition({}, area=area), Condition({})])
    assert [c.area for c in result] == [None, wide, area]
    assert torch.equal(result[-1].arguments["context"], PROMPT * 2)
    assert matched(negative, [Condition({}, area=wide)]) == negative
