from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torchsde  # pyright: ignore[reportMissingTypeStubs]

from app.diffusion.noise import (
    BrownianNoise,
    GaussianNoise,
    dropped,
    generator_for,
    noise_of_images,
    prepare_noise,
    repeated,
    seeds_of_images,
    step_noise,
    tempered,
)
from app.errors import InvalidRequest


def test_noise_is_one_draw_of_the_seeded_generator():
    latent = torch.zeros(2, 4, 8, 8)
    expected = torch.randn(latent.shape, generator=torch.manual_seed(42))
    assert torch.equal(prepare_noise(latent, 42), expected)


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    prepare_noise(torch.zeros(1, 4, 8, 8), 5)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_item_of_a_batch_is_not_the_next_seed():
    latent = torch.zeros(2, 4, 8, 8)
    assert not torch.equal(prepare_noise(latent, 42)[1:], prepare_noise(latent[:1], 43))


@pytest.mark.parametrize(("height", "width", "same"), [(8, 8, True), (6, 2, True), (13, 17, False)])
def test_item_by_item_equals_the_batch_where_items_hold_multiples_of_16(height, width, same):
    latent = torch.zeros(3, 4, height, width)
    alone = prepare_noise(latent, 7, [0, 1, 2])
    assert torch.equal(alone, prepare_noise(latent, 7)) is same


def test_batch_index_picks_and_repeats():
    whole = prepare_noise(torch.zeros(4, 4, 8, 8), 9)
    picked = prepare_noise(torch.zeros(3, 4, 8, 8), 9, [3, 1, 3])
    assert torch.equal(picked, whole[[3, 1, 3]])


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_have_limits(seed):
    with pytest.raises(InvalidRequest, match="seed"):
        prepare_noise(torch.zeros(1), seed)


def test_the_largest_seed_works():
    assert torch.isfinite(torch.randn(3, generator=generator_for(2**64 - 1))).all()
    assert torch.isfinite(step_noise(torch.zeros(3), 2**64 - 1)(torch.tensor(2.0), torch.tensor(1.0))).all()


def test_step_noise_does_not_repeat_the_initial_noise():
    latent = torch.zeros(1, 4, 8, 8)
    first = step_noise(latent, 42)(torch.tensor(2.0), torch.tensor(1.0))
    assert not torch.equal(first, prepare_noise(latent, 42))
    assert torch.equal(first, prepare_noise(latent, 43))


def test_gaussian_draws_follow_each_other():
    like, (a, b) = torch.zeros(5), torch.tensor([2.0, 1.0])
    noise, again = GaussianNoise(like, 3), GaussianNoise(like, 3)
    first, second = noise(a, b), noise(b, a)
    assert not torch.equal(first, second)
    assert torch.equal(again(a, b), first)


def levels(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(v, dtype=torch.float64) for v in values]


def brownian(seed: int = 1, size: int = 3) -> BrownianNoise:
    return BrownianNoise(torch.zeros(size, dtype=torch.float64), seed, 0.03, 14.6)


def test_brownian_increments_add_up():
    a, b, c = levels(10.0, 4.0, 1.0)
    noise = brownian()
    parts = noise(a, b) * 6**0.5 + noise(b, c) * 3**0.5
    assert torch.allclose(parts, noise(a, c) * 9**0.5)


def test_brownian_path_does_not_depend_on_the_questions():
    a, b, c, d = levels(10.0, 4.0, 2.2, 1.0)
    straight, winding = brownian(), brownian()
    winding(c, d)
    winding(a, d)
    assert torch.equal(straight(a, b), winding(a, b))
    assert not torch.equal(straight(a, b), brownian(seed=2)(a, b))


def test_brownian_increments_are_normal_and_independent():
    noise = brownian(size=50_000)
    first, second = noise(*levels(9.0, 3.0)), noise(*levels(3.0, 0.03))
    assert first.std().item() == pytest.approx(1, abs=0.02)
    assert second.std().item() == pytest.approx(1, abs=0.02)
    assert (first * second).mean().item() == pytest.approx(0, abs=0.02)


