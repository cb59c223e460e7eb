"""From facts to estimates, intervals and p-values: each against a direct regression over requests, by statsmodels."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from traceguard.explain.effects import QUANTILES, LevelEffects
from traceguard.explain.entries import Clock, entry_effects
from traceguard.stats.regression import Fit, fit
from traceguard.traces.cells import cells_of, histogram_bins, outcomes_of, winsor_caps
from traceguard.traces.factors import FIRST_LEVEL, Factor
from traceguard.traces.facts import Facts

MS = 1_000_000
ALPHA = 0.05
USERS = 40
FLAGS = tuple(Factor("flag", key, None, ("", "", "off", "on"), FIRST_LEVEL) for key in ("first", "second"))


@dataclass(frozen=True)
class Table:
    """Requests of two operations under two flags that go together, by users who differ, in traffic that slows down."""

    facts: Facts
    x: np.ndarray  # (r, 2): whether the flags are on
    user: np.ndarray

    @property
    def slices(self) -> np.ndarray:
        """The time slice of each request."""
        return Clock().slices(self.facts.start)

    @property
    def design(self) -> np.ndarray:
        """The flags and a dummy for every slice."""
        return np.column_stack((self.x, np.eye(self.slices.max() + 1)[self.slices]))

    @property
    def times(self) -> np.ndarray:
        """The time of each operation, shape (r, 2)."""
        return self.facts.time.reshape(-1, 2).astype(float)

    def effects(self) -> tuple[LevelEffects, ...]:
        """What the analysis says of the two flags."""
        levels = (FIRST_LEVEL + self.x).astype(np.int16)
        units = self.user.astype(np.uint64)
        return entry_effects(0, 0, self.facts, FLAGS, levels, units, Clock(), ALPHA).within

    def direct(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients of the flags and their errors: leaving out users, never below those under independence."""
        design = self.design
        whole = sm.OLS(y, design).fit()
        without = [_solved(design[keep], y[keep]) for keep in self.user != np.arange(USERS)[:, None]]
        spread = np.sqrt((USERS - 1) / USERS * ((np.array(without) - whole.params[:2]) ** 2).sum(0))
        return whole.params[:2], np.maximum(spread, whole.bse[:2])

    def freedom(self) -> np.ndarray:
        """Degrees of freedom of the flags' tests: the effective number of users by their leverages, less one."""
        flags = [sm.OLS(self.x[:, j], np.delete(self.design, j, axis=1)).fit().resid for j in range(2)]
        shares = np.array([np.bincount(self.user, resid**2) for resid in flags])
        return shares.sum(1) ** 2 / (shares**2).sum(1) - 1


