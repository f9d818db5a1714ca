from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from app.diffusion.guidance.hooks import Answers
from app.diffusion.guidance.perturbed import (
    blurred,
    gaussian,
    grid_of,
    perturbed_attention,
    self_attention_guidance,
    skip_layers,
    within,
    without_blocks,
)
from app.diffusion.models.hooks import Looking, NetworkHooks, Place

X = torch.zeros(1, 4, 8, 8)
NONE = NetworkHooks()
MIDDLE = Looking("attn1", Place("middle", 0), 0, 2)


def found(ask, sigma: float = 1.0, **parts: Tensor) -> Answers:
    return Answers(
        **{"positive": X + 3, "negative": X + 1, **parts}, x=X, sigma=torch.tensor(sigma), scale=2.0, ask=ask
    )


def attention(hooks: NetworkHooks, looking: Looking, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    usual = lambda q, k, v: q + k + v  # noqa: E731
    for hook in hooks.attend:
        usual = hook(looking, usual)
    return usual(q, k, v)


def test_perturbed_attention_pushes_away_from_an_answer_without_attention_in_the_middle():
    def ask(said, x, hooks: NetworkHooks = NONE):
        assert said == "positive"
        one, two, three = (torch.full((1, 4, 4), value) for value in (1.0, 2.0, 3.0))
        assert torch.equal(attention(hooks, MIDDLE, one, two, three), three)
        for other in (MIDDLE._replace(name="attn2"), MIDDLE._replace(place=Place("input", 1))):
            assert torch.equal(attention(hooks, other, one, two, three), one + two + three)
        return X + 2.5

    assert torch.allclose(perturbed_attention(4.0)(X + 5, found(ask)), X + 5 + 4 * 0.5)


def test_a_scale_of_nothing_asks_nothing():
    def ask(*said):
        raise AssertionError(said)

    assert torch.equal(perturbed_attention(0.0)(X, found(ask)), X)
    assert torch.equal(skip_layers([Place("joint", 7)], 0.0, start=2.0, end=0.5)(X, found(ask)), X)


@pytest.mark.parametrize(("sigma", "changed"), [(2.1, False), (2.0, True), (1.0, True), (0.5, True), (0.4, False)])
def test_skipped_layers_count_for_a_part_of_the_way(sigma: float, changed: bool):
    def ask(said, x, hooks: NetworkHooks = NONE):
        assert hooks.left_out == {Place("joint", 7)}
        return X + 2

    hook = skip_layers([Place("joint", 7)], 3.0, start=2.0, end=0.5)
    assert torch.allclose(hook(X + 5, found(ask, sigma)), X + (8 if changed else 5))
    at = within(without_blocks([Place("joint", 7)]), 2.0, 0.5)
    assert bool(at(sigma)) is changed


def test_rescaling_gives_back_the_deviation_of_the_positive_answer():
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    hook = skip_layers([Place("joint", 7)], 3.0, start=2.0, end=0.5, rescaling=1.0)
    result = hook(5 * noise, found(lambda *said: X, positive=noise))
    assert result.std() == pytest.approx(noise.std().item())


def test_self_attention_guidance_blurs_where_the_middle_looks():
    """Two by two places in the middle for eight by eight; all of them look at the first, so only it is blurred."""
    picture = torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    asked: list[Tensor] = []

    def ask(said, x, hooks: NetworkHooks = NONE):
        assert said == "negative"
        if hooks:
            q = torch.full((1, 4, 4), 1.0)
            k = torch.tensor([9.0, 0, 0, 0])[None, :, None].expand(1, 4, 4)
            attention(hooks, MIDDLE, q, k, k)
            return X
        asked.append(x)
        return X

    result = self_attention_guidance(0.5, 2.0)(X, found(ask, negative=picture))
    smooth = blurred(picture, 9, 2.0) if min(picture.shape[-2:]) > 4 else picture
    degraded = picture.clone()
    degraded[..., :4, :4] = smooth[..., :4, :4]
    assert torch.allclose(asked[0], degraded - picture, atol=1e-6)
    assert torch.allclose(result, 0.5 * degraded, atol=1e-6)


def test_networks_without_such_attention_are_left_alone():
    assert torch.equal(self_attention_guidance(0.5, 2.0)(X + 7, found(lambda *said: X)), X + 7)


@pytest.mark.parametrize(
    ("size", "places"), [((64, 64), (8, 8)), ((13, 17), (7, 9)), ((13, 17), (4, 5)), ((8, 8), (8, 8))]
)
def test_the_grid_of_a_deep_block_is_found(size: tuple[int, int], places: tuple[int, int]):
    assert grid_of(math.prod(places), *size) == places


def test_a_gaussian_sums_to_one_and_keeps_what_is_even():
    assert gaussian(9, 2.0).sum() == pytest.approx(1)
    assert gaussian(9, 0.0).tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert torch.allclose(blurred(X + 3, 9, 2.0), X + 3)
    assert torch.allclose(blurred(torch.ones(1, 2, 3, 3), 9, 2.0), torch.ones(1, 2, 3, 3))
    ratio = gaussian(9, 2.0)[4] / gaussian(9, 2.0)[6]
    assert ratio == pytest.approx(math.exp(4 / 8))
