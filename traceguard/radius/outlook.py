"""An entry point's latency and errors before and after, each with an interval that knows whose requests they are.

Requests of one user resemble each other, so errors of estimates are those of sums by bucket of users (128 buckets by
the hash of the user's id, at least as large as under independence), linearised: a mean by its residuals, a share by
Wilson's interval (1927) with as many requests as its design effect leaves, a quantile by inverting the interval of the
share below it (Woodruff 1952), and a change by the difference of both sides' residuals, because they are the same
requests. The intervals say how far another sample of users may lie, not how right the model of retiming is.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard import model
from traceguard.radius.population import Ordered, Population
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
    high: float
    moved: Floats
    error: float


def outlooks(before: Population, after: Population) -> dict[str, Any]:
    """The fields of a `model.ForecastEntry` that say how it fares; both sides hold the same requests."""
    sides = [_estimates(side) for side in (before, after)]
    names = tuple(sides[0])
    margin = _margin(before)
    change = {}
    for name in names:
        first, last = sides[0][name], sides[1][name]
        value, error = _settled(last.value - first.value), _settled(_error(last.moved - first.moved))
        change[name] = model.Interval(estimate=value, low=value - margin * error, high=value + margin * error)
    plain = [model.Outlook(**{name: side[name].value for name in names}) for side in sides]
    spread = [
        model.OutlookIntervals(**{n: model.Interval(estimate=e.value, low=e.low, high=e.high) for n, e in side.items()})
        for side in sides
    ]
    return {
        "before": plain[0], "after": plain[1], "before_interval": spread[0], "after_interval": spread[1],
        "change": model.OutlookIntervals(**change), "distribution": _histogram(before, after),
    }  # fmt: skip


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
    value = ordered.quantile(share)
    moved, error = _moved(side, (side.value <= value).astype(np.float64))
    # Many equal values at the quantile would hide how sure the share is.
    error = max(error, math.sqrt(float(share * (1 - share)) / side.requests))
    low, high = (ordered.quantile(float(share) + sign * margin * error) / _NS for sign in (-1, 1))
    # What a change of the share by one is worth in milliseconds there.
    slope = (high - low) / (2 * margin * error)
    return _Estimate(value / _NS, low, high, -slope * moved, slope * error)


def _moved(side: Population, of: Floats) -> tuple[Floats, float]:
    """How each bucket of users moves the mean of `of`, and the mean's standard error.

    Where buckets seem to agree more than chance allows, both are taken as under independence.
    """
    residuals = side.residuals(of)
    moved = side.by_bucket(residuals)
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
