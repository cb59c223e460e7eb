"""Comparing two sides within strata: against scipy, against counting, and where nothing can be told."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from traceguard.stats import stratified
from traceguard.stats.stratified import more_events, risk_difference, risk_difference_error


def counts(*tables: tuple[int, int, int, int]) -> list[NDArray[np.int64]]:
    """The four columns of tables (n0, e0, n1, e1)."""
    return [np.array(column, dtype=np.int64) for column in zip(*tables, strict=True)]


@pytest.mark.parametrize("table", [(18, 0, 4, 4), (20, 3, 30, 9), (5, 5, 7, 2)])
def test_one_stratum_is_fishers_exact_test(table: tuple[int, int, int, int]) -> None:
    """Both one-sided p-values are scipy's."""
    n0, e0, n1, e1 = table
    square = [[e1, n1 - e1], [e0, n0 - e0]]
    more, fewer = more_events(*counts(table))
    assert more == pytest.approx(stats.fisher_exact(square, alternative="greater").pvalue)
    assert fewer == pytest.approx(stats.fisher_exact(square, alternative="less").pvalue)


def test_strata_add_up_to_the_distribution_of_all_ways_to_share_the_events() -> None:
    """Counting every way to place the events gives the same p-value."""
    tables = [(3, 1, 2, 1), (2, 0, 3, 2)]
    draws = []
    for n0, e0, n1, e1 in tables:
        placed = itertools.combinations(range(n0 + n1), e0 + e1)
        draws.append([sum(i < n1 for i in chosen) for chosen in placed])
    sums = [sum(drawn) for drawn in itertools.product(*draws)]
    assert more_events(*counts(*tables))[0] == pytest.approx(np.mean(np.array(sums) >= 3))


def test_the_normal_limit_meets_the_exact_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both apply they agree in what matters."""
    table = counts((900, 90, 800, 110), (400, 200, 500, 240))
    exact = more_events(*table)
    monkeypatch.setattr(stratified, "MOST_EXACT", 0)
    assert more_events(*table) == pytest.approx(exact, rel=0.03)


def test_what_only_one_side_has_tells_nothing() -> None:
    """Strata without trials on a side, without events, or with nothing else, change no p-value."""
    silent = [(0, 0, 50, 50), (30, 30, 0, 0), (10, 0, 10, 0), (10, 10, 10, 10)]
    assert more_events(*counts(*silent)) == (1.0, 1.0)
    assert more_events(*counts((18, 2, 9, 5), *silent)) == pytest.approx(more_events(*counts((18, 2, 9, 5))))


def test_a_mix_that_shifts_between_strata_is_no_difference() -> None:
    """Each stratum keeps its rate while most trials move to the eventful one: Simpson's paradox is no finding."""
    tables = [(900, 9, 100, 1), (100, 50, 900, 450)]
    floats = [column.astype(np.float64) for column in counts(*tables)]
    assert risk_difference(*floats) == pytest.approx(0.0)
    assert more_events(*counts(*tables))[0] > 0.3


def test_the_error_covers_the_spread_of_simulated_differences() -> None:
    """Among independent trials the standard error is that of the difference."""
    random = np.random.default_rng(1)
    n0, n1, p0, p1 = np.array([200, 50]), np.array([100, 300]), np.array([0.2, 0.7]), np.array([0.3, 0.7])
    found, errors = [], []
    for _ in range(2_000):
        e0, e1 = random.binomial(n0, p0), random.binomial(n1, p1)
        sides = (n0.astype(np.float64), e0.astype(np.float64), n1.astype(np.float64), e1.astype(np.float64))
        found.append(float(risk_difference(*sides)))
        errors.append(risk_difference_error(*sides))
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.05)


def test_what_never_happened_is_not_certain() -> None:
    """No event on either side still leaves an error."""
    assert risk_difference_error(*(np.array([value]) for value in (20.0, 0.0, 20.0, 0.0))) > 0.03
