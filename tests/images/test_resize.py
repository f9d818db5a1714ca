from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn import functional

from app.errors import InvalidRequest, TooLarge
from app.images.resize import (
    IMAGE_METHODS,
    LATENT_METHODS,
    bislerp,
    centre_crop,
    kept_proportions,
    resize,
    scaled_by,
    slerp,
)

METHODS = sorted({*IMAGE_METHODS, *LATENT_METHODS})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(9, 5), (3, 2), (16, 1)])
def test_the_size_is_as_asked_and_a_constant_stays(method: str, size: tuple[int, int]) -> None:
    resized = resize(torch.full((2, 3, 6, 8), 0.37), *size, method)
    assert resized.shape == (2, 3, size[1], size[0])
    assert torch.allclose(resized, torch.tensor(0.37), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_size_changes_nothing(method: str) -> None:
    samples = torch.randn(1, 4, 5, 7)
    assert torch.equal(resize(samples, 7, 5, method), samples)


def test_lanczos_keeps_values_outside_the_range_of_bytes() -> None:
    ramp = torch.linspace(-2, 2, 16).view(1, 1, 1, 16).expand(1, 2, 4, 16)
    resized = resize(ramp, 8, 4, "lanczos")
    assert torch.allclose(resized[..., 1:-1], functional.interpolate(ramp, (4, 8), mode="area")[..., 1:-1], atol=0.02)


def test_a_crop_takes_the_middle() -> None:
    samples = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 4, 8)
    assert resize(samples, 4, 4, "bilinear", crop=True)[0, 0, 0].tolist() == [2.0, 3.0, 4.0, 5.0]
    assert centre_crop(samples, 8.0).shape == (1, 1, 2, 8) or centre_crop(samples, 8.0).shape[-1] == 8


Side = st.integers(1, 40)


@given(size=st.tuples(Side, Side), wanted=st.tuples(Side, Side), method=st.sampled_from(METHODS))
@example(size=(1, 8), wanted=(1, 1), method="bilinear")
@example(size=(8, 1), wanted=(1, 1), method="lanczos")
def test_every_size_can_be_cropped_to_every_other(size: tuple[int, int], wanted: tuple[int, int], method: str) -> None:
    resized = resize(torch.full((1, 1, *size), 0.37), wanted[1], wanted[0], method, crop=True)
    assert resized.shape == (1, 1, *wanted)
    assert torch.allclose(resized, torch.tensor(0.37), atol=1e-5)


@given(size=st.tuples(Side, Side), proportion=st.floats(0.02, 50))
def test_a_crop_is_in_the_middle_and_of_the_proportion_that_was_asked(size: tuple[int, int], proportion: float) -> None:
    height, width = size
    samples = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    cropped = centre_crop(samples, proportion)
    rows, columns = cropped.shape[-2:]
    first, last = int(cropped.flatten()[0]), int(cropped.flatten()[-1])
    assert first + last == height * width - 1, "as much is left out on both sides"
    assert rows == height or columns == width, "one side stays whole"
    assert abs(columns - rows * proportion) <= 1 + proportion or min(rows, columns) <= 2


@pytest.mark.parametrize(
    ("asked", "given"),
    [((0, 0), (640, 480)), ((320, 0), (320, 240)), ((0, 240), (320, 240)), ((100, 7), (100, 7)), ((1, 0), (1, 1))],
)
def test_zero_keeps_the_proportions(asked: tuple[int, int], given: tuple[int, int]) -> None:
    assert kept_proportions((640, 480), *asked) == given


def test_a_factor_leaves_at_least_a_pixel() -> None:
    assert scaled_by((10, 4), 1.5) == (15, 6)
    assert scaled_by((10, 4), 0.01) == (1, 1)


def test_slerp_keeps_lengths_and_splits_angles() -> None:
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    middle = slerp(first, second, torch.tensor(0.5))
    assert middle.norm() == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(middle, torch.tensor([[0.5**0.5, 0.5**0.5]]))
    assert torch.allclose(slerp(first, second, torch.tensor(0.0)), first)
    assert torch.allclose(slerp(first, second, torch.tensor(1.0)), second)


def test_slerp_of_vectors_without_direction_goes_straight() -> None:
    zero, one = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    assert torch.allclose(slerp(zero, one, torch.tensor(0.25)), one * 0.25)
    assert torch.allclose(slerp(one, -one, torch.tensor(0.5)), zero, atol=1e-6)


def test_bislerp_loses_less_contrast_than_bilinear() -> None:
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    assert bislerp(noise, 31, 31).std() > functional.interpolate(noise, (31, 31), mode="bilinear").std() * 1.1


@pytest.mark.parametrize("asked", [(0, 4, "bilinear"), (4, -1, "area"), (4, 4, "magic")])
def test_what_cannot_be_is_refused(asked: tuple[int, int, str]) -> None:
    with pytest.raises(InvalidRequest):
        resize(torch.zeros(1, 1, 2, 2), *asked)


def test_a_size_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(TooLarge):
        resize(torch.zeros(1, 3, 2, 2), 100_000, 100_000, "bilinear")
