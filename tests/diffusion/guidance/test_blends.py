from __future__ import annotations

import pytest
import torch

from app.diffusion.guidance.blends import (
    AdaptiveProjected,
    along,
    perpendicular_negative,
    rescale,
    tangential,
    zero_star,
)
from app.diffusion.guidance.classifier_free import blend, rescaled_velocity

GENERATOR = torch.Generator().manual_seed(0)
YES, NO, X = (torch.randn(3, 4, 5, 5, generator=GENERATOR) for _ in range(3))
SIGMA = torch.tensor(2.0)


def inner(a, b):
    return (a * b).flatten(1).sum(1)


def test_along_leaves_a_perpendicular_rest():
    assert inner(YES - along(YES, NO), NO).abs().max() < 1e-4
    assert torch.allclose(along(2 * NO, NO), 2 * NO, atol=1e-5)


def test_rescale_is_the_velocity_form():
    expected = rescaled_velocity(YES, NO, X, SIGMA, scale=4.0, multiplier=0.7)
    assert torch.equal(rescale(4.0)(YES, NO, X, SIGMA), expected)


def test_perp_neg_ignores_what_both_prompts_say():
    empty = torch.zeros_like(YES)
    assert torch.allclose(perpendicular_negative(YES, 0.5 * YES, empty, scale=3.0), 3 * YES, atol=1e-5)
    away = NO - along(NO, YES)
    assert torch.allclose(perpendicular_negative(YES, NO, empty, scale=3.0), 3 * (YES - away), atol=1e-4)


def test_zero_star_is_plain_guidance_when_the_fit_is_perfect():
    no = X - (X - YES + 0)
    assert torch.allclose(zero_star(3.0)(YES, no, X, SIGMA), YES, atol=1e-5)
    half = X - 0.5 * (X - YES)
    assert torch.allclose(zero_star(3.0)(YES, half, X, SIGMA), YES, atol=1e-4)


def test_tangential_keeps_a_negative_that_points_the_same_way():
    no = X - 0.5 * (X - YES)
    assert torch.allclose(tangential(3.0)(YES, no, X, SIGMA), blend(YES, no, 3.0), atol=1e-4)
    assert not torch.allclose(tangential(3.0)(YES, NO, X, SIGMA), blend(YES, NO, 3.0), atol=1e-2)


def test_apg_without_its_ideas_is_plain_guidance():
    plain = AdaptiveProjected(3.0, eta=1.0, norm_threshold=0.0)
    assert torch.allclose(plain(YES, NO, X, SIGMA), blend(YES, NO, 3.0), atol=1e-5)


def test_apg_bounds_and_projects():
    bounded = AdaptiveProjected(2.0, norm_threshold=0.5)(YES, NO, X, SIGMA) - YES
    assert inner(bounded, bounded).sqrt().tolist() == pytest.approx([0.5] * 3, rel=1e-4)
    projected = AdaptiveProjected(2.0, eta=0.0, norm_threshold=0.0)(YES, NO, X, SIGMA) - YES
    assert inner(projected, YES).abs().max() < 1e-4


def test_apg_momentum_lasts_within_a_run_only():
    apg = AdaptiveProjected(2.0, norm_threshold=0.0, momentum=-0.5)
    first = apg(YES, NO, X, torch.tensor(2.0))
    second = apg(YES, NO, X, torch.tensor(1.0))
    assert torch.allclose(second - YES, (first - YES) * 0.5, atol=1e-5)
    assert torch.allclose(apg(YES, NO, X, torch.tensor(2.0)), first, atol=1e-6)


@pytest.mark.parametrize("combine", [rescale(3.0), zero_star(3.0), tangential(3.0), AdaptiveProjected(3.0)])
def test_a_picture_does_not_depend_on_its_batch(combine):
    together = combine(YES, NO, X, SIGMA)
    assert torch.allclose(together[:1], combine(YES[:1], NO[:1], X[:1], SIGMA), atol=1e-5)
