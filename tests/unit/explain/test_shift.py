"""Failures that only moved from one component to others are told from failures that are more."""

import numpy as np

from traceguard.explain.shift import more_than_moved
from traceguard.stats.intervals import FixedHorizon
from traceguard.stats.regression import Fit, fit

REQUESTS, BUCKETS, RUNS = 4000, 100, 150
MOST = 0.05 + 2 * np.sqrt(0.05 * 0.95 / RUNS)  # the level and two Monte Carlo errors
QUIET = (0.012, 0.008, 0.004, 0.004, 0.002, 0.001)  # how often requests fail in components that nobody touches


def p_value(seed: int, grown: float, *shrunk: float, noisy: float = 0.0) -> float:
    """The test's p-value where a level fails `grown` more requests in one component and fewer in others."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, BUCKETS, REQUESTS)
    x = (rng.permutation(BUCKETS) < BUCKETS // 3)[user]
    off = np.array([0.001, *([0.02] * len(shrunk)), *QUIET, *([noisy / 10] * 10)])
    on = off + np.array([grown, *(-s for s in shrunk), *([0.0] * (len(QUIET) + 10))])
    chances = np.where(x[:, None], on, off)
    begun = (rng.random(REQUESTS)[:, None] > chances.cumsum(1)).sum(1)  # no failure: past the last component
    y = (begun[:, None] == np.arange(off.size)).astype(float)
    found = fitted(user, x.astype(float), y)
    return float(more_than_moved(found, 0, slice(0, off.size), FixedHorizon(0.05))[0])


def fitted(user: np.ndarray, x: np.ndarray, y: np.ndarray) -> Fit:
    """The fit of one column from sums by user, in one slice."""
    sums = [np.zeros((BUCKETS, *value.shape[1:])) for value in (x[:, None], y, x[:, None] * y)]
    for into, value in zip(sums, (x[:, None], y, x[:, None] * y), strict=True):
        np.add.at(into, user, value)
    n = np.bincount(user, minlength=BUCKETS).astype(float)
    sx, sy, xy = sums
    return fit(n[None], sx[None], sy[None], sx[:, :, None], xy[:, None], (y**2).sum(0))


def test_errors_that_moved_from_one_component_are_no_more_errors() -> None:
    """What one component gains and another loses passes for more errors in at most the level's share of the runs."""
    assert np.mean([p_value(seed, 0.015, 0.015) <= 0.05 for seed in range(RUNS)]) <= MOST


def test_errors_that_moved_from_two_components_are_no_more_errors() -> None:
    """Nor does it help to have come from two places."""
    assert np.mean([p_value(seed, 0.03, 0.015, 0.015) <= 0.05 for seed in range(RUNS)]) <= MOST


def test_more_errors_stand_out_of_those_that_have_nothing_to_do_with_them() -> None:
    """Where most failures begin elsewhere, a component's own tell what all failures together do not."""
    assert np.median([p_value(seed, 0.03, noisy=0.1) for seed in range(30)]) < 0.005
