from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.latents import (
    batch_indices,
    concatenated,
    cropped,
    cut,
    interpolated,
    joined,
    mapped,
    matching,
    rebatched,
    repeated,
    taken,
)
from app.errors import InvalidRequest


def latent(count: int, channels: int = 4, side: int = 8, **more: Any) -> dict[str, Any]:
    samples = torch.arange(count).float().view(count, 1, 1, 1).expand(count, channels, side, side).clone()
    return {"samples": samples, **more}


def firsts(value: Any) -> list[float]:
    return value["samples"][:, 0, 0, 0].tolist()


def test_without_word_of_it_items_have_the_noise_of_their_place() -> None:
    assert batch_indices(latent(3)) == [0, 1, 2]
    assert batch_indices(latent(2, batch_index=[5, 5])) == [5, 5]


def test_taking_follows_masks_and_places() -> None:
    mask = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    part = taken(latent(3, noise_mask=mask), 1, 5)
    assert firsts(part) == [1, 2]
    assert part["noise_mask"][:, 0, 0, 0].tolist() == [1, 2]
    assert part["batch_index"] == [1, 2]
    shared = taken(latent(3, noise_mask=mask[:1]), 2, 1)
    assert len(shared["noise_mask"]) == 1


def test_repeating_follows_masks() -> None:
    mask = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    copies = repeated(latent(2, noise_mask=mask), 3)
    assert firsts(copies) == [0, 1] * 3
    assert copies["noise_mask"][:, 0, 0, 0].tolist() == [0, 1] * 3
    assert "batch_index" not in copies


def test_joining_fits_the_second_to_the_first() -> None:
    both = joined(latent(1), latent(2, side=4))
    assert both["samples"].shape == (3, 4, 8, 8)
    with pytest.raises(InvalidRequest, match="4 and 16 channels"):
        joined(latent(1), latent(1, channels=16))


def test_matching_resizes_and_repeats() -> None:
    fitted = matching(latent(2, side=4)["samples"], latent(3)["samples"])
    assert fitted.shape == (3, 4, 8, 8)
    assert fitted[:, 0, 0, 0].tolist() == [0, 1, 0]


def test_rebatching_loses_nothing_and_keeps_masks_apart() -> None:
    mask = torch.ones(1, 1, 8, 8)
    batches = rebatched([latent(3), latent(2, noise_mask=mask)], 2)
    assert [firsts(batch) for batch in batches] == [[0, 1], [2], [0, 1]]
    assert ["noise_mask" in batch for batch in batches] == [False, False, True]
    assert len(batches[2]["noise_mask"]) == 2
    assert rebatched([], 2) == []


def test_interpolation_mixes_lengths_and_directions_apart() -> None:
    first = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1)
    second = torch.tensor([0.0, 4.0]).view(1, 2, 1, 1)
    middle = interpolated(first, second, 0.5)
    assert middle.norm() == pytest.approx(3.0)
    assert middle[0, 0, 0, 0] == pytest.approx(float(middle[0, 1, 0, 0]))
    assert not interpolated(torch.zeros_like(first), torch.zeros_like(first), 0.5).any()


@pytest.mark.parametrize("dim", ["x", "-x", "y", "-y"])
def test_concatenating_along_an_axis(dim: str) -> None:
    both = concatenated(latent(1), {"samples": torch.ones(1, 4, 8, 8)}, dim)["samples"]
    assert sorted(both.shape[-2:]) == [8, 16]
    assert both[0, 0, 0, 0] == (1 if dim.startswith("-") else 0)


@pytest.mark.parametrize(("second", "dim"), [(latent(1, side=4), "x"), (latent(1), "t")])
def test_what_cannot_be_concatenated_is_told(second: Any, dim: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        concatenated(latent(1), second, dim)
    assert told.value.remedy


@pytest.mark.parametrize(
    ("index", "amount", "length"), [(0, 3, 3), (-2, 9, 2), (7, 9, 1), (100, 1, 1), (-100, 100, 8), (-8, 8, 8)]
)
def test_cutting_stays_inside(index: int, amount: int, length: int) -> None:
    assert cut(latent(1), "x", index, amount)["samples"].shape[-1] == length


def test_cropping_stays_inside() -> None:
    samples = torch.zeros(1, 4, 16, 16)
    assert cropped(samples, 4, 4, 4, 6).shape[-2:] == (6, 4)
    assert cropped(samples, 99, 99, 99, 99).shape[-2:] == (8, 8)
    assert cropped(torch.zeros(1, 4, 4, 4), 99, 99, 99, 99).shape[-2:] == (4, 4)


def test_what_is_given_is_not_changed() -> None:
    given = latent(2, noise_mask=torch.ones(1, 1, 8, 8))
    result = mapped(given, lambda tensor: tensor + 1)
    assert firsts(given) == [0, 1]
    assert firsts(result) == [1, 2]
    assert result["noise_mask"][0, 0, 0, 0] == 2
