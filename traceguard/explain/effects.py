"""The effect of each tested level on one entry point: root metrics, and every component's part in them.

Estimates are within entry point and time slice, joint over all factors that vary, clustered by buckets of units. The
effect on the mean is tested on durations capped at their 99% quantile (heavy tails), and reported raw, because capped
parts do not add up. A quantile is tested through the share of requests beyond the reference's quantile (which needs no
density), and reported through the distribution that the affected requests would have at the reference level: the
observed one minus the effect on each histogram bin (distribution regression, Chernozhukov, Fernandez-Val and Melly
2013).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard.explain.count_and_cost import count_part
from traceguard.explain.design import Column
from traceguard.explain.shift import more_than_moved
from traceguard.model import Metric
from traceguard.stats.intervals import Inference
from traceguard.stats.regression import Fit, jackknife_error
from traceguard.stats.serial import Serial
from traceguard.traces.cells import Outcomes, Totals

Floats = NDArray[np.float64]

QUANTILES: tuple[tuple[Metric, float], ...] = (("latency_p50", 0.50), ("latency_p95", 0.95), ("latency_p99", 0.99))
_LEAST_FREEDOM = 2.0  # degrees of freedom of a quantile's error
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
    delta: float
    low: float
    high: float
    p_worse: float
    p_better: float
    p_alone: float = 1.0


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
    adjusted: float  # how many requests the affected ones stand for
    by_count: Floats  # c: the part of each latency estimate that the number of calls makes
    recalled: Floats  # c: p-values that the number of calls changed
    more_errors: Floats  # c: p-values that errors grew there by more than they shrank elsewhere
    pre_period: bool = False  # compared among users who were alike before


@dataclass(frozen=True, slots=True)
class Sums:
    """Σy (k) of the requests that a column is about."""

    own: Floats  # (B, k): affected requests, by bucket
    compared: Floats  # affected ones and those under the reference: who never reached a service has no event there
    requests: float  # how many these are


def level_effects(
    fit: Fit, at: int, sums: Sums, totals: Totals, outcomes: Outcomes, column: Column,
    inseparable: tuple[Column, ...], inference: Inference, n: float, adjusted: float, serial: Serial | None = None,
) -> LevelEffects:  # fmt: skip
    """Effects of the fit's column number `at`, with its `sums`.

    `n` is the column's sum over the weighted requests, `adjusted` how many requests its recorded ones stand for;
    `serial` are the column's residuals where buckets are blocks of time.
    """
    own_y, error = sums.own, fit.error[at]
    margin = inference.margin(fit.information(at), fit.dof[at])
    observed = own_y.sum(0) / n
    tests = Tests(fit, at, own_y, sums.compared, n, sums.requests, totals, inference, serial is not None)
    by_mean, by_rate = _first(tests.means(slice(1, 2))), _first(tests.rates(slice(2, 3)))
    mean = _root("latency_mean", observed[0], fit.beta[at, 0], error[0], margin[0], by_mean, NS_PER_MS)
    rate = _root("error_rate", observed[2], fit.beta[at, 2], error[2], margin[2], by_rate, 1.0)
    mean, rate = replace(mean, p_alone=tests.alone(1)), replace(rate, p_alone=tests.alone(2))
    spent, made = outcomes.part(0), outcomes.part(2)
    by_count = count_part(
        outcomes.components, *((observed[each] - fit.beta[at, each], observed[each]) for each in (spent, made))
    )
    quantiles, histogram = _quantiles(fit, at, own_y, outcomes, n, tests, serial)
    # A tail is cut off by the cap: how often time lies beyond it is tested beside the capped mean.
    latency = _either(tests.means(outcomes.part(1)), tests.rates(outcomes.part(4)))
    errors = tests.rates(outcomes.part(3))
    return LevelEffects(
        column=column, inseparable=inseparable, affected=column.affected, clusters=float(fit.clusters[at]),
        roots=(mean, *quantiles, rate),
        latency=_parts(fit, at, margin * error, outcomes.part(0), outcomes.part(1), latency, NS_PER_MS),
        errors=_parts(fit, at, margin * error, outcomes.part(3), outcomes.part(3), errors, 1.0),
        histogram=histogram, adjusted=adjusted,
        by_count=by_count / NS_PER_MS,
        recalled=2.0 * np.minimum(*tests.means(made)),
        more_errors=more_than_moved(fit, at, outcomes.part(3), inference),
    )  # fmt: skip


def held_against(average: LevelEffects, alone: LevelEffects) -> LevelEffects:
    """The average effects of a level, each as sure as the less sure of them and of its effect without other levels."""

    def parts(one: PartEffects, other: PartEffects) -> PartEffects:
        return replace(
            one, p_worse=np.maximum(one.p_worse, other.p_worse), p_better=np.maximum(one.p_better, other.p_better)
        )

    return replace(
        average,
        roots=tuple(
            replace(one, p_worse=max(one.p_worse, other.p_worse), p_better=max(one.p_better, other.p_better))
            for one, other in zip(average.roots, alone.roots, strict=True)
        ),
        latency=parts(average.latency, alone.latency),
        errors=parts(average.errors, alone.errors),
        more_errors=np.maximum(average.more_errors, alone.more_errors),
    )


@dataclass(frozen=True, slots=True)
class Tests:
    """One-sided p-values (worse, better) of one column's coefficients, for many outcomes at once."""

    fit: Fit
    at: int
    own: Floats  # (B, k): sums over affected requests
    all: Floats  # k: sums over the affected requests and those that they are held against
    affected: float
    requests: float  # as many
    totals: Totals
    inference: Inference
    in_time: bool  # compared across time: clusters are blocks of it, and an outage is no event of a unit

    def means(self, columns: slice) -> tuple[Floats, Floats]:
        """Tests of means."""
        estimate, error = self.fit.beta[self.at, columns], self.fit.error[self.at, columns]
        return self._t(estimate, error, self.fit.information(self.at)[columns])

    def rates(self, columns: slice) -> tuple[Floats, Floats]:
        """Tests of rates of events."""
        estimate, error = self.fit.beta[self.at, columns], self.fit.error[self.at, columns]
        weight = self.totals.event_weight(columns)
        information = self.fit.information(self.at)[columns]
        return self.rate(estimate, error, information, self.own[:, columns], self.all[columns], weight)

    def rate(
        self, estimate: Floats, error: Floats, information: Floats, own: Floats, events: Floats, weight: Floats
    ) -> tuple[Floats, Floats]:
        """Tests of rates, `own` (B, c) being the affected requests' events by bucket; exact where few are expected.

        `weight` (c) is how often an event is counted: it is what was recorded that few or many is said of.

        With rare events the clustered variance is near zero by chance and t far too sure. Given all events, those of
        affected requests are binomial if the level changes nothing. Of the affected side only the buckets of units that
        saw an event are counted, so that one unit that fails again and again counts once. What the exact test cannot do
        is to hold other levels constant: so the estimate must also stand out of the errors that it had if nothing
        changed. (The estimated error grows with the very events that are to be found.)
        """
        worse, better = self._t(estimate, error, information)
        usual = events / self.requests
        null = np.sqrt(self.fit.inverse_diagonal[self.at] * usual * (1.0 - usual) * weight)
        if not self.in_time:
            adjusted, _ = self._t(estimate, null, np.full(null.shape, 1.0 / self.fit.inverse_diagonal[self.at]))
        else:
            adjusted = worse
        rare = self._rare(events, weight)
        hit = np.count_nonzero(own > 0, axis=0).astype(np.float64)
        # Whole events: weights leave fractions, for which there is no binomial.
        others = np.rint(np.maximum(events - own.sum(0), 0.0) / weight)
        exact = stats.binom.sf(hit - 1, hit + others, self.affected / self.requests)
        exact = self.inference.of_few_events(exact)
        return np.where(rare, np.maximum(adjusted, exact), worse), np.where(rare, 1.0, better)

    def least(self, columns: slice) -> Floats:
        """The smallest p-values for worse that `rates` could give: a few events can at most all be affected ones."""
        events, weight = self.all[columns], self.totals.event_weight(columns)
        most = np.rint(events / weight)
        exact = self.inference.of_few_events(stats.binom.sf(most - 1, most, self.affected / self.requests))
        return np.where(self._rare(events, weight), exact, 0.0)

    def _rare(self, events: Floats, weight: Floats) -> NDArray[np.bool_]:
        rare: NDArray[np.bool_] = self.affected * events / weight < MIN_EXPECTED_EVENTS * self.requests
        return rare

    def alone(self, k: int) -> float:
        """The p-value for worse of the mean of outcome `k` if requests were independent."""
        error = float(self.fit.independent_error(self.at)[k])
        return float(stats.norm.sf(self.fit.beta[self.at, k] / error)) if error > 0.0 else 1.0

    def margin(self, information: float, dof: float) -> float:
        """Half the width of an interval, in standard errors of at most `dof` degrees of freedom."""
        return float(self.inference.margin(np.array([information]), min(dof, self.fit.dof[self.at]))[0])

    def _t(self, estimate: Floats, error: Floats, information: Floats) -> tuple[Floats, Floats]:
        known = error > 0.0
        t = estimate / np.where(known, error, np.inf)
        worse, better = self.inference.p_values(t, information, self.fit.dof[self.at])
        return np.where(known, worse, 1.0), np.where(known, better, 1.0)


