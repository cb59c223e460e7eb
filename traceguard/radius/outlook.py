"""An entry point's latency and errors before and after, each with an interval that knows whose requests they are.

Requests of one user resemble each other, so errors of estimates are those of sums by bucket of users (128 buckets by
the hash of the user's id, at least as large as under independence, each put right for its own weight, CR3),
linearised: a mean by its residuals, a share by Wilson's interval (1927) with as many requests as its design effect
leaves, a quantile by the order statistics of as many (Woodruff 1952), and a change by the difference of both sides'
residuals, because they are the same requests. Where no order statistic bounds a quantile its interval has no upper end,
and its change none at all. The intervals say how far another sample of users may lie, not how right the model of
retiming is; an error rate's also holds what is not known of how errors climb.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard import model
from traceguard.radius.population import SCALE, Ordered, Population
from traceguard.traces.cells import BINS_PER_OCTAVE

CONFIDENCE = 0.95
QUANTILES = {"p50": Fraction(50, 100), "p95": Fraction(95, 100), "p99": Fraction(99, 100)}
_NS = 1e6  # in a millisecond
_LEAST = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Estimate:
    """A number, its interval, how each bucket moves it and its standard error."""

    value: float
    low: float
    high: float | None  # None where the data do not bound it
    moved: Floats
    error: float

    @property
    def hidden(self) -> bool:
        """Whether the data do not show how it varies: its interval is wide although no bucket moves it."""
        return self.high is not None and self.high > self.low and not self.moved.any()


def outlooks(before: Population, after: Population, climbing: tuple[float, float] = (0.0, 0.0)) -> dict[str, Any]:
    """The fields of a `model.ForecastEntry` that say how it fares; both sides hold the same requests.

    `climbing` is by how much the error rate afterwards may lie lower and higher because failures were seen too seldom
    to say how they climb. A quantile of too few requests has no upper end, and a change of it no ends.
    """
    sides = [_estimates(side) for side in (before, after)]
    names = tuple(sides[0])
    margin = _margin(before)
    alike = _alike(before, after)
    change = {name: _change(sides[0][name], sides[1][name], margin, alike) for name in names if name != "error_rate"}
    first, last = (side["error_rate"] for side in sides)
    failing = _change_of_errors(first, last, margin, _alike_in_errors(before, after))
    change["error_rate"] = _widened(failing, climbing)
    plain = [model.Outlook(**{name: side[name].value for name in names}) for side in sides]
    spread = [
        model.OutlookIntervals(**{n: model.Interval(estimate=e.value, low=e.low, high=e.high) for n, e in side.items()})
        for side in sides
    ]
    rate = _widened(spread[1].error_rate, climbing)
    rate = rate.model_copy(update={"low": max(rate.low or 0.0, 0.0), "high": min(rate.high or 0.0, 1.0)})
    spread[1] = spread[1].model_copy(update={"error_rate": rate})
    return {
        "before": plain[0], "after": plain[1], "before_interval": spread[0], "after_interval": spread[1],
        "change": model.OutlookIntervals(**change), "distribution": _histogram(before, after),
    }  # fmt: skip


def _alike(before: Population, after: Population) -> bool:
    """Whether every request is moved by the same, so that each quantile is as well, whatever it is."""
    moved = after.value - np.tile(before.value, after.copies // before.copies)
    # Where one side holds them twice, once as they were, nothing moves if all move alike.
    counted = after.copies != before.copies or np.array_equal(before.weight, after.weight)
    return counted and bool((moved == moved[0]).all())


def _alike_in_errors(before: Population, after: Population) -> bool:
    """Whether every request comes to fail by the same more."""
    if after.grouped is not None or before.grouped is not None:
        return np.array_equal(before.weight, after.weight)
    each = (after.failing * (after.weight / SCALE)).reshape(after.copies, -1).sum(axis=0) - before.failing
    return bool(np.ptp(each) < _LEAST)


def _change(first: _Estimate, last: _Estimate, margin: float, alike: bool) -> model.Interval:
    value = _settled(last.value - first.value)
    if alike:
        return model.Interval(estimate=value, low=value, high=value)
    if first.high is None or last.high is None or first.hidden or last.hidden:
        return model.Interval(estimate=value, low=None, high=None)
    error = _settled(_error(last.moved - first.moved))
    return model.Interval(estimate=value, low=value - margin * error, high=value + margin * error)


def _change_of_errors(first: _Estimate, last: _Estimate, margin: float, alike: bool) -> model.Interval:
    found = _change(first, last, margin, alike)
    if found.low is not None or first.high is None or last.high is None:
        return found
    # Where nothing failed nothing varies: the sides' own intervals say how much could have (Newcombe 1998).
    low = found.estimate - math.hypot(last.value - last.low, first.high - first.value)
    high = found.estimate + math.hypot(last.high - last.value, first.value - first.low)
    return model.Interval(estimate=found.estimate, low=low, high=high)


def _widened(found: model.Interval, climbing: tuple[float, float]) -> model.Interval:
    """An interval of an error rate that also holds what is not known of how errors climb.

    Both sources are independent: distances to the estimate add up in squares on each side (Zou and Donner 2008).
    """
    if found.low is None or found.high is None:
        return found
    low = found.estimate - math.hypot(found.estimate - found.low, climbing[0])
    high = found.estimate + math.hypot(found.high - found.estimate, climbing[1])
    return model.Interval(estimate=found.estimate, low=low, high=high)


def _estimates(side: Population) -> dict[str, _Estimate]:
    margin, ordered = _margin(side), side.order()
    return {
        "mean": _mean(side, margin),
        **{name: _quantile(side, ordered, share, margin) for name, share in QUANTILES.items()},
        "error_rate": _rate(side, margin),
    }


def _mean(side: Population, margin: float) -> _Estimate:
    value = side.mean(side.value) / _NS
    moved, error = _moved(side, side.value / _NS)
    return _Estimate(value, max(value - margin * error, 0.0), value + margin * error, moved, error)


def _rate(side: Population, margin: float) -> _Estimate:
    value = round(side.mean(side.failing), 12)
    moved, error = _moved(side, side.failing)
    # As many independent requests as would have this error; where nothing varies, as many as there are.
    told = value * (1.0 - value) / error**2 if error > 0.0 else float(side.requests)
    told = max(min(told, float(side.requests)), 1.0)
    middle = (value + margin**2 / (2 * told)) / (1 + margin**2 / told)
    half = margin / (1 + margin**2 / told) * math.sqrt(value * (1 - value) / told + (margin / (2 * told)) ** 2)
    return _Estimate(value, min(max(middle - half, 0.0), value), max(min(middle + half, 1.0), value), moved, error)


def _quantile(side: Population, ordered: Ordered, share: Fraction, margin: float) -> _Estimate:
    value, part = ordered.quantile(share) / _NS, float(share)
    moved, error = _moved(side, (side.value <= ordered.quantile(share)).astype(np.float64))
    # Many equal values at the quantile would hide how sure the share is.
    error = max(error, math.sqrt(part * (1 - part) / side.requests))
    # As many independent requests as would have this error, in normal instead of Student's units.
    told = part * (1 - part) * (float(stats.norm.ppf((1 + CONFIDENCE) / 2)) / (margin * error)) ** 2
    told = max(min(math.floor(told + _LEAST), side.requests), 1)
    first, last = (int(rank) for rank in stats.binom.interval(CONFIDENCE, told, part))
    low = ordered.quantile(first / told) / _NS if first else 0.0
    # Of an order statistic above the last there is no value: the largest one seen bounds nothing.
    high = ordered.quantile((last + 1) / told) / _NS if last < told else None
    if high is None:
        return _Estimate(value, low, None, moved, error)
    # What a change of the share by one is worth in milliseconds there.
    slope = (high - low) / ((last + 1 - first) / told)
    return _Estimate(value, low, high, -slope * moved, slope * error)


def _moved(side: Population, of: Floats) -> tuple[Floats, float]:
    """How each bucket of users moves the mean of `of`, and the mean's standard error.

    A bucket pulls the mean towards itself by its share of the requests, which is put right as by leaving it out (CR3).
    Where buckets seem to agree more than chance allows, both are taken as under independence.
    """
    residuals = side.residuals(of)
    moved = side.by_bucket(residuals)
    sizes = side.by_bucket(np.ones(side.requests)) / side.requests
    moved = moved / np.where(sizes < 1.0, 1.0 - sizes, 1.0)
    error, independent = _error(moved), math.sqrt(float((residuals**2).sum()))
    if error <= 0.0 or independent <= error:
        return moved, error
    return moved * (independent / error), independent


def _error(moved: Floats) -> float:
    used = np.count_nonzero(moved)
    return math.sqrt(float((moved**2).sum()) * used / (used - 1)) if used > 1 else math.sqrt(float((moved**2).sum()))


def _settled(value: float) -> float:
    """Without what rounding left of nothing: no latency is told below a picosecond, no share below 1e-9."""
    return value if abs(value) > _LEAST else 0.0


def _margin(side: Population) -> float:
    """Half the width of an interval in standard errors: Student's t with as many clusters as the sizes leave."""
    sizes = side.by_bucket(np.ones(side.requests))
    clusters = sizes.sum() ** 2 / (sizes**2).sum()
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, max(clusters - 1.0, 1.0)))


def _histogram(before: Population, after: Population) -> model.Histogram:
    """Both sides in logarithmic bins, those without requests at both ends left out."""
    first, last = before.histogram(), after.histogram()
    filled = np.flatnonzero(first + last)
    kept = slice(int(filled[0]), int(filled[-1]) + 1)
    edges = np.exp2(np.arange(kept.start, kept.stop + 1) / BINS_PER_OCTAVE) / _NS
    return model.Histogram(edges_ms=edges.tolist(), reference=first[kept].tolist(), observed=last[kept].tolist())
