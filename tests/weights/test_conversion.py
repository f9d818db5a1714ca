"""Conversion in one pass gives the values that PyTorch's own gives, bit by bit."""

from __future__ import annotations

import pytest
import torch

from app.weights.conversion import PIECE, converted, room

HALVES = (torch.float16, torch.bfloat16, torch.float32)


@pytest.mark.parametrize("wanted", HALVES)
@pytest.mark.parametrize("stored", [*HALVES, torch.float64, torch.float8_e4m3fn])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5), (PIECE + 3,), (3, PIECE // 2 + 1)])
def test_values_are_those_of_a_plain_conversion(
    shape: tuple[int, ...], stored: torch.dtype, wanted: torch.dtype
) -> None:
    source = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(stored)
    result = converted(source, wanted)
    assert result.dtype == wanted and result.shape == source.shape and result.is_contiguous()
    assert torch.equal(result, source.to(wanted))


@pytest.mark.parametrize("wanted", HALVES)
@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (300, 600, 3, 3), (5, 4, 1, 1), (2, 3, 1, 3)])
def test_kernels_change_their_order_on_the_way(shape: tuple[int, ...], wanted: torch.dtype) -> None:
    source = torch.randn(shape, generator=torch.Generator().manual_seed(2)).half()
    result = converted(source, wanted, channels_last=True)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(result, source.to(wanted))


def test_other_shapes_have_no_channels() -> None:
    source = torch.randn(4, 6)
    assert torch.equal(converted(source, torch.float32, channels_last=True), source)


def test_the_copy_is_a_copy() -> None:
    source = torch.zeros(PIECE + 1)
    result = converted(source, torch.float32)
    source[5] = 1.0
    assert float(result[5]) == 0.0


def test_large_rooms_can_be_written_and_outlive_what_made_them() -> None:
    places = [room((3, 1 << 20), torch.float32).fill_(value) for value in (1.0, 2.0)]
    assert [float(place.mean()) for place in places] == [1.0, 2.0]
    part = places[0][1, :5]
    del places
    assert part.tolist() == [1.0] * 5


def test_numbers_beyond_a_precision_become_infinite_as_ever() -> None:
    assert converted(torch.tensor([1e38, -1e6]), torch.float16).tolist() == [float("inf"), float("-inf")]
