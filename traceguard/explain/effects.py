"""The effect of each tested level on one entry point: root metrics, and every component's part in them.

Estimates are within entry point and time slice, joint over all factors that vary, clustered by buckets of units. The
effect on the mean is tested on durations capped at their 99% quantile (heavy tails), and reported raw, because capped
parts do not add up. A quantile is tested through the share of requests beyond the reference's quantile (which needs no
density), and reported through the distribution that the affected requests would have at the reference level: the
observed one minus the effect on each histogram bin (distribution regression, Chernozhukov, Fernandez-Val and Melly
2013).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard.explain.design import Column
from traceguard.model import Metric
from traceguard.stats.regression import Fit, jackknife_error
from traceguard.traces.cells import Cells, Outcomes

Floats = NDArray[np.float64]

QUANTILES: tuple[tuple[Metric, float], ...] = (("latency_p50", 0.50), ("latency_p95", 0.95), ("latency_p99", 0.99))
MIN_EXPECTED_EVENTS = 20  # below, a rate must also pass an exact test
NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class RootEffect:
    """A metric of the entry point under a level, in milliseconds or as a fraction.

    `p_worse` and `p_better` are one-sided; `p_alone` is `p_worse` if requests were independent, which is too sure and
    only says whether something is worth a doubt (1 for quantiles).
    """

    metric: Metric
    reference: float
    observed: float
    low: float
    high: float
    p_worse: float
    p_better: float
    p_alone: float = 1.0

    @property
    def delta(self) -> float:
        """Observed minus reference."""
        return self.observed - self.reference


@dataclass(frozen=True, slots=True)
class PartEffects:
    """Effects on c components, in milliseconds or failed requests per affected request."""

    estimate: Floats
    low: Floats
    high: Floats
    sure: Floats  # lower bound of the robust estimate, for ordering
    best: Floats  # its upper bound
    hint: Floats  # the robust estimate, shrunk by its error if requests were independent: orders what cannot be judged
    p_worse: Floats
    p_better: Floats

    def mirrored(self) -> "PartEffects":
        """The same with worse and better exchanged."""
        return PartEffects(
            -self.estimate, -self.high, -self.low, -self.best, -self.sure, -self.hint, self.p_better, self.p_worse
        )


@dataclass(frozen=True, slots=True)
class LevelEffects:
    """All effects of one tested level on one entry point."""

    column: Column
    inseparable: tuple[Column, ...]
    affected: int
    clusters: float
    roots: tuple[RootEffect, ...]
    latency: PartEffects
    errors: PartEffects
    histogram: tuple[Floats, Floats, Floats]  # edges in ms, reference shares, observed shares


def level_effects(
    fit: Fit, at: int, sums: tuple[Floats, Floats], cells: Cells, outcomes: Outcomes, column: Column,
    inseparable: tuple[Column, ...], alpha: float,
) -> LevelEffects:  # fmt: skip
    """Effects of the fit's column number `at`; `sums` are Σy (k) and Σx·y by bucket (B, k) of that column."""
    all_y, own_y = sums
    n = column.affected
    error = fit.standard_error()[at]
    critical = float(stats.t.ppf(1 - alpha / 2, fit.dof[at]))
    observed = own_y.sum(0) / n
    tests = _Tests(fit, at, error, own_y, n, all_y, float(cells.n.sum()))
    mean = _root("latency_mean", observed[0], fit.beta[at, 0], error[0], critical, tests.mean(1), NS_PER_MS)
    rate = _root("error_rate", observed[2], fit.beta[at, 2], error[2], critical, tests.events(2), 1.0)
    mean, rate = replace(mean, p_alone=tests.alone(1)), replace(rate, p_alone=tests.alone(2))
    quantiles, histogram = _quantiles(fit, at, own_y, outcomes, n, critical, tests)
    return LevelEffects(
        column=column, inseparable=inseparable, affected=n, clusters=float(fit.clusters[at]),
        roots=(mean, *quantiles, rate),
        latency=_parts(fit, at, error, critical, outcomes.part(0), outcomes.part(1), tests.means, NS_PER_MS),
        errors=_parts(fit, at, error, critical, outcomes.part(3), outcomes.part(3), tests.event_rates, 1.0),
        histogram=histogram,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Tests:
    """One-sided p-values (worse, better) of a column's coefficients."""

    fit: Fit
    at: int
    error: Floats
    own: Floats  # (B, k)
    affected: int
    all: Floats  # k: sum of each outcome over all requests
    requests: float

    def mean(self, k: int) -> tuple[float, float]:
        return _t_test(self.fit.beta[self.at, k], self.error[k], self.fit.dof[self.at])

    def events(self, k: int) -> tuple[float, float]:
        """A rate's test: t where events are frequent enough, else t and an exact test."""
        counts = _Counts(self.own[:, k], float(self.all[k]), self.affected, self.requests)
        return _rate_test(self.fit.beta[self.at, k], self.error[k], self.fit.dof[self.at], counts)

    def alone(self, k: int) -> float:
        """The p-value for worse if requests were independent."""
        error = float(self.fit.independent_error()[self.at, k])
        return float(stats.norm.sf(self.fit.beta[self.at, k] / error)) if error > 0.0 else 1.0

    def means(self, columns: slice) -> Floats:
        return np.array([self.mean(k) for k in range(columns.start, columns.stop)])

    def event_rates(self, columns: slice) -> Floats:
        return np.array([self.events(k) for k in range(columns.start, columns.stop)])


def _t_test(estimate: float, error: float, dof: float) -> tuple[float, float]:
    if error <= 0.0:
        return (1.0, 1.0)
    t = estimate / error
    return float(stats.t.sf(t, dof)), float(stats.t.cdf(t, dof))


def _rate_test(estimate: float, error: float, dof: float, counts: "_Counts") -> tuple[float, float]:
    """Test a rate's change; where few events are expected, an exact test has to agree.

    With rare events the clustered variance is near zero by chance and t far too sure. Given all events, those of
    affected requests are binomial if the level changes nothing. Of the affected side only the buckets of units that saw
    an event are counted, so that one unit that fails again and again counts once.
    """
    worse, better = _t_test(estimate, error, dof)
    if counts.affected * counts.events >= MIN_EXPECTED_EVENTS * counts.requests:
        return worse, better
    others = counts.events - counts.own.sum()
    hit = float(np.count_nonzero(counts.own > 0))
    exact = float(stats.binom.sf(hit - 1, hit + others, counts.affected / counts.requests))
    return max(worse, exact), 1.0


@dataclass(frozen=True, slots=True)
class _Counts:
    """Events of an outcome: among affected requests by bucket, and among all requests."""

    own: Floats
    events: float
    affected: int
    requests: float


def _root(
    metric: Metric, observed: float, estimate: float, error: float, critical: float, p: tuple[float, float], unit: float
) -> RootEffect:
    return RootEffect(
        metric, (observed - estimate) / unit, observed / unit,
        (estimate - critical * error) / unit, (estimate + critical * error) / unit, *p,
    )  # fmt: skip


def _parts(
    fit: Fit,
    at: int,
    error: Floats,
    critical: float,
    raw: slice,
    robust: slice,
    test: Callable[[slice], Floats],
    unit: float,
) -> PartEffects:
    estimate, spread = fit.beta[at, raw], error[raw]
    p_values = test(robust)
    return PartEffects(
        estimate=estimate / unit,
        low=(estimate - critical * spread) / unit,
        high=(estimate + critical * spread) / unit,
        sure=(fit.beta[at, robust] - critical * error[robust]) / unit,
        best=(fit.beta[at, robust] + critical * error[robust]) / unit,
        hint=_shrunk(fit.beta[at, robust], fit.independent_error()[at, robust]) / unit,
        p_worse=p_values[:, 0],
        p_better=p_values[:, 1],
    )


def _shrunk(estimate: Floats, error: Floats) -> Floats:
    """The positive-part estimate of James and Stein (1961): what is no larger than its error counts for nothing."""
    shrunk: Floats = estimate * np.maximum(1.0 - (error / np.where(estimate == 0.0, np.inf, estimate)) ** 2, 0.0)
    return np.where(error > 0.0, shrunk, 0.0)


def _quantiles(
    fit: Fit, at: int, own_y: Floats, outcomes: Outcomes, affected: int, critical: float, tests: _Tests
) -> tuple[list[RootEffect], tuple[Floats, Floats, Floats]]:
    """Effects on the quantiles, and the distributions (edges in ms, shares at the reference level, shares observed)."""
    bins = outcomes.histogram
    edges = outcomes.edges_ns
    own = own_y[:, bins]
    observed = own.sum(0) / affected
    supposed = observed - fit.beta[at, bins]
    levels = np.array([level for _, level in QUANTILES])
    seen, expected = _quantile(observed, edges, levels), _quantile(supposed, edges, levels)
    # The same without each bucket of units, for the jackknife of the difference.
    in_bucket = own[fit.used]
    left = np.maximum(affected - in_bucket.sum(1), 1.0)
    seen_without = (own.sum(0) - in_bucket) / left[:, None]
    expected_without = seen_without - fit.without[:, at, bins]
    difference = np.array(
        [
            _quantile(a, edges, levels) - _quantile(b, edges, levels)
            for a, b in zip(seen_without, expected_without, strict=True)
        ]
    )
    spread = jackknife_error(seen - expected, difference)
    effects = []
    for i, (metric, _) in enumerate(QUANTILES):
        p = _exceedance_test(fit, at, bins, int(np.searchsorted(edges, expected[i])), own, affected, tests)
        delta = seen[i] - expected[i]
        effects.append(
            RootEffect(
                metric, expected[i] / NS_PER_MS, seen[i] / NS_PER_MS,
                (delta - critical * spread[i]) / NS_PER_MS, (delta + critical * spread[i]) / NS_PER_MS, *p,
            )
        )  # fmt: skip
    return effects, (edges / NS_PER_MS, np.maximum(supposed, 0.0), observed)


def _exceedance_test(
    fit: Fit, at: int, bins: slice, edge: int, own: Floats, affected: int, tests: _Tests
) -> tuple[float, float]:
    """Test the change of the share of requests at or beyond histogram edge number `edge`."""
    above = slice(bins.start + edge, bins.stop)
    if above.start >= above.stop:
        return (1.0, 1.0)
    estimate = float(fit.beta[at, above].sum())
    events = float(tests.all[above].sum())
    overall = events / tests.requests
    clustered = float(jackknife_error(np.array(estimate), fit.without[:, at, above].sum(1)))
    independent = float(np.sqrt(fit.inverse_diagonal[at] * overall * (1.0 - overall)))
    counts = _Counts(own[:, edge:].sum(1), events, affected, tests.requests)
    return _rate_test(estimate, max(clustered, independent), float(fit.dof[at]), counts)


def _quantile(shares: Floats, edges: Floats, levels: Floats) -> Floats:
    """Quantiles of a histogram, interpolated on the logarithmic scale of its edges.

    Negative shares are rearranged away.
    """
    cumulative = np.concatenate(([0.0], np.maximum.accumulate(np.clip(np.cumsum(shares), 0.0, None))))
    total = cumulative[-1]
    if total <= 0.0:
        return np.full(levels.shape, edges[0])
    target = levels * total
    upper = np.clip(np.searchsorted(cumulative, target, side="left"), 1, edges.size - 1)
    width = cumulative[upper] - cumulative[upper - 1]
    part = np.where(width > 0, (target - cumulative[upper - 1]) / np.maximum(width, 1e-300), 0.0)
    quantile: Floats = edges[upper - 1] * (edges[upper] / edges[upper - 1]) ** np.clip(part, 0.0, 1.0)
    return quantile
