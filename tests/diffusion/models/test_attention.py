"""Cross-attention against its formula."""

from __future__ import annotations

import torch

from app.diffusion.models.attention import CrossAttention, SpatialTransformer


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
