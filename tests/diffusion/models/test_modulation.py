from __future__ import annotations

import torch

from app.diffusion.models.modulation import attended, joint, modulated, split_heads


def test_a_modulated_token_has_the_scale_and_shift_that_it_is_told() -> None:
    x = torch.randn(2, 5, 64) * 7 + 3
    shift, scale = torch.full((2, 64), 0.5), torch.full((2, 64), 1.0)
    result = modulated(x, shift, scale)
    torch.testing.assert_close(result.mean(-1), torch.full((2, 5), 0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std(-1, correction=0), torch.full((2, 5), 2.0), atol=1e-4, rtol=0)


def test_queries_keys_and_values_are_thirds_of_the_channels() -> None:
    qkv = torch.arange(12.0).reshape(1, 1, 12)
    q, k, v = split_heads(qkv, 2)
    assert [part[0, :, 0].tolist() for part in (q, k, v)] == [
        [[0, 1], [2, 3]],
        [[4, 5], [6, 7]],
        [[8, 9], [10, 11]],
    ]


def test_equal_keys_average_the_values() -> None:
    q, k, v = torch.randn(1, 2, 3, 4), torch.zeros(1, 2, 5, 4), torch.randn(1, 2, 5, 4)
    expected = v.mean(2).flatten(1)[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(attended(q, k, v), expected)


def test_two_streams_stand_one_after_the_other() -> None:
    first, second = (torch.zeros(1, 1, 2, 4),) * 3, (torch.ones(1, 1, 3, 4),) * 3
    assert [part[0, 0, :, 0].tolist() for part in joint(first, second)] == [[0, 0, 1, 1, 1]] * 3
