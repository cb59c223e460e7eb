"""What a cause did slice by slice of time: was it there all along, did it begin at a moment, did it fade.

Plain differences between both sides' requests at the leading entry point, adjusted for nothing else; their intervals
come of leaving out one bucket of units after the other, and are never narrower than if requests were independent.
Slices hold equally many requests, so that a stray clock stretches none.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard import model
from traceguard.explain.exemplars import component_time
from traceguard.explain.verdict import Judged
from traceguard.stats.regression import jackknife_error
from traceguard.traces.cells import BUCKETS
from traceguard.traces.facts import Facts
from traceguard.units import format_time

MOST_SLICES = 12
REQUESTS_PER_SLICE = 30
FEWEST = 5  # requests on a side, below which nothing is said
_FINE = 10  # requests of the short stretches in which both sides are looked for,
_MIXED = 0.05  # and the part of them that either must have

Floats = NDArray[np.float64]
_UNITS: dict[str, Literal["ms", "fraction", "calls"]] = {"latency": "ms", "error": "fraction", "calls": "calls"}


def over_time(
    judged: Judged, facts: Facts, component: int, metric: Literal["latency", "error", "calls"],
    unit: NDArray[np.uint64], entry: model.Entry, alpha: float,
) -> model.OverTime | None:  # fmt: skip
    """The effect on the requests `facts` of the leading entry point by slice; None where nothing can be said.

    `unit` (r) is the hash of whose request each is.
    """
    where = judged.where
    affected, reference = judged.effects.column.sides(where.factors, where.levels)
    at = np.flatnonzero(affected | reference)
    if not affected.any() or not reference.any():
        return None
    start, side = facts.start[at], affected[at]
    value, weight = _outcome(facts, component, metric)[at], where.stands_for[at]
    bucket = (unit[at] % np.uint64(BUCKETS)).astype(np.int64)
    number, alongside = _slices(start), _alongside(start, side)
    if not alongside:
        # Neither side's slices reach into the other's time.
        number = np.where(side, _slices(start, side), _slices(start, ~side))
        number[side] += number[~side].max() + 1
    sums = _Sums.of(number, side, bucket, value, weight)
    overall = sums.whole(0)
    found = []
    for s in _in_time(number, start):
        mine = number == s
        held = sums.one(s, 0) if alongside else overall
        own = sums.one(s, 1) if alongside or sums.recorded[s, 1] else sums.one(s, 0)
        begun = start[mine]
        found.append(
            model.EffectSlice(
                start=format_time(int(begun.min())) or "", end=format_time(int(begun.max()) + 1) or "",
                affected=int(sums.recorded[s, 1]), reference=int(sums.recorded[s, 0]),
                effect=_effect(own, held, _UNITS[metric], alpha),
            )
        )  # fmt: skip
    return model.OverTime(entry=entry, against="slice" if alongside else "window", slices=found)


def _outcome(facts: Facts, component: int, metric: str) -> Floats:
    """What each request spent or suffered in the component."""
    if metric == "latency":
        spent: Floats = component_time(facts, component) / 1e6
        return spent
    if metric == "error":
        began: Floats = (facts.origin == component).astype(np.float64)
        return began
    request = np.repeat(np.arange(facts.dur.size), np.diff(facts.first))
    mine = facts.component == component
    calls: Floats = np.bincount(request[mine], weights=facts.calls[mine], minlength=facts.dur.size).astype(np.float64)
    return calls


def _slices(start: NDArray[np.int64], among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Numbers of slices with equally many of the requests that `among` marks."""
    chosen = start if among is None else start[among]
    count = int(np.clip(chosen.size // REQUESTS_PER_SLICE, 1, MOST_SLICES))
    edges = np.sort(chosen)[(np.arange(1, count) * chosen.size) // count]
    return np.searchsorted(edges, start, side="right").astype(np.int64)


def _alongside(start: NDArray[np.int64], side: NDArray[np.bool_]) -> bool:
    """Whether most affected requests ran while reference requests did."""
    fine = np.searchsorted(np.sort(start)[_FINE::_FINE], start, side="right")
    counts = np.stack([np.bincount(fine[mine], minlength=int(fine.max()) + 1) for mine in (side, ~side)])
    mixed = counts.min(0) >= _MIXED * counts.sum(0)
    return bool(2 * counts[0][mixed].sum() >= counts[0].sum())


def _in_time(number: NDArray[np.int64], start: NDArray[np.int64]) -> list[int]:
    """The slices that have requests, in the order of time."""
    found = np.unique(number)
    first = np.full(int(found.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, number, start)
    ordered: list[int] = found[np.argsort(first[found], kind="stable")].tolist()
    return ordered


class _Side:
    """One side of a slice: by bucket how many requests there are and the sum of their outcomes."""

    def __init__(self, n: Floats, y: Floats, squares: float, recorded: int) -> None:
        self.n, self.y, self.recorded = n, y, recorded
        self.mean = float(y.sum() / n.sum()) if n.sum() > 0.0 else 0.0
        self.variance = max(squares / n.sum() - self.mean**2, 0.0) if n.sum() > 0.0 else 0.0

    def without(self) -> Floats:
        """The mean without each bucket; the whole mean where nothing would be left."""
        left = self.n.sum() - self.n
        return np.where(left > 1e-9, (self.y.sum() - self.y) / np.maximum(left, 1e-9), self.mean)

    @property
    def clusters(self) -> float:
        """The effective number of buckets."""
        return float(self.n.sum() ** 2 / max((self.n**2).sum(), 1e-300))


class _Sums:
    """Sums by slice, side and bucket."""

    def __init__(self, n: Floats, y: Floats, squares: Floats, recorded: NDArray[np.int64]) -> None:
        self.n, self.y, self.squares, self.recorded = n, y, squares, recorded

    @classmethod
    def of(
        cls,
        number: NDArray[np.int64],
        side: NDArray[np.bool_],
        bucket: NDArray[np.int64],
        value: Floats,
        weight: Floats,
    ) -> "_Sums":
        """Add up."""
        slices = int(number.max()) + 1
        half = number * 2 + side
        cell = half * BUCKETS + bucket
        shape = (slices, 2, BUCKETS)

        def added(at: NDArray[np.int64], of: Floats, shape: tuple[int, ...]) -> Floats:
            found: Floats = np.bincount(at, weights=of, minlength=math.prod(shape)).astype(np.float64).reshape(shape)
            return found

        n, y = added(cell, weight, shape), added(cell, weight * value, shape)
        squares = added(half, weight * value**2, shape[:2])
        return cls(n, y, squares, np.bincount(half, minlength=2 * slices).reshape(shape[:2]))

    def one(self, number: int, side: int) -> _Side:
        """A side of a slice."""
        at = (number, side)
        return _Side(self.n[at], self.y[at], float(self.squares[at]), int(self.recorded[at]))

    def whole(self, side: int) -> _Side:
        """A side over all slices."""
        return _Side(
            self.n[:, side].sum(0), self.y[:, side].sum(0), float(self.squares[:, side].sum()),
            int(self.recorded[:, side].sum()),
        )  # fmt: skip


def _effect(own: _Side, held: _Side, unit: Literal["ms", "fraction", "calls"], alpha: float) -> model.Effect | None:
    if min(own.recorded, held.recorded) < FEWEST:
        return None
    estimate = own.mean - held.mean
    used = (own.n + held.n) > 0.0
    without = (own.without() - held.without())[used]
    clustered = float(jackknife_error(np.array(estimate), without)) if without.size > 1 else 0.0
    alone = float(np.sqrt(own.variance / own.recorded + held.variance / held.recorded))
    freedom = max(min(own.clusters, held.clusters) - 1.0, 1.0)
    half = float(stats.t.ppf(1.0 - alpha / 2.0, freedom)) * max(clustered, alone)
    return model.Effect(estimate=estimate, low=estimate - half, high=estimate + half, unit=unit)
