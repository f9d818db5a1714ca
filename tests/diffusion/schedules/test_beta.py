from __future__ import annotations

import pytest
from scipy import stats

from app.diffusion.schedules.beta import beta_cdf, beta_quantile


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (1.0, 1.0), (2.0, 5.0), (0.5, 3.0)])
@pytest.mark.parametrize("x", [0.001, 0.2, 0.5, 0.77, 0.999])
def test_distribution_and_quantile_are_scipys(a, b, x):
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-12)
    assert beta_quantile(x, a, b) == pytest.approx(stats.beta.ppf(x, a, b), abs=1e-9)


def test_ends():
    assert [beta_quantile(p, 0.6, 0.6) for p in (0.0, 1.0)] == [0.0, 1.0]
    assert [beta_cdf(x, 0.6, 0.6) for x in (0.0, 1.0)] == [0.0, 1.0]
