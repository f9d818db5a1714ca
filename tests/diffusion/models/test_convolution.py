"""The layers that choose how they are computed: same values, same names, fresh after a change."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F

from app.diffusion.models.convolution import NARROWEST, Conv1x1, Conv3x3


def quick_layer() -> Conv3x3:
    layer = Conv3x3(NARROWEST, NARROWEST)
    layer.quick = True
    return layer


def direct(layer: Conv3x3, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=1)


def test_quick_or_not_the_values_are_the_same() -> None:
    layer = quick_layer()
    for size in ((8, 8), (7, 8)):  # the second is odd and goes the direct way
        x = torch.randn(2, NARROWEST, *size)
        with torch.no_grad():
            assert torch.allclose(layer(x), direct(layer, x), atol=1e-4)
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_gradients_go_the_direct_way() -> None:
    layer, x = quick_layer(), torch.randn(1, NARROWEST, 4, 4)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_changed_weights_are_seen() -> None:
    layer, x = quick_layer(), torch.randn(1, NARROWEST, 8, 8)
    with torch.inference_mode():
        layer(x)
        layer.weight.mul_(0.5)  # in place, as a patch is
        assert torch.allclose(layer(x), direct(layer, x), atol=1e-4)
        layer.weight.data = torch.randn_like(layer.weight) * 0.01
        assert torch.allclose(layer(x), direct(layer, x), atol=1e-4)
        half = copy.deepcopy(layer).to(torch.bfloat16)
        assert half(x.bfloat16()).dtype == torch.bfloat16


def test_narrow_layers_ask_for_no_room() -> None:
    assert Conv3x3(NARROWEST - 1, NARROWEST).transformed_bytes == 0
    assert quick_layer().transformed_bytes == NARROWEST * NARROWEST * 16 * 4


def test_a_pixelwise_layer_in_both_orders() -> None:
    layer, x = Conv1x1(6, 4), torch.randn(2, 6, 3, 5)
    expected = F.conv2d(x, layer.weight, layer.bias)
    assert torch.allclose(layer(x), expected, atol=1e-6)
    result = layer(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(result, expected, atol=1e-6)
    assert result.is_contiguous(memory_format=torch.channels_last)
