"""Student's t as normal scores: exactly, and by a table for thousands of draws."""

import numpy as np
import pytest
from scipy import stats

from traceguard.stats.intervals import FixedHorizon, normal_scores, quick_scores


@pytest.mark.parametrize("dof", [1.0, 4.5, 63.0, 1000.0])
def test_scores_are_as_far_in_the_tail(dof: float) -> None:
    """Their normal tail is the t's own, on both sides, so p-values do not change."""
    t = np.array([-7.0, -1.5, 0.0, 0.3, 2.0, 9.0])
    assert stats.norm.sf(normal_scores(t, dof)) == pytest.approx(stats.t.sf(t, dof), rel=1e-9)
    exact, _ = FixedHorizon(0.05).p_values(t, np.ones(6), dof)
    assert FixedHorizon(0.05).p_of_scores(normal_scores(t, dof), np.ones(6)) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("dof", [1.0, 4.5, 63.0, 1000.0])
@pytest.mark.parametrize("scale", [0.1, 2.0, 40.0])
def test_the_table_is_close_enough_for_draws(dof: float, scale: float) -> None:
    """No score up to 18 is off by a thousandth, and signs and shapes stay."""
    t = np.random.default_rng(7).normal(0.0, scale, (400, 3))
    exact = normal_scores(t, dof)
    near = np.abs(exact) < 18.0
    found = quick_scores(t, dof)
    assert found.shape == t.shape
    assert np.abs(found - exact)[near].max() < 1e-3
    assert (np.sign(found) == np.sign(t)).all()
