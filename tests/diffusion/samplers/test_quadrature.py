from __future__ import annotations

import math

import pytest

from app.diffusion.samplers.quadrature import adams_weights, gauss_legendre, integral, lagrange


def test_gauss_legendre_of_two_points():
    points, weights = gauss_legendre(2)
    assert sorted(points) == pytest.approx([-1 / math.sqrt(3), 1 / math.sqrt(3)])
    assert weights == pytest.approx([1, 1])


@pytest.mark.parametrize("power", range(8))
def test_polynomials_are_exact(power):
    assert integral(lambda t: t**power, 0.5, 2.0, count=4) == pytest.approx(
        (2 ** (power + 1) - 0.5 ** (power + 1)) / (power + 1)
    )


def test_lagrange_is_one_at_its_node_only():
    nodes = [0.3, 1.0, 2.5]
    assert [[lagrange(nodes, j, t) for t in nodes] for j in range(3)] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_weights_integrate_what_they_interpolate():
    nodes = [1.0, 1.7, 2.9]
    weights = adams_weights(nodes, 1.0, 0.2, math.exp)
    quadratic = [3 * t**2 - t + 4 for t in nodes]
    exact = integral(lambda t: math.exp(t) * (3 * t**2 - t + 4), 1.0, 0.2)
    assert sum(w * v for w, v in zip(weights, quadratic, strict=True)) == pytest.approx(exact)
