from __future__ import annotations

import pytest
import torch

from app.diffusion.noise import (
    BrownianNoise,
    GaussianNoise,
    dropped,
    generator_for,
    prepare_noise,
    repeated,
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


def test_repeated_noise_gives_equal_items():
    drawn = repeated(GaussianNoise(torch.zeros(3, 5), 1))(*levels(2.0, 1.0))
    assert torch.equal(drawn, drawn[:1].expand(3, 5))
    assert drawn.any()


def test_temperature_scales_the_deviation():
    like, a_and_b = torch.zeros(1000), levels(2.0, 1.0)
    assert torch.equal(tempered(GaussianNoise(like, 1), 0.5)(*a_and_b), 0.5 * GaussianNoise(like, 1)(*a_and_b))
    assert not tempered(GaussianNoise(like, 1), 0.0)(*a_and_b).any()


def test_dropout_keeps_the_mean_and_raises_the_variance():
    ones = dropped(lambda a, b: torch.ones(100_000), 0.25, seed=1)(*levels(2.0, 1.0))
    assert ones.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert ones.mean().item() == pytest.approx(1, abs=0.01)
    assert (ones**2).mean().item() == pytest.approx(1 / 0.75, rel=0.02)
