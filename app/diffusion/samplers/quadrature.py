"""Weights of multistep methods: integrals of Lagrange polynomials, exact to rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import torch
from torch import Tensor

Weight = Callable[[float], float]


@cache
def gauss_legendre(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Points and weights on −1..1, by the eigenvalues of the Jacobi matrix (Golub & Welsch 1969)."""
    k = torch.arange(1, count, dtype=torch.float64)
    off = k / (4 * k**2 - 1).sqrt()
    matrix = torch.diag(off, 1) + torch.diag(off, -1)
    # Torch does not say what its linear algebra returns.
    found = torch.linalg.eigh(matrix)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    points, vectors = cast("tuple[Tensor, Tensor]", found)
    return tuple(map(float, points)), tuple(map(float, 2 * vectors[0] ** 2))


def integral(f: Weight, start: float, end: float, count: int = 24) -> float:
    """The integral of a smooth f from start to end."""
    points, weights = gauss_legendre(count)
    middle, half = (start + end) / 2, (end - start) / 2
    return half * math.fsum(w * f(middle + half * p) for p, w in zip(points, weights, strict=True))


def lagrange(nodes: Sequence[float], j: int, t: float) -> float:
    """The polynomial through the nodes that is 1 at node j and 0 at the others."""
    return math.prod((t - node) / (nodes[j] - node) for k, node in enumerate(nodes) if k != j)


def adams_weights(
    nodes: Sequence[float], start: float, end: float, weight: Weight = lambda t: 1.0
) -> tuple[float, ...]:
    """For values given at the nodes: the weights of ∫ weight(t)·p(t) dt, p their interpolating polynomial."""
    return tuple(integral(lambda t, j=j: weight(t) * lagrange(nodes, j, t), start, end) for j in range(len(nodes)))