def test_brownian_steps_far_shorter_than_a_leaf_keep_unit_variance():
    noise = brownian(size=20_000)
    assert noise(*levels(1.0, 1.0 - 1e-3)).std().item() == pytest.approx(1, abs=0.03)


def test_brownian_ends_are_reached():
    assert torch.isfinite(brownian()(*levels(14.6, 0.03))).all()


@pytest.mark.parametrize("seed", [0, 42, 2**64 - 1])
@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (2, 4, 13, 17)])
def test_a_brownian_path_has_the_bits_that_torchsde_gives_it(seed: int, shape: tuple[int, ...]) -> None:
    steps = torch.linspace(14.625, 0.03125, 9)  # ends that six digits hold
    stretches = [*pairwise(steps), (steps[2], steps[6]), (steps[0], steps[-1]), (steps[4] * 0.97, steps[4] * 0.9)]
    like, low = torch.zeros(shape), steps.min()
    tree = torchsde.BrownianTree(low, like, steps.max(), entropy=seed)
    noise = BrownianNoise(like, seed, low.item(), steps.max().item())
    for sigma, after in stretches:
        increment = tree(after, sigma)
        assert isinstance(increment, torch.Tensor)
        theirs = -increment / (after - sigma).abs().sqrt()
        assert torch.equal(noise(sigma, after), theirs)


@pytest.mark.parametrize("size", [(4, 8, 8), (4, 13, 17)])
def test_an_image_with_a_seed_of_its_own_draws_what_it_draws_alone(size: tuple[int, ...]) -> None:
    batch, (a, b) = torch.zeros(3, *size), torch.tensor([2.0, 1.0])
    seeds = seeds_of_images(2**64 - 2, range(3))
    assert seeds == [2**64 - 2, 2**64 - 1, 0]
    first = noise_of_images(batch, seeds)
    steps = step_noise(batch, seeds)
    path = BrownianNoise(batch, seeds, 0.03, 14.6)
    drawn = [steps(a, b), steps(b, b / 2), path(a, b), path(b, b / 2)]
    for k, seed in enumerate(seeds):
        assert torch.equal(first[k : k + 1], prepare_noise(batch[:1], seed))
        alone, walk = step_noise(batch[:1], seed), BrownianNoise(batch[:1], seed, 0.03, 14.6)
        for whole, own in zip(drawn, [alone(a, b), alone(b, b / 2), walk(a, b), walk(b, b / 2)], strict=True):
            assert torch.equal(whole[k : k + 1], own)


def test_repeated_noise_gives_equal_items():
    drawn = repeated(GaussianNoise(torch.zeros(3, 5), 1))(*levels(2.0, 1.0))
    assert torch.equal(drawn, drawn[:1].expand(3, 5))
    assert drawn.any()


def test_temperature_scales_the_deviation():
    like, a_and_b = torch.zeros(1000), levels(2.0, 1.0)
    assert torch.equal(tempered(GaussianNoise(like, 1), 0.5)(*a_and_b), 0.5 * GaussianNoise(like, 1)(*a_and_b))
    assert not tempered(GaussianNoise(like, 1), 0.0)(*a_and_b).any()


def test_dropout_keeps_the_mean_and_raises_the_variance():
    like = torch.zeros(100_000)
    whole, half = GaussianNoise(like, 1), dropped(GaussianNoise(like, 1), 0.25)
    drawn, left = whole(*levels(2.0, 1.0)), half(*levels(2.0, 1.0))
    kept = left != 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.01)
    assert torch.allclose(left[kept], drawn[kept] / 0.75)
    assert left.mean().item() == pytest.approx(0, abs=0.02)
    assert left.var().item() == pytest.approx(1 / 0.75, rel=0.02)
