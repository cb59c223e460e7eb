"""Confidence sequences: the paper's boundary, the p-value that inverts it, and chance alarms over many looks."""

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from traceguard.stats.intervals import FixedHorizon
from traceguard.stats.sequential import RHO_SQUARED, TIGHTEST_AT, TIGHTEST_LEVEL, AnytimeValid, anytime_p

MANY = 1e9  # degrees of freedom that make t normal


def test_the_margin_is_the_papers_boundary() -> None:
    """In standard errors, at three amounts of information."""
    for n in (10.0, 400.0, 50_000.0):
        v = n * RHO_SQUARED
        boundary = np.sqrt(2 * (v + 1) / v * np.log(np.sqrt(v + 1) / 0.05))
        assert AnytimeValid(0.05).margin(np.array([n]), MANY)[0] == pytest.approx(boundary, rel=1e-6)


def test_the_boundary_is_tightest_where_stated() -> None:
    """No other scale of the mixture makes the interval narrower there by a hundredth."""

    def boundary(log_v: float) -> float:
        v = float(np.exp(log_v))
        return float(np.sqrt(2 * (v + 1) / v * np.log(np.sqrt(v + 1) / TIGHTEST_LEVEL)))

    best = optimize.minimize_scalar(boundary, bounds=(-5, 10), method="bounded").fun
    assert boundary(np.log(TIGHTEST_AT * RHO_SQUARED)) < 1.01 * best


def test_the_p_value_is_the_inverse_of_the_mixture_over_positive_effects() -> None:
    """One over the likelihood ratio, averaged numerically over a half-normal effect."""
    n, z = 300.0, 2.8

    def ratio(effect: float) -> float:
        weight = 2 * stats.norm.pdf(effect, scale=np.sqrt(RHO_SQUARED))
        return float(np.exp(effect * z * np.sqrt(n) - effect**2 * n / 2) * weight)

    mixture = integrate.quad(ratio, 0, 5, limit=200)[0]
    assert anytime_p(np.array([z]), np.array([n]))[0] == pytest.approx(1 / mixture, rel=1e-6)


def test_nothing_known_is_no_evidence() -> None:
    """Without information, and for estimates on the other side, p is 1; the margin is wide and finite."""
    live = AnytimeValid(0.05)
    assert live.p_values(np.array([9.0]), np.array([0.0]), 30.0)[0][0] == 1.0
    assert live.p_values(np.array([-9.0]), np.array([500.0]), 30.0)[0][0] == 1.0
    assert np.isfinite(live.margin(np.array([0.0]), 1.0)).all()


def test_few_clusters_are_no_surer_than_at_one_look() -> None:
    """The fewer degrees of freedom, the larger p and the wider the interval."""
    live, t, n = AnytimeValid(0.05), np.array([4.0]), np.array([400.0])
    p = [live.p_values(t, n, dof)[0][0] for dof in (9.0, 30.0, MANY)]
    margins = [live.margin(n, dof)[0] for dof in (9.0, 30.0, MANY)]
    assert p == sorted(p, reverse=True)
    assert margins == sorted(margins, reverse=True)
    assert margins[2] > FixedHorizon(0.05).margin(n, MANY)[0]


def test_200_looks_alarm_as_rarely_as_one() -> None:
    """Means of noise, looked at 200 times: intervals and one-sided tests hold at 5%, plain ones do not."""
    random = np.random.default_rng(7)
    looks = np.unique(np.geomspace(50, 20_000, 200).astype(int))
    missed, crossed, plain = 0, 0, 0
    runs = 1_000
    for _ in range(runs):
        z = np.cumsum(random.standard_normal(looks[-1]))[looks - 1] / np.sqrt(looks)
        missed += bool((np.abs(z) > AnytimeValid(0.05).margin(looks.astype(float), MANY)).any())
        crossed += bool((anytime_p(z, looks.astype(float)) <= 0.05).any())
        plain += bool((stats.norm.sf(z) <= 0.05).any())
    assert missed / runs <= 0.05
    assert 0.01 <= crossed / runs <= 0.05
    assert plain / runs > 0.25