def _either(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """The p-values of two tests of the same, of which either is enough (Bonferroni)."""
    worse, better = (np.minimum(2.0 * np.minimum(a, b), 1.0) for a, b in zip(one, other, strict=True))
    return worse, better


def _first(p_values: tuple[Floats, Floats]) -> tuple[float, float]:
    return float(p_values[0][0]), float(p_values[1][0])


def _root(
    metric: Metric, observed: float, estimate: float, error: float, margin: float, p: tuple[float, float], unit: float
) -> RootEffect:
    # No less than nothing can be expected: a reference below zero is the estimate's noise.
    reference = max(observed - estimate, 0.0)
    delta, half = observed - reference, margin * error
    return RootEffect(
        metric, reference / unit, observed / unit, delta / unit, min(estimate - half, delta) / unit,
        max(estimate + half, delta) / unit, *p,
    )  # fmt: skip


def _parts(
    fit: Fit, at: int, half: Floats, raw: slice, robust: slice, p_values: tuple[Floats, Floats], unit: float
) -> PartEffects:
    estimate = fit.beta[at, raw]
    p_worse, p_better = p_values
    return PartEffects(
        estimate=estimate / unit,
        low=(estimate - half[raw]) / unit,
        high=(estimate + half[raw]) / unit,
        sure=(fit.beta[at, robust] - half[robust]) / unit,
        best=(fit.beta[at, robust] + half[robust]) / unit,
        hint=_shrunk(fit.beta[at, robust], fit.independent_error(at)[robust]) / unit,
        p_worse=p_worse,
        p_better=p_better,
    )


def _shrunk(estimate: Floats, error: Floats) -> Floats:
    """The positive-part estimate of James and Stein (1961): what is no larger than its error counts for nothing."""
    shrunk: Floats = estimate * np.maximum(1.0 - (error / np.where(estimate == 0.0, np.inf, estimate)) ** 2, 0.0)
    return np.where(error > 0.0, shrunk, 0.0)


def _quantiles(
    fit: Fit, at: int, own_y: Floats, outcomes: Outcomes, affected: float, tests: Tests, serial: Serial | None
) -> tuple[list[RootEffect], tuple[Floats, Floats, Floats]]:
    """Effects on the quantiles, and the distributions (edges in ms, shares at the reference level, shares observed)."""
    bins = outcomes.histogram
    edges = outcomes.edges_ns
    own = own_y[:, bins]
    observed = own.sum(0) / affected
    supposed = observed - fit.beta[at, bins]
    levels = np.array([level for _, level in QUANTILES])
    seen, expected = _quantile(observed[None], edges, levels)[0], _quantile(supposed[None], edges, levels)[0]
    # The same without each bucket of units, for the jackknife of the difference.
    in_bucket = own[fit.used]
    left = np.maximum(affected - in_bucket.sum(1), 1.0)
    seen_without = (own.sum(0) - in_bucket) / left[:, None]
    expected_without = seen_without - fit.without[:, at, bins]
    difference = _quantile(seen_without, edges, levels) - _quantile(expected_without, edges, levels)
    spread = jackknife_error(seen - expected, difference)
    effects = []
    for i, (metric, _) in enumerate(QUANTILES):
        edge = int(np.searchsorted(edges, expected[i]))
        p, information, factor = _exceedance_test(fit, at, bins, edge, own, tests, serial)
        # What tells of a quantile are the requests beyond it on the smaller side, however many users there are.
        beyond = (1.0 - levels[i]) * min(affected, tests.requests - affected)
        margin = tests.margin(information, max(beyond - 1.0, _LEAST_FREEDOM))
        delta, half = seen[i] - expected[i], margin * factor * spread[i]
        low, high = _within_test(delta - half, delta + half, delta, p, tests.inference.alpha)
        effects.append(
            RootEffect(
                metric, expected[i] / NS_PER_MS, seen[i] / NS_PER_MS, delta / NS_PER_MS, low / NS_PER_MS,
                high / NS_PER_MS, *p,
            )
        )  # fmt: skip
    return effects, (edges / NS_PER_MS, np.maximum(supposed, 0.0), observed)


def _within_test(low: float, high: float, delta: float, p: tuple[float, float], alpha: float) -> tuple[float, float]:
    """The interval of a quantile's change without the side of zero that its test rules out at the same level.

    How far a quantile moved is told by the few requests beyond it; that it moved at all, by how many are beyond where
    it was expected, which can be plain where the distance is not.
    """
    if delta > 0.0 and p[0] <= alpha / 2.0:
        low = max(low, 0.0)
    if delta < 0.0 and p[1] <= alpha / 2.0:
        high = min(high, 0.0)
    return low, high


def _exceedance_test(
    fit: Fit, at: int, bins: slice, edge: int, own: Floats, tests: Tests, serial: Serial | None
) -> tuple[tuple[float, float], float, float]:
    """Test the change of the share of requests at or beyond histogram edge number `edge`.

    Gives p-values, the information, and by how much `serial` makes the error larger.
    """
    above = slice(bins.start + edge, bins.stop)
    if above.start >= above.stop:
        return (1.0, 1.0), 0.0, 1.0
    estimate = fit.beta[at, above].sum()
    events = tests.all[above].sum()
    overall = events / tests.requests
    clustered = jackknife_error(estimate, fit.without[:, at, above].sum(1))
    noise = overall * (1.0 - overall) * float(tests.totals.inflation(above)[0])
    error = np.maximum(clustered, np.sqrt(fit.inverse_diagonal[at] * noise))
    factor = 1.0 if serial is None else float(serial.factor(np.array([error]), above)[0][0])
    information = float(noise / (factor * error) ** 2) if error > 0.0 else 0.0
    # A request lies in one bin, so the bins' events and squared weights add up.
    weights = tests.totals.event_weight(above)
    weight = float((weights * tests.all[above]).sum() / max(events, 1.0)) if events > 0 else 1.0
    p = tests.rate(
        np.array([estimate]), np.array([factor * error]), np.array([information]), own[:, edge:].sum(1)[:, None],
        np.array([events]), np.array([weight]),
    )  # fmt: skip
    return _first(p), information, factor


def _quantile(shares: Floats, edges: Floats, levels: Floats) -> Floats:
    """Quantiles of h histograms, shape (h, levels), interpolated on the logarithmic scale of the edges.

    `shares` (h, bins) may hold negative ones, as differences do; they are rearranged away.
    """
    rising = np.maximum.accumulate(np.clip(np.cumsum(shares, axis=1), 0.0, None), axis=1)
    cumulative = np.concatenate((np.zeros((shares.shape[0], 1)), rising), axis=1)
    target = levels[None] * cumulative[:, -1:]
    upper = np.clip((cumulative[:, None, :] < target[:, :, None]).sum(2), 1, edges.size - 1)
    low, high = (np.take_along_axis(cumulative, at, axis=1) for at in (upper - 1, upper))
    part = np.clip((target - low) / np.where(high > low, high - low, np.inf), 0.0, 1.0)
    quantile: Floats = edges[upper - 1] * (edges[upper] / edges[upper - 1]) ** part
    return quantile
