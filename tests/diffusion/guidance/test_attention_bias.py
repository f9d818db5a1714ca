from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.guidance.attention_bias import OPTION, Span, weighing, with_biases
from app.diffusion.models.hooks import Looking, NetworkHooks, Place

HEADS = 2
SPANS = [Span(1, 2, 0.25), Span(4, 1, 3.0)]


def split(x: Tensor) -> Tensor:
    return torch.unflatten(x, -1, (HEADS, -1)).transpose(1, 2)


def usual(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2)


def by_hand(q: Tensor, k: Tensor, v: Tensor, factors: Tensor) -> Tensor:
    """Weights times factors (queries, keys), divided by their sum."""
    scores = split(q) @ split(k).transpose(-1, -2) / (q.shape[-1] / HEADS) ** 0.5
    weights = scores.softmax(-1) * factors
    return (weights / weights.sum(-1, keepdim=True) @ split(v)).transpose(1, 2).flatten(2)


def attended(name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    (hook,) = weighing(SPANS).attend
    return hook(Looking(name, Place("input", 1), 0, HEADS), usual)(q, k, v)


def test_words_get_their_share_times_the_factor() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 9, 8), torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    factors = torch.ones(6)
    factors[1:3], factors[4] = 0.25, 3.0
    torch.testing.assert_close(attended("attn2", q, k, v), by_hand(q, k, v, factors))
    assert torch.equal(attended("attn1", q, k, v), usual(q, k, v))


def test_in_one_row_with_the_picture_the_words_look_as_ever() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 12, 8) for _ in range(3))
    factors = torch.ones(12, 12)
    factors[:, 1:3], factors[:, 4] = 0.25, 3.0
    factors[1:3], factors[4] = 1.0, 1.0
    torch.testing.assert_close(attended("joint", q, k, v), by_hand(q, k, v, factors))


def test_a_factor_of_0_hides_words() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 9, 8), torch.randn(1, 6, 8), torch.randn(1, 6, 8)
    (hook,) = weighing([Span(0, 2, 0.0)]).attend
    found = hook(Looking("attn2", Place("input", 1), 0, HEADS), usual)(q, k, v)
    torch.testing.assert_close(found, usual(q, k[:, 2:], v[:, 2:]))


def adjusted(entries: list[list[Any]]) -> Any:
    return with_biases(entries)[0][1].get("adjust")


def test_conditions_with_the_same_words_share_calls_and_others_stay_as_they_are() -> None:
    features = torch.zeros(1, 2, 3)
    plain = [features, {"strength": 1.0}]
    assert with_biases([plain])[0] is plain
    one, same, other = (adjusted([[features, {OPTION: spans}]]) for spans in (SPANS, list(SPANS), SPANS[:1]))
    assert one == same != other
    said = one(torch.zeros(1), torch.tensor(1.0), {})
    assert len(said["hooks"].attend) == 1


@pytest.mark.parametrize("further", [{}, {"hooks": NetworkHooks(attended=(lambda looking, x: x,))}])
def test_it_comes_after_what_was_there(further: dict[str, Any]) -> None:
    before = lambda x, sigma, arguments: {"kept": 1, **further}  # noqa: E731
    found = adjusted([[torch.zeros(1, 2, 3), {OPTION: SPANS, "adjust": before}]])(torch.zeros(1), torch.tensor(1.0), {})
    assert found["kept"] == 1
    assert (len(found["hooks"].attend), len(found["hooks"].attended)) == (1, len(further))
