"""Attention by plain products against the formula in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.diffusion.kernels import attention
from app.diffusion.kernels.attention import attend


def parts(queries: int, keys: int, width: int, dtype: torch.dtype, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn(2, 3, length, width, generator=generator) for length in (queries, keys, keys))
    return (q * scale).to(dtype), k.to(dtype), v.to(dtype)


def exact(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q.double() @ k.double().transpose(2, 3) * q.shape[3] ** -0.5
    return torch.softmax(scores, -1) @ v.double()


@pytest.mark.parametrize("width", [40, 64, 79, 80])
@pytest.mark.parametrize(("queries", "keys"), [(40, 77), (600, 600), (1700, 1700)])
def test_it_is_the_formula(width: int, queries: int, keys: int) -> None:
    # The longest has too many scores to be taken at once: several slices of each head, the last one short.
    assert (3 * queries * keys > attention.FEW_SCORES and queries % attention.SLICE > 0) is (queries == 1700)
    q, k, v = parts(queries, keys, width, torch.bfloat16)
    with torch.no_grad():
        result = attend(q, k, v)
    error = (result.double() - exact(q, k, v)).norm() / exact(q, k, v).norm()
    # Of many scores the exponentials are taken by their bits: here, where no key stands out, as bad as it gets.
    assert result.shape == q.shape and error < (2.5e-2 if queries == 1700 else 1e-2)


def test_weights_by_their_bits_have_no_bias() -> None:
    q, k, v = parts(1700, 1700, 40, torch.bfloat16)
    with torch.no_grad():
        result = attend(q, k, v.abs() + 1)
    assert abs(float((result.double() / exact(q, k, v.abs() + 1)).mean()) - 1) < 1e-3


@pytest.mark.parametrize("tokens", [600, 1700])
def test_sharp_scores_stay_finite(tokens: int) -> None:
    q, k, v = parts(tokens, tokens, 40, torch.bfloat16, scale=200.0)
    with torch.no_grad():
        result = attend(q, k, v)
    assert result.isfinite().all()
    assert result.abs().max() <= v.abs().max()  # a weighted mean


@pytest.mark.parametrize("scale", [15.0, 60.0])  # just within what needs no largest subtracted, and just beyond it
def test_scores_far_below_zero_keep_their_weights(scale: float) -> None:
    q, k, v = parts(1700, 1700, 64, torch.bfloat16)
    q, k = q.abs() * scale / 8, -k.abs() / 8  # every score is negative
    with torch.no_grad():
        result = attend(q, k, v)
    error = (result.double() - exact(q, k, v)).norm() / exact(q, k, v).norm()
    assert error < 3e-2


def test_what_is_no_number_stays_none() -> None:
    q, k, v = parts(1700, 1700, 40, torch.bfloat16)
    q[0, 0, 0, 0] = float("nan")
    with torch.no_grad():
        result = attend(q, k, v)
    assert result[0, 0, 0].isnan().all() and result[1].isfinite().all()


def test_gradients_flow() -> None:
    q, k, v = parts(600, 600, 40, torch.bfloat16)
    q.requires_grad_()
    attend(q, k, v).float().sum().backward()
    assert q.grad is not None and q.grad.isfinite().all()


def test_full_precision_is_exact_to_rounding() -> None:
    q, k, v = parts(600, 600, 40, torch.float32)
    assert torch.allclose(attend(q, k, v).double(), exact(q, k, v), atol=1e-5)