def _solved(design: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The coefficients of the flags."""
    return np.linalg.solve(design.T @ design, design.T @ y)[:2]


def table(seed: int = 5, requests: int = 1_200) -> Table:
    """A small table; slices differ in time and in exposure."""
    random = np.random.default_rng(seed)
    user = random.integers(0, USERS, requests)
    begun = np.arange(requests) / requests
    first = random.random(requests) < 0.2 + 0.5 * begun
    second = np.where(random.random(requests) < 0.5, first, random.random(requests) < 0.4)
    x = np.column_stack((first, second)).astype(np.int64)
    slow = np.exp(random.normal(0, 0.3, USERS))[user] * (1 + begun)
    times = random.lognormal(3, 0.5, (requests, 2)) * slow[:, None] * (1 + x @ [[0.5, 0.0], [0.0, 0.2]])
    failed = random.random(requests) < 0.2 + 0.1 * first
    time = (times * MS).astype(np.int64)
    zeros = np.zeros(requests, dtype=np.int32)
    facts = Facts(
        trace_hash=np.arange(requests, dtype=np.uint64), entry=zeros, environment=zeros,
        start=np.arange(requests) * 1_000 * MS, dur=time.sum(1), failed=failed,
        origin=np.where(failed, 2 * random.integers(0, 2, requests), -1).astype(np.int32),
        detached=np.zeros(requests, dtype=np.bool_), first=2 * np.arange(requests + 1),
        component=np.tile(np.array([0, 2], dtype=np.int32), requests), time=time.ravel(),
        calls=np.ones(2 * requests, dtype=np.int32), retries=np.zeros(2 * requests, dtype=np.int32),
        attempts=np.zeros(2 * requests, dtype=np.int64), timed_out=np.zeros(requests, dtype=np.bool_),
        path=np.zeros(requests, dtype=np.uint64), incomplete=np.zeros(requests, dtype=np.bool_),
        ambiguous=np.zeros(requests, dtype=np.int64), overlapped=np.zeros(requests, dtype=np.int64),
        handled=np.zeros(requests, dtype=np.int32),
    )  # fmt: skip
    return Table(facts, x, user)


def fitted(table: Table, weight: np.ndarray | None = None, slices: np.ndarray | None = None) -> Fit:
    """The fit from cells, without the analysis around it."""
    outcomes = outcomes_of(table.facts)
    slices = table.slices if slices is None else slices
    active = -np.sort(-np.where(table.x == 1, np.arange(2), -1), axis=1).astype(np.int32)
    cells = cells_of(
        table.facts, outcomes, winsor_caps(table.facts, outcomes), slices, table.user.astype(np.int32),
        np.ascontiguousarray(active), 2, weight,
    )  # fmt: skip
    sums = (a.astype(float) for a in (cells.n, cells.sx, cells.sy, cells.xx, cells.xy))
    return fit(*sums, cells.totals().squares)


def test_means_rates_and_parts_are_those_of_least_squares_over_requests() -> None:
    """Effects on the mean, on failures and on each operation's time and failures, to 1e-8."""
    made = table()
    facts = made.facts
    rates = np.column_stack([facts.failed & (facts.origin == part) for part in (0, 2)]).astype(float)
    for j, level in enumerate(made.effects()):
        mean, rate = level.roots[0], level.roots[-1]
        assert mean.delta * MS == pytest.approx(made.direct(facts.dur.astype(float))[0][j], rel=1e-8)
        assert rate.delta == pytest.approx(made.direct(facts.failed.astype(float))[0][j], rel=1e-8)
        assert mean.observed * MS == pytest.approx(facts.dur[made.x[:, j] == 1].mean(), rel=1e-12)
        for part in range(2):
            estimate = made.direct(made.times[:, part])[0][j]
            assert level.latency.estimate[part] * MS == pytest.approx(estimate, rel=1e-8)
            assert level.errors.estimate[part] == pytest.approx(made.direct(rates[:, part])[0][j], rel=1e-8)


def test_intervals_and_p_values_are_those_of_leaving_out_users() -> None:
    """The interval is of raw durations, the test of capped ones, both with refits without each user."""
    made = table()
    cap = winsor_caps(made.facts, outcomes_of(made.facts))[0]
    raw, capped = made.facts.dur.astype(float), np.minimum(made.facts.dur, cap).astype(float)
    freedom = made.freedom()
    for j, level in enumerate(made.effects()):
        mean, (estimate, error) = level.roots[0], made.direct(raw)
        assert level.clusters == pytest.approx(freedom[j] + 1, rel=1e-8)
        half = stats.t.ppf(1 - ALPHA / 2, freedom[j]) * error[j]
        assert (mean.low * MS, mean.high * MS) == pytest.approx((estimate[j] - half, estimate[j] + half), rel=1e-6)
        estimate, error = made.direct(capped)
        assert mean.p_worse == pytest.approx(stats.t.sf(estimate[j] / error[j], freedom[j]), rel=1e-6)
        estimate, error = made.direct(made.facts.failed.astype(float))
        assert level.roots[-1].p_worse == pytest.approx(stats.t.sf(estimate[j] / error[j], freedom[j]), rel=1e-6)


def test_quantiles_are_those_of_the_regression_of_each_share() -> None:
    """The reference quantile is where the affected share below, less the flag's effect on it, meets the level."""
    made = table()
    dur = made.facts.dur.astype(float)
    low, high = histogram_bins(made.facts.dur).min(), histogram_bins(made.facts.dur).max()
    edges = np.exp2(np.arange(low + 1, high + 2) / 16)
    below = (dur[:, None] < edges).astype(float)
    effect = np.linalg.lstsq(made.design, below, rcond=None)[0]
    freedom = made.freedom()
    for j, level in enumerate(made.effects()):
        observed = below[made.x[:, j] == 1].mean(0)
        expected = np.maximum.accumulate(observed - effect[j])
        for i, (metric, share) in enumerate(QUANTILES, 1):
            root = level.roots[i]
            assert root.metric == metric
            assert root.reference * MS == pytest.approx(crossing(expected, edges, share), rel=1e-8)
            assert root.observed * MS == pytest.approx(crossing(observed, edges, share), rel=1e-8)
            assert abs(np.log2(root.observed * MS / np.quantile(dur[made.x[:, j] == 1], share))) < 1 / 16
            # The test: the share at or above the edge that ends the bin of the reference quantile.
            edge = edges[np.searchsorted(edges, root.reference * MS)]
            above = (dur >= edge).astype(float)
            if above[made.x[:, j] == 1].sum() < 40:
                continue  # so few also have to pass an exact test
            estimate, error = made.direct(above)
            # Never below the error of shares that the flags and slices say nothing about.
            alone = above.std() * np.sqrt(np.linalg.inv(made.design.T @ made.design)[j, j])
            t = estimate[j] / max(error[j], alone)
            assert root.p_worse == pytest.approx(stats.t.sf(t, freedom[j]), rel=1e-6)


def crossing(cumulative: np.ndarray, edges: np.ndarray, share: float) -> float:
    """Where shares below `edges` reach `share`, interpolated on their logarithms."""
    at = int(np.searchsorted(cumulative, share * cumulative[-1]))
    part = (share * cumulative[-1] - cumulative[at - 1]) / (cumulative[at] - cumulative[at - 1])
    return float(np.exp(np.interp(part, (0, 1), np.log(edges[at - 1 : at + 1]))))


def test_one_flag_in_one_slice_compares_the_two_groups_quantiles() -> None:
    """Without anything to adjust for the reference quantiles are the other group's, within a bin of 4.4%."""
    made = table()
    levels = (FIRST_LEVEL + made.x[:, :1]).astype(np.int16)
    (level,) = entry_effects(
        0, 0, made.facts, FLAGS[:1], levels, made.user.astype(np.uint64), OneSlice(), ALPHA
    ).within  # fmt: skip
    off, on = (made.facts.dur[made.x[:, 0] == value] / MS for value in (0, 1))
    for root, (_, share) in zip(level.roots[1:4], QUANTILES, strict=True):
        assert root.reference == pytest.approx(np.quantile(off, share), rel=0.045)
        assert root.observed == pytest.approx(np.quantile(on, share), rel=0.045)


class OneSlice(Clock):
    """A window that is one moment."""

    def slices(self, start: np.ndarray) -> np.ndarray:
        """All requests in the first slice."""
        return np.zeros(start.size, dtype=np.int32)


def test_weights_are_those_of_weighted_least_squares() -> None:
    """Coefficients and refits are WLS, the error under independence that of each request written down as often."""
    made = table()
    weight = np.random.default_rng(2).integers(1, 6, made.user.size)
    ours, y = fitted(made, weight), made.facts.dur.astype(float)
    theirs = sm.WLS(y, made.design, weights=weight).fit()
    np.testing.assert_allclose(ours.beta[:, 0], theirs.params[:2], rtol=1e-8)
    for b in range(0, USERS, 7):
        keep = made.user != b
        without = sm.WLS(y[keep], made.design[keep], weights=weight[keep]).fit().params[:2]
        np.testing.assert_allclose(ours.without[b, :, 0], without, rtol=1e-8)
    written = sm.OLS(np.repeat(y, weight), np.repeat(made.design, weight, axis=0)).fit()
    np.testing.assert_allclose([ours.independent_error(j)[0] for j in range(2)], written.bse[:2], rtol=1e-6)


def test_clustered_errors_are_statsmodels_up_to_the_small_sample_factor() -> None:
    """CR3 lies above CR1 by what the leverages of 40 users explain; where these are equal, by a known factor."""
    made = table()
    y, design = made.facts.dur.astype(float), made.design
    theirs = sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": made.user}).bse[:2]
    ratio = fitted(made).error[:, 0] / theirs
    assert ratio.min() > 1.0
    assert ratio.max() < 1.2
    # Every user sends the same 30 requests: leverages are equal, and CR3 is CR1 times (N - K) / (N - 1).
    user, which = np.divmod(np.arange(y.size), 30)
    x, slices = np.column_stack((which % 2, which % 3 == 0)).astype(np.int64), (which % 5).astype(np.int32)
    swayed = made.facts.dur * np.exp(np.where(x[:, 0], np.sin(user), 0))  # users differ in what the flag does
    equal = Table(replace(made.facts, dur=swayed.astype(np.int64)), x, user)
    design = np.column_stack((x, np.eye(5)[slices]))
    theirs = sm.OLS(equal.facts.dur.astype(float), design).fit(cov_type="cluster", cov_kwds={"groups": user}).bse[0]
    ours = fitted(equal, slices=slices).error[0, 0]
    assert ours == pytest.approx(theirs * np.sqrt((y.size - 7) / (y.size - 1)), rel=1e-6)


def test_an_interval_of_a_quantile_never_contradicts_its_test() -> None:
    """A p99 that surely rose may have risen by any amount, but by no negative one; and the other way about."""
    ended = 0
    for seed in range(12):
        made = table(seed, 400)
        draw = np.random.default_rng(seed)
        rare = (draw.random(400) < 0.15) & (made.x[:, 0] == seed % 2)  # slower with the first flag, or without it
        time = made.times + (np.exp(draw.normal(5.0, 1.5, 400)) * MS * rare)[:, None]
        facts = replace(made.facts, time=time.astype(np.int64).ravel(), dur=time.astype(np.int64).sum(1))
        for root in replace(made, facts=facts).effects()[0].roots[1:-1]:
            assert root.low <= root.delta <= root.high
            if root.p_worse <= ALPHA / 2:
                assert root.low >= 0.0
            if root.p_better <= ALPHA / 2:
                assert root.high <= 0.0
            ended += 0.0 in {root.low, root.high}
    assert ended > 0
