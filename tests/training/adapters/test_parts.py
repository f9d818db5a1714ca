"""New adapters change nothing yet, have the size that was asked for, and survive being read back."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.adapters.change import Change
from app.diffusion.adapters.full import Difference, Replacement
from app.diffusion.noise import generator_for
from app.training.adapters.parts import FRESH, factors, parts_of
from app.weights.adapters.reading import change_of

SHAPES = [(12, 8), (16, 6, 3, 3), (9, 10, 1, 1), (12, 4, 1)]


def fresh(algorithm: str, shape: tuple[int, ...], rank: int = 2, seed: int = 1) -> dict[str, torch.Tensor]:
    return FRESH[algorithm](shape, rank, generator_for(seed))


def read(algorithm: str, shape: tuple[int, ...], rank: int = 2) -> Change:
    change = change_of(fresh(algorithm, shape, rank))
    assert change is not None
    return change


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("algorithm", ["LoRA", "LoHa", "LoKr"])
def test_a_new_adapter_fits_and_changes_nothing(algorithm: str, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape)
    change = read(algorithm, shape)
    assert change.fits(shape)
    assert torch.equal(change.applied(weight, 1.0), weight)


def test_a_new_rotation_fits_and_turns_nothing() -> None:
    weight = torch.randn(12, 5)
    change = read("OFT", (12, 5), rank=5)
    assert fresh("OFT", (12, 5), rank=5)["oft"].shape == (3, 4, 4)
    torch.testing.assert_close(change.applied(weight, 1.0), weight)


def test_what_cannot_be_turned_is_left_out() -> None:
    assert fresh("OFT", (7, 5), rank=4) == {}
    assert fresh("OFT", (12, 5), rank=1) == {}
    assert fresh("OFT", (7, 5), rank=8)["oft"].shape == (1, 7, 7)


def test_the_rank_is_never_larger_than_the_weight() -> None:
    assert fresh("LoRA", (3, 5), rank=128)["up"].shape == (3, 3)
    assert fresh("LoHa", (6, 2), rank=128)["hada_w1_b"].shape == (2, 2)


def test_a_small_second_factor_is_kept_in_full() -> None:
    small, large = fresh("LoKr", (12, 8), rank=16), fresh("LoKr", (512, 512), rank=4)
    assert small["lokr_w1"].shape == (3, 2)
    assert small["lokr_w2"].shape == (4, 4)
    assert large["lokr_w1"].shape == (16, 16)
    assert large["lokr_w2_a"].shape == (32, 4)
    assert large["lokr_w2_b"].shape == (4, 32)


def test_a_seed_gives_one_adapter() -> None:
    first, again, other = (fresh("LoRA", (8, 8), seed=seed)["down"] for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 8**-0.5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("algorithm", list(FRESH))
def test_parts_come_back_from_what_they_were_read_as(algorithm: str, shape: tuple[int, ...]) -> None:
    parts = fresh(algorithm, shape, rank=3)
    again = parts_of(read(algorithm, shape, rank=3))
    assert again is not None
    assert again.keys() == parts.keys()
    assert all(torch.equal(again[name], part) for name, part in parts.items())


def test_cores_limits_and_scales_come_back_too() -> None:
    tucker = {"up": torch.rand(8, 2, 1, 1), "down": torch.rand(2, 4, 1, 1), "mid": torch.rand(2, 2, 3, 3)}
    rotation = {"oft": torch.rand(2, 3, 3), "rescale": torch.rand(6, 1), "alpha": torch.tensor(0.25)}
    hadamard = {f"hada_w{n}_{side}": torch.rand(2, 4) for n in (1, 2) for side in "ab"}
    cores = {f"hada_t{n}": torch.rand(2, 2, 3, 3) for n in (1, 2)}
    for parts in (tucker, rotation, hadamard | cores):
        change = change_of(parts)
        assert change is not None
        assert parts_of(change) == parts


def test_differences_are_known_and_replacements_are_not_trained() -> None:
    value = torch.rand(3)
    assert parts_of(Difference(value)) == {"diff": value}
    assert parts_of(Replacement(value)) is None


@pytest.mark.parametrize(("number", "pair"), [(1, (1, 1)), (7, (1, 7)), (12, (3, 4)), (64, (8, 8)), (320, (16, 20))])
def test_the_nearest_factors(number: int, pair: tuple[int, int]) -> None:
    assert factors(number) == pair
