"""Student's t as normal scores: exactly, and by a table for thousands of draws."""

import numpy as np
import pytest
from scipy import stats

from traceguard.stats.intervals import FixedHorizon, normal_scores, quick_chi_square, quick_scores


@pytest.mark.parametrize("dof", [1.0, 4.5, 63.0, 1000.0])
def test_scores_are_as_far_in_the_tail(dof: float) -> None:
    """Their normal tail is the t's own, on both sides, so p-values do not change."""
    t = np.array([-7.0, -1.5, 0.0, 0.3, 2.0, 9.0])
    assert stats.norm.sf(normal_scores(t, dof)) == pytest.approx(stats.t.sf(t, dof), rel=1e-9)
    exact, _ = FixedHorizon(0.05).p_values(t, np.ones(6), dof)
    assert FixedHorizon(0.05).p_of_scores(normal_scores(t, dof), np.ones(6)) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("dof", [1.0, 4.5, 19.9, 20.0, 63.0, 1000.0])
@pytest.mark.parametrize("scale", [0.1, 2.0, 40.0])
def test_quick_scores_are_close_enough_for_draws(dof: float, scale: float) -> None:
    """None up to 6 is off by more than stated, signs and shapes stay, and larger ones stay beyond."""
    t = np.random.default_rng(7).normal(0.0, scale, (400, 3))
    exact, found = normal_scores(t, dof), quick_scores(t, dof)
    near = np.abs(exact) < 6.0
    assert found.shape == t.shape
    assert np.abs(found - exact)[near].max() < (0.011 if dof >= 20.0 else 0.001)
    assert (np.abs(found[~near]) > 5.9).all()
    assert (np.sign(found) == np.sign(t)).all()


@pytest.mark.parametrize("dof", [1.0, 4.5, 19.9, 20.0, 63.0, 1000.0])
def test_quick_errors_are_close_enough_for_draws(dof: float) -> None:
    """The square root of a chi-square number over its degrees of freedom is right to 0.7%, three deviations out."""
    normal = np.linspace(-3.0, 3.0, 300)
    exact = stats.chi2.ppf(stats.norm.cdf(normal), dof) / dof
    assert np.sqrt(quick_chi_square(normal, dof)) == pytest.approx(np.sqrt(exact), rel=0.007)
