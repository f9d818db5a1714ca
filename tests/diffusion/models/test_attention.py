"""Cross-attention against its formula, and layers that add to what there is or take shortcuts."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.layout import prepare
from app.diffusion.models.attention import TOKENS_AT_ONCE, CrossAttention, FeedForward, SpatialTransformer
from app.diffusion.models.unet import ResBlock


def test_it_is_the_formula() -> None:
    layer = CrossAttention(12, heads=3, head_width=4, context_width=10)
    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    q, k, v = layer.to_q(x), layer.to_k(context), layer.to_v(context)
    heads = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / 2.0  # the root of the head's width
        heads.append(scores.softmax(-1) @ v[..., part])
    torch.testing.assert_close(layer(x, context), layer.to_out(torch.cat(heads, -1)), atol=1e-5, rtol=1e-5)


def test_without_a_context_it_attends_to_itself() -> None:
    layer = CrossAttention(8, heads=2, head_width=4)
    x = torch.randn(1, 6, 8)
    torch.testing.assert_close(layer(x), layer(x, x))


def test_a_transformer_keeps_the_map() -> None:
    for linear in (False, True):
        block = SpatialTransformer(8, 2, 4, 2, 6, linear=linear, groups=4)
        assert block(torch.randn(1, 8, 3, 5), torch.randn(1, 4, 6)).shape == (1, 8, 3, 5)


@pytest.mark.parametrize("tokens", [5, TOKENS_AT_ONCE + 3])
@pytest.mark.parametrize("quick", [True, False])
def test_a_feed_forward_layer_adds(tokens: int, quick: bool) -> None:
    layer = FeedForward(96).requires_grad_(False)
    if quick:
        prepare(layer, 1 << 24)
    x, there = torch.randn(2, 2, tokens, 96)
    with torch.inference_mode():
        torch.testing.assert_close(layer.added(x, there), there + layer.net(x), atol=1e-5, rtol=1e-5)
        seen: list[int] = []
        handle = layer.net.register_forward_hook(lambda *given: seen.append(1))
        torch.testing.assert_close(layer.added(x, there), there + layer(x))
        handle.remove()
        assert seen


@pytest.mark.parametrize("name", ["in_layers", "in_layers.2", "out_layers", "out_layers.3", "skip_connection"])
@pytest.mark.parametrize("out", [16, 32])
def test_whoever_looks_into_a_residual_block_sees_its_layers_run(name: str, out: int) -> None:
    block = ResBlock(16, 8, out, 4).requires_grad_(False)
    prepare(block, 1 << 20)
    x, emb, seen = torch.randn(2, 16, 4, 4), torch.randn(1, 8), list[int]()
    with torch.inference_mode():
        plain = block(x, emb)
        block.get_submodule(name).register_forward_hook(lambda *given: seen.append(1))
        torch.testing.assert_close(block(x, emb), plain, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(block(x, emb.expand(2, 8)), plain, atol=1e-5, rtol=1e-5)
    assert len(seen) == 2
