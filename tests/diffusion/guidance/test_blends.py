from __future__ import annotations

import pytest
import torch

from app.diffusion.guidance.blends import (
    AdaptiveProjected,
    along,
    directed,
    dual,
    filtered,
    kept_norm,
    perpendicular_negative,
    renormed,
    rescale,
    scaled_noise,
    tangential,
    thresholded,
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


def test_tangential_is_the_projection_on_the_first_right_singular_vector():
    pair = torch.stack([(X - YES).flatten(1), (X - NO).flatten(1)], 1).double()
    main = torch.linalg.svd(pair, full_matrices=False).Vh[:, :1]
    kept = (pair[:, 1:] @ main.mT @ main).reshape(X.shape)
    assert torch.allclose(tangential(0.0)(YES, NO, X, SIGMA), (X - kept).float(), atol=1e-6)
    assert torch.equal(tangential(0.0)(X, X, X, SIGMA), X), "nothing has no direction"


def test_tangential_is_the_same_to_the_last_bit_whatever_the_batch():
    """A half-precision network makes a difference of 1e-2 of a last bit."""
    generator = torch.Generator().manual_seed(3)
    yes, x = (torch.randn(3, 8, 13, 9, generator=generator) for _ in range(2))
    no = yes + 0.2 * torch.randn(yes.shape, generator=generator)
    together = tangential(0.0)(yes, no, x, SIGMA)
    for place in range(3):
        part = slice(place, place + 1)
        assert torch.equal(together[part], tangential(0.0)(yes[part], no[part], x[part], SIGMA))


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


def test_kept_norm_turns_but_does_not_strengthen():
    positive, strong, weak = (torch.full((1, 4, 2, 2), value) for value in (1.0, 5.0, 0.5))
    assert torch.allclose(kept_norm(strong, positive, 0.8), positive * 0.8, atol=1e-5)
    assert torch.allclose(kept_norm(weak, positive, 1.0), weak, atol=1e-5)


def test_thresholding_gives_the_reach_of_the_lower_scale():
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(2, 4, 16, 16, generator=generator)
    high = 3 * low + 1
    result = thresholded(high, low, 1.0)
    assert torch.allclose(result - result.mean((2, 3), keepdim=True), low - low.mean((2, 3), keepdim=True), atol=1e-4)
    assert torch.allclose(result.mean((2, 3)), high.mean((2, 3)), atol=1e-4)
    clamped = thresholded(high, low, 0.9)
    reach = (low - low.mean((2, 3), keepdim=True)).abs().amax((2, 3))
    assert (clamped - high.mean((2, 3), keepdim=True)).abs().amax((2, 3)).sub(reach).abs().max() < 1e-4
    assert torch.allclose(thresholded(low, low, 1.0), low, atol=1e-5), "what reaches no further is left alone"


def test_agreement_with_the_negative_answer_is_guidance_and_opposition_the_positive_one_alone():
    positive, negative = torch.full((1, 4, 2, 2), 2.0), torch.full((1, 4, 2, 2), 1.0)
    assert torch.allclose(directed(positive, negative, 3.0), negative + 3 * (positive - negative), atol=1e-5)
    assert torch.allclose(directed(positive, -negative, 3.0), 3 * positive, atol=1e-5)


def test_two_prompts_have_a_scale_each():
    first, second, nothing = (torch.full((1, 1, 1, 1), value) for value in (5.0, 3.0, 1.0))
    regular = dual(first, second, nothing, scale=2.0, second_scale=4.0, nested=False)
    assert regular.item() == 1 + 4 * 2 + 2 * 2
    nested = dual(first, second, nothing, scale=2.0, second_scale=4.0, nested=True)
    assert nested.item() == 1 + 4 * ((3 + 2 * 2) - 1)


def test_noise_is_divided_and_frequencies_are_scaled():
    x, guided = torch.full((1, 1, 4, 4), 5.0), torch.full((1, 1, 4, 4), 3.0)
    assert torch.allclose(scaled_noise(guided, x, 2.0), torch.full((1, 1, 4, 4), 4.0))
    even = torch.full((1, 1, 8, 8), 2.0)
    stripes = even.clone()
    stripes[..., ::2] *= -1
    assert torch.allclose(filtered(even, 0.5, 3.0, 1), even * 0.5, atol=1e-5)
    assert torch.allclose(filtered(stripes, 0.5, 3.0, 1), stripes * 3, atol=1e-5)


def test_renormed_guidance_is_no_longer_than_the_positive_noise() -> None:
    torch.manual_seed(0)
    yes, no, x = (torch.randn(2, 4, 8, 8) for _ in range(3))
    sigma = torch.tensor(0.7)
    guided = x - blend(yes, no, 6.0)
    for limit in (1.0, 0.5):
        noise = x - renormed(6.0, limit)(yes, no, x, sigma)
        for row, own, free in zip(noise, x - yes, guided, strict=True):
            assert float(row.norm()) == pytest.approx(limit * float(own.norm()), rel=1e-4)
            assert torch.allclose(row / row.norm(), free / free.norm(), atol=1e-6)
    for limit in (0.0, 1e6):
        assert torch.allclose(renormed(6.0, limit)(yes, no, x, sigma), blend(yes, no, 6.0), atol=1e-5)
