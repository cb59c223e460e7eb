"""What a report measures at one entry point at an exposure: each outcome's effect, and how noisy it is.

Outcomes are those of the report (`explain.effects`): duration capped at its 99% quantile, the shares of requests beyond
the reference's quantiles, failures; and of the target's own part its time, how often that lies beyond its cap, and the
errors that begin there. Effects are mean differences between the requests after and before the change. Requests of one
user resemble each other: a sum over users varies by Σ(Σr)², of which the part between different requests of a user
grows with the time over which these are collected. Its growth is linear where a user's requests come at random.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.effects import QUANTILES
from traceguard.explain.entries import Clock
from traceguard.rollout.recorded import Requests
from traceguard.traces.cells import BINS, BINS_PER_OCTAVE, histogram_bins

Floats = NDArray[np.float64]

# Columns of outcomes.
MEAN, P50, P95, P99, FAILED, TIME, SLOW, ORIGIN = range(8)
OUTCOMES = 8
_CAPPED = 0.99
HOUR_NS = 3_600_000_000_000
_SHORTEST_HOURS = 1e-9
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Noise:
    """Of k outcomes: effect, and variance per request of the unexposed and the exposed.

    `alone` is the part within requests, `shared` what the other requests of the same user add over the recording's
    length. Both have shape (2, k): unexposed, exposed. `usual` (2, k) are the means, `together` (k, k) the square root
    of the outcomes' correlation, `raw_ms` the effect on the uncapped mean and `mean_ms` that mean without it.
    """

    effect: Floats
    alone: Floats
    shared: Floats
    usual: Floats
    together: Floats
    raw_ms: float
    mean_ms: float
    moved: tuple[float, ...]  # ms: how far each quantile moves


@dataclass(frozen=True, slots=True)
class Traffic:
    """When each trace of the recording began, how many spans it holds, and whose each of r requests was."""

    begun: NDArray[np.int64]  # ns since the epoch, of all traces
    spans: int
    unit: NDArray[np.uint64]  # r

    @property
    def hours(self) -> float:
        """The recording's length."""
        return max(float(np.ptp(self.begun)) / HOUR_NS, _SHORTEST_HOURS) if self.begun.size else _SHORTEST_HOURS


class Entry:
    """The requests of one entry point that reach the target; times in nanoseconds."""

    def __init__(
        self, requests: Requests, unit: NDArray[np.uint64], hours: float, columns: tuple[int, int] = (0, 0)
    ) -> None:
        self.requests = requests
        self.hours = hours
        self.columns = columns
        _, self.user = np.unique(unit, return_inverse=True)
        self._slices = Clock().slices(requests.start)
        self._per_slice = np.bincount(self._slices)
        self.counts = np.bincount(self.user)
        self._noise: dict[tuple[float, float], Noise] = {}

    @property
    def size(self) -> int:
        """Number of requests."""
        return int(self.requests.before.size)

    @property
    def rate(self) -> float:
        """Requests an hour."""
        return self.size / self.hours

    @cached_property
    def again(self) -> float:
        """How many other requests of the same user a request has, over the recording's length."""
        return float((self.counts * (self.counts - 1.0)).sum() / max(self.size, 1))

    @cached_property
    def changes(self) -> bool:
        """Whether the change does anything to these requests."""
        return bool(self.requests.added.any() or self.requests.newly.any())

    def noise(self, exposure: float, scale: float = 1.0) -> Noise:
        """What is measured at an exposure where the change is `scale` times as large as asked."""
        key = (exposure, scale)
        if key not in self._noise:
            self._noise[key] = self._measured(exposure, scale)
        return self._noise[key]

    def _measured(self, exposure: float, scale: float) -> Noise:
        r = self.requests
        before = r.before.astype(np.float64)
        after = before + scale * r.added
        spent = r.spent.astype(np.float64)
        spent_after = spent + scale * r.more
        fails = np.minimum(scale * r.newly, 1.0)
        cap = _cap(before, after, exposure)
        cap_part = _cap(spent, spent_after, exposure)
        y0, y1 = np.empty((self.size, OUTCOMES)), np.empty((self.size, OUTCOMES))
        moved = []
        for y, dur, part in ((y0, before, spent), (y1, after, spent_after)):
            y[:, MEAN] = np.minimum(dur, cap)
            y[:, TIME] = np.minimum(part, cap_part)
            y[:, SLOW] = part > cap_part
        for column, (_, level) in zip((P50, P95, P99), QUANTILES, strict=True):
            reference = float(np.quantile(before, level))
            edge = np.exp2(np.ceil(np.log2(max(reference, 1.0)) * BINS_PER_OCTAVE) / BINS_PER_OCTAVE)
            y0[:, column], y1[:, column] = before >= edge, after >= edge
            moved.append((float(np.quantile(after, level)) - reference) / _NS_PER_MS)
        y0[:, FAILED] = r.failed
        y1[:, FAILED] = np.where(r.failed, 1.0, fails)
        y0[:, ORIGIN] = r.blamed
        y1[:, ORIGIN] = np.where(r.failed, r.blamed, fails)
        alone, shared = zip(*(self._spread(y) for y in (y0, y1)), strict=True)
        return Noise(
            effect=y1.mean(0) - y0.mean(0), alone=np.array(alone), shared=np.array(shared),
            usual=np.array((y0.mean(0), y1.mean(0))), together=_together(y0),
            raw_ms=float((after - before).mean()) / _NS_PER_MS, mean_ms=float(before.mean()) / _NS_PER_MS,
            moved=tuple(moved),
        )  # fmt: skip

    def _spread(self, y: Floats) -> tuple[Floats, Floats]:
        """Variance within requests, and what requests of the same user share; both of shape k.

        A mean share of failures counts as the chance of one.
        """
        alone, shared = np.empty(OUTCOMES), np.empty(OUTCOMES)
        for k in range(OUTCOMES):
            means = np.bincount(self._slices, weights=y[:, k]) / np.maximum(self._per_slice, 1)
            rest = y[:, k] - means[self._slices]
            squares = float((rest**2).sum())
            by_user = float((np.bincount(self.user, weights=rest) ** 2).sum())
            alone[k] = squares / max(self.size - self._per_slice.size, 1)
            shared[k] = max(by_user - squares, 0.0) / max(self.size, 1)
            if k in (FAILED, ORIGIN):
                share = float(y[:, k].mean())
                alone[k] = share * (1.0 - share)
        return alone, shared


def _cap(before: Floats, after: Floats, exposure: float) -> float:
    """The cap of durations: the upper edge of the bin of the 99% quantile of both sides together."""
    counts = np.zeros(BINS)
    for values, weight in ((before, 1.0 - exposure), (after, exposure)):
        counts += weight * np.bincount(histogram_bins(values.astype(np.int64)), minlength=BINS)
    at = int(np.searchsorted(np.cumsum(counts), _CAPPED * before.size))
    return float(np.exp2((min(at, BINS - 1) + 1) / BINS_PER_OCTAVE))


def _together(y: Floats) -> Floats:
    """The square root of the correlation of the outcomes, those that do not vary apart from the others."""
    spread = y.std(0)
    varies = spread > 0
    correlation = np.eye(OUTCOMES)
    if y.shape[0] > 1 and varies.any():
        at = np.flatnonzero(varies)
        scaled = (y[:, at] - y[:, at].mean(0)) / spread[at]
        correlation[np.ix_(at, at)] = scaled.T @ scaled / y.shape[0]
    values, vectors = np.linalg.eigh(correlation)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
