"""Looking at a text through folded projections against the layer as it is written."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.diffusion.layout import prepare
from app.diffusion.models.attention import CrossAttention
from app.diffusion.models.folded import FEW_SCORES, TOKENS_ALIKE, folded, is_worth_folding


def layer_of(width: int, heads: int, scale: float = 1.0) -> CrossAttention:
    torch.manual_seed(3)
    layer = CrossAttention(width, heads, width // heads, context_width=48).requires_grad_(False)
    layer.to_q.weight *= scale
    return layer


def exact(layer: CrossAttention, x: Tensor, text: Tensor) -> Tensor:
    wide = CrossAttention(x.shape[2], layer.heads, x.shape[2] // layer.heads, context_width=48)
    wide.load_state_dict(layer.state_dict())
    return wide.double()(x.double(), text.double()).detach()


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("pixels", [16, FEW_SCORES // 36 + 1])  # of 4 heads and 9 tokens
@pytest.mark.parametrize("scale", [1.0, 60.0])  # the second has scores whose exponentials overflow
@pytest.mark.parametrize(("dtype", "width", "rounding"), [(torch.bfloat16, 64, 0.01), (torch.float32, 256, 1e-5)])
def test_it_is_the_attention(pixels: int, scale: float, dtype: torch.dtype, width: int, rounding: float) -> None:
    layer = layer_of(width, 4, scale).to(dtype)
    x, text = torch.randn(2, pixels, width).to(dtype), torch.randn(2, 9, 48).to(dtype)
    expected = exact(layer, x, text)
    with torch.inference_mode():
        plain = relative_error(layer(x, text), expected)
        prepare(layer, 1 << 25)
        assert is_worth_folding(4 * 9, width)
        assert relative_error(layer(x, text), expected) < max(rounding, 1.5 * plain)


def test_few_and_many_pixels_see_the_same() -> None:
    layer = layer_of(32, 2).bfloat16()
    k, v = torch.randn(2, 3, 2, 5, 16).bfloat16()
    x = torch.randn(3, 7, 32).bfloat16()
    few, many = (
        folded(layer.to_q.weight, layer.get_parameter("to_out.0.weight"), k, v, pixels=pixels)
        for pixels in (7, FEW_SCORES)
    )
    assert few.whole is not None and len(many.pairs) == 3
    bias = torch.randn(32).bfloat16()
    torch.testing.assert_close(few.seen_from(x, bias), many.seen_from(x, bias), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("tokens", [1, TOKENS_ALIKE - 1, TOKENS_ALIKE, TOKENS_ALIKE + 1])
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_tokens_that_are_not_there_are_not_seen(tokens: int, scale: float) -> None:
    layer = layer_of(256, 2, scale)
    x, text = torch.randn(2, 4, 256), torch.randn(2, tokens, 48)
    with torch.inference_mode():
        k, v = layer._keys_and_values(text)
        seen = folded(layer.to_q.weight, layer.get_parameter("to_out.0.weight"), k, v, pixels=4)
        assert seen.whole is not None
        assert relative_error(seen.seen_from(x, layer.get_parameter("to_out.0.bias")), exact(layer, x, text)) < 1e-5


def test_changed_weights_are_folded_anew() -> None:
    layer = layer_of(64, 4).bfloat16()
    prepare(layer, 1 << 20)
    x, text = torch.randn(1, 40, 64).bfloat16(), torch.randn(1, 9, 48).bfloat16()
    with torch.no_grad():
        before = layer(x, text).clone()
        layer.to_v.weight.mul_(2)
        bias = layer.get_parameter("to_out.0.bias")
        torch.testing.assert_close(layer(x, text) - bias, 2 * (before - bias), atol=0.02, rtol=0.02)


def test_long_texts_and_memory_have_their_limits() -> None:
    assert is_worth_folding(8 * 77, 320) and is_worth_folding(8 * 77, 1280)  # Stable Diffusion 1
    assert not is_worth_folding(8 * 154, 320)  # twice the tokens at the highest resolution
    assert not is_worth_folding(20 * 77, 1280)  # the 70 widest blocks of Stable Diffusion XL would take a gigabyte
