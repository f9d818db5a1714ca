"""The layers that choose how they are computed: same values, same names, fresh after a change."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from app.diffusion.kernels import packed
from app.diffusion.models.convolution import NARROWEST, Conv1x1, Conv3x3, GroupNorm

WIDE, NARROW = (NARROWEST, NARROWEST), (24, 40)
LAYERS = pytest.mark.parametrize(("widths", "stride"), [(WIDE, 1), (WIDE, 2), (NARROW, 1), (NARROW, 2), ((3, 40), 1)])


def quick_layer(widths: tuple[int, int] = WIDE, stride: int = 1) -> Conv3x3:
    torch.manual_seed(1)
    layer = Conv3x3(*widths, stride)
    layer.quick = True
    return layer


def direct(layer: Conv3x3, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=1, stride=layer.stride)


@LAYERS
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_quick_or_not_the_values_are_the_same(
    widths: tuple[int, int], stride: int, size: tuple[int, int], order: torch.memory_format
) -> None:
    layer = quick_layer(widths, stride)
    for batch in (2, 1):  # the second form was made for another size
        x = torch.randn(batch, widths[0], *size).contiguous(memory_format=order)
        with torch.no_grad():
            assert torch.allclose(layer(x), direct(layer, x), atol=1e-4)
            half = copy.deepcopy(layer).to(torch.bfloat16)
            error = half(x.bfloat16()).float() - direct(layer, x)
            assert error.norm() < 2e-2 * direct(layer, x).norm()
    assert set(layer.state_dict()) == {"weight", "bias"}


@LAYERS
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_it_shifts_and_adds(widths: tuple[int, int], stride: int, quick: bool, order: torch.memory_format) -> None:
    layer, x = quick_layer(widths, stride), torch.randn(2, widths[0], 6, 6)
    layer.quick = quick
    with torch.inference_mode():
        plain, by = direct(layer, x), torch.randn(widths[1])
        x, there = x.contiguous(memory_format=order), torch.randn_like(plain).contiguous(memory_format=order)
        kept = there.clone()
        torch.testing.assert_close(layer.shifted(x, by), plain + by[:, None, None], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(layer.added(x, there), plain + there, atol=1e-4, rtol=1e-4)
        assert torch.equal(there, kept)


def test_large_and_small_maps_in_turn() -> None:
    layer = quick_layer()
    for side in (32, 8, 34, 32):  # tiles of 4, of 2, and of 2 as 4 does not divide 34
        x = torch.randn(1, NARROWEST, side, side).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            torch.testing.assert_close(layer(x), direct(layer, x), atol=1e-4, rtol=1e-4)


@LAYERS
def test_gradients_go_the_direct_way(widths: tuple[int, int], stride: int) -> None:
    layer, x = quick_layer(widths, stride), torch.randn(1, widths[0], 4, 4)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


@LAYERS
def test_changed_weights_are_seen(widths: tuple[int, int], stride: int) -> None:
    layer, x = quick_layer(widths, stride), torch.randn(1, widths[0], 8, 8)
    with torch.inference_mode():
        layer(x)
        layer.weight.mul_(0.5)  # in place, as a patch is
        assert torch.allclose(layer(x), direct(layer, x), atol=1e-4)
        layer.weight.data = torch.randn_like(layer.weight) * 0.01
        assert torch.allclose(layer(x), direct(layer, x), atol=1e-4)
        half = copy.deepcopy(layer).to(torch.bfloat16)
        assert half(x.bfloat16()).dtype == torch.bfloat16


def test_the_room_that_second_forms_take() -> None:
    assert packed.is_available()
    assert quick_layer().second_form_bytes == NARROWEST * NARROWEST * 36 * 4
    assert quick_layer().bfloat16().second_form_bytes == NARROWEST * NARROWEST * 16 * 2
    assert Conv3x3(1280, 1280).second_form_bytes == 1280 * 1280 * 16 * 4  # too many for large tiles
    assert quick_layer(NARROW).second_form_bytes == 24 * 40 * 9 * 4


@pytest.mark.parametrize("side", [4, 40])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_groups_are_normalised_in_any_order(side: int, order: torch.memory_format) -> None:
    x = torch.randn(2, 16, side, side).contiguous(memory_format=order)
    result = GroupNorm(4, 16)(x).unflatten(1, (4, 4))
    assert torch.allclose(result.mean((2, 3, 4)), torch.zeros(2, 4), atol=1e-5)
    assert torch.allclose(result.var((2, 3, 4), correction=0), torch.ones(2, 4), atol=1e-3)


def test_a_pixelwise_layer_in_both_orders() -> None:
    layer, x = Conv1x1(6, 4), torch.randn(2, 6, 3, 5)
    expected = F.conv2d(x, layer.weight, layer.bias)
    assert torch.allclose(layer(x), expected, atol=1e-6)
    result = layer(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(result, expected, atol=1e-6)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_a_convolution_that_somebody_lets_pad_otherwise_does() -> None:
    layer = Conv3x3(4, 4).requires_grad_(False)
    layer.quick = True
    x = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        layer(x)
        layer.padding_mode = "circular"
        layer._reversed_padding_repeated_twice = [1, 1, 1, 1]
        rolled = torch.roll(x, (1, 2), dims=(2, 3))
        torch.testing.assert_close(torch.roll(layer(x), (1, 2), dims=(2, 3)), layer(rolled))
