"""The fit from sums against the same fit from rows, by other people's code."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from traceguard.stats.multiplicity import benjamini_hochberg, holm
from traceguard.stats.regression import Fit, fit


def rows(seed: int = 3, n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two correlated indicators, slices with different levels, buckets with an effect of their own."""
    random = np.random.default_rng(seed)
    slices, buckets = random.integers(0, 4, n), random.integers(0, 25, n)
    first = (random.random(n) < 0.2 + 0.1 * slices).astype(float)
    second = np.where(random.random(n) < 0.6, first, random.random(n) < 0.5).astype(float)
    y = 5 * slices + 2 * first - second + random.normal(size=25)[buckets] + random.normal(size=n)
    return slices, buckets, np.column_stack((first, second)), np.column_stack((y, y**2))


def fitted(slices: np.ndarray, buckets: np.ndarray, x: np.ndarray, y: np.ndarray) -> Fit:
    """Sum up and fit."""
    shape = (slices.max() + 1, buckets.max() + 1)
    n = np.zeros(shape)
    sx, sy = np.zeros((*shape, x.shape[1])), np.zeros((*shape, y.shape[1]))
    xx, xy = np.zeros((shape[1], x.shape[1], x.shape[1])), np.zeros((shape[1], x.shape[1], y.shape[1]))
    np.add.at(n, (slices, buckets), 1)
    np.add.at(sx, (slices, buckets), x)
    np.add.at(sy, (slices, buckets), y)
    np.add.at(xx, buckets, x[:, :, None] * x[:, None, :])
    np.add.at(xy, buckets, x[:, :, None] * y[:, None, :])
    return fit(n, sx, sy, xx, xy, (y**2).sum(0))


def test_estimates_equal_least_squares_with_slice_dummies() -> None:
    """Coefficients and the residual variance are those of statsmodels on the rows."""
    slices, buckets, x, y = rows()
    ours = fitted(slices, buckets, x, y)
    for k in range(2):
        theirs = sm.OLS(y[:, k], np.column_stack((x, np.eye(4)[slices]))).fit()
        np.testing.assert_allclose(ours.beta[:, k], theirs.params[:2], rtol=1e-9)
        np.testing.assert_allclose([ours.independent_error(j)[k] for j in range(2)], theirs.bse[:2], rtol=1e-9)


def test_errors_equal_leaving_out_one_bucket_at_a_time() -> None:
    """The clustered error is the jackknife over whole regressions without each bucket (CR3)."""
    slices, buckets, x, y = rows()
    ours = fitted(slices, buckets, x, y)
    design = np.column_stack((x, np.eye(4)[slices]))
    without = np.array([np.linalg.lstsq(design[buckets != b], y[buckets != b], rcond=None)[0][:2] for b in range(25)])
    np.testing.assert_allclose(ours.without, without, rtol=1e-6, atol=1e-8)
    spread = np.sqrt(24 / 25 * ((without - ours.beta) ** 2).sum(0))
    independent = np.array([ours.independent_error(j) for j in range(2)])
    np.testing.assert_allclose(ours.error, np.maximum(spread, independent), rtol=1e-6)


def test_intervals_cover_the_truth() -> None:
    """Over many draws about 95% of the intervals hold the true effect."""
    hit = 0
    draws = 300
    for seed in range(draws):
        slices, buckets, x, y = rows(seed, 400)
        ours = fitted(slices, buckets, x, y[:, :1])
        half = stats.t.ppf(0.975, ours.dof[0]) * ours.error[0, 0]
        hit += abs(ours.beta[0, 0] - 2.0) <= half
    assert hit / draws == pytest.approx(0.96, abs=0.03)


def test_a_bucket_that_holds_a_whole_level_does_not_break_the_fit() -> None:
    """Without it the level's effect cannot be estimated; the rest still can."""
    slices, buckets, x, y = rows()
    x[:, 1] = buckets == 0
    assert np.isfinite(fitted(slices, buckets, x, y).without).all()


def test_multiplicity_equals_statsmodels() -> None:
    """Holm and Benjamini-Hochberg give the adjusted values that statsmodels gives."""
    p = np.random.default_rng(1).random(40) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1])
