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
from traceguard.rollout.residual import Residual, squares
from traceguard.rollout.varying import Levels
from traceguard.traces.cells import BINS, BINS_PER_OCTAVE, histogram_bins

Floats = NDArray[np.float64]

# Columns of outcomes.
MEAN, P50, P95, P99, FAILED, TIME, SLOW, ORIGIN = range(8)
OUTCOMES = 8
_QUANTILE = (P50, P95, P99)  # in the order of QUANTILES
_CAPPED = 0.99
_CONSTANT = 1e-9  # standard deviation (ns, or a share) below which an outcome does not vary
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


@dataclass(frozen=True, slots=True)
class _Spread:
    """An outcome's mean, its variance within requests, and what requests of the same user share."""

    mean: float
    alone: float
    shared: float


@dataclass(frozen=True, slots=True)
class _Side:
    """Requests without the change or with it at one scale, arrays of length r."""

    duration: Floats  # ns
    spent: Floats  # ns
    fails: Floats  # probability
    blamed: Floats
    quantiles: Floats  # of duration, ns
    bins: Floats  # requests by bin of duration
    spent_bins: Floats

    @classmethod
    def of(cls, duration: Floats, spent: Floats, fails: Floats, blamed: Floats) -> "_Side":
        """What hangs on no exposure, worked out once."""
        quantiles = np.quantile(duration, [level for _, level in QUANTILES])
        return cls(duration, spent, fails, blamed, quantiles, _binned(duration), _binned(spent))


class Entry:
    """The requests of one entry point that reach the target, under the levels that vary; times in nanoseconds."""

    def __init__(
        self, requests: Requests, unit: NDArray[np.uint64], hours: float, levels: Levels | None = None
    ) -> None:
        self.requests = requests
        self.hours = hours
        none = np.empty((requests.before.size, 0), np.int16)
        self.levels = Levels(0, 0, none) if levels is None else levels
        _, self.user = np.unique(unit, return_inverse=True)
        self._residual = Residual(Clock().slices(requests.start).astype(np.int64), self.levels.active)
        self.counts = np.bincount(self.user)
        self._noise: dict[tuple[float, float], Noise] = {}
        self._sides: dict[float, _Side] = {}
        self._spreads: dict[tuple[int, float, float], _Spread] = {}

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

    @cached_property
    def stands_out(self) -> float:
        """The square of the change in standard errors of an hour's requests, by the better of latency and errors."""
        if not self.changes:
            return 0.0
        noise = self.noise(0.5)
        spread = (noise.alone + noise.shared).mean(0)
        ratios = [float(noise.effect[k] ** 2 / spread[k]) for k in (MEAN, FAILED) if spread[k] > 0]
        return self.rate * max(ratios, default=0.0)

    def noise(self, exposure: float, scale: float = 1.0) -> Noise:
        """What is measured at an exposure where the change is `scale` times as large as asked."""
        key = (exposure, scale)
        if key not in self._noise:
            self._noise[key] = self._measured(exposure, scale)
        return self._noise[key]

    def _measured(self, exposure: float, scale: float) -> Noise:
        before, after = self._side(0.0), self._side(scale)
        cap = _cap((1.0 - exposure) * before.bins + exposure * after.bins, self.size)
        cap_part = _cap((1.0 - exposure) * before.spent_bins + exposure * after.spent_bins, self.size)
        each = [
            [self._spread(k, at, {MEAN: cap, TIME: cap_part, SLOW: cap_part}.get(k, 0.0)) for k in range(OUTCOMES)]
            for at in (0.0, scale)
        ]
        usual, alone, shared = (
            np.array([[getattr(spread, name) for spread in side] for side in each])
            for name in ("mean", "alone", "shared")
        )
        return Noise(
            effect=usual[1] - usual[0], alone=alone, shared=shared, usual=usual, together=self._together,
            raw_ms=float((after.duration - before.duration).mean()) / _NS_PER_MS,
            mean_ms=float(before.duration.mean()) / _NS_PER_MS,
            moved=tuple(((after.quantiles - before.quantiles) / _NS_PER_MS).tolist()),
        )  # fmt: skip

    def _side(self, scale: float) -> _Side:
        """The requests with the change at this scale; 0 is without it."""
        if scale not in self._sides:
            r, failed = self.requests, self.requests.failed
            fails = np.minimum(scale * r.newly, 1.0)
            # Of those tried in a search only the last is asked for again.
            self._sides = {kept: side for kept, side in self._sides.items() if kept in (0.0, 1.0)}
            self._sides[scale] = _Side.of(
                r.before + scale * r.added, r.spent + scale * r.more, np.where(failed, 1.0, fails),
                np.where(failed, r.blamed, fails),
            )  # fmt: skip
        return self._sides[scale]

    def _outcome(self, k: int, scale: float, cap: float) -> Floats:
        """One outcome of each request, shape r; only those that are capped hang on the cap."""
        side = self._side(scale)
        if k in _QUANTILE:
            reference = self._side(0.0).quantiles[_QUANTILE.index(k)]
            edge = np.exp2(np.ceil(np.log2(max(reference, 1.0)) * BINS_PER_OCTAVE) / BINS_PER_OCTAVE)
            beyond: Floats = np.where(side.duration >= edge, 1.0, 0.0)
            return beyond
        if k == SLOW:
            return np.where(side.spent > cap, 1.0, 0.0)
        if k in (MEAN, TIME):
            capped: Floats = np.minimum(side.duration if k == MEAN else side.spent, cap)
            return capped
        return side.fails if k == FAILED else side.blamed

    def _spread(self, k: int, scale: float, cap: float) -> _Spread:
        """How noisy an outcome is. A mean share of failures counts as the chance of one."""
        key = (k, scale, cap)
        if key not in self._spreads:
            y = self._outcome(k, scale, cap)
            mean, rest = float(y.mean()), self._residual.of(y)
            own, by_user = squares(rest, self.user, self.counts.size)
            # Each level that goes by user has taken the part of one user of those that there effectively are.
            left = max(1.0 - self.levels.by_user * (1.0 + self.again) / max(self.size, 1), 0.5)
            shared = max(by_user - own, 0.0) / left / max(self.size, 1)
            alone = mean * (1.0 - mean) if k in (FAILED, ORIGIN) else own / max(self.size - self._residual.lost, 1)
            self._spreads[key] = _Spread(mean, alone, shared)
        return self._spreads[key]

    @cached_property
    def _together(self) -> Floats:
        """The square root of the correlation of the outcomes without the change, each capped at its own quantile.

        Those that do not vary are apart from the others.
        """
        side = self._side(0.0)
        caps = {MEAN: _cap(side.bins, self.size)}
        caps |= dict.fromkeys((TIME, SLOW), _cap(side.spent_bins, self.size))
        rest = np.array([self._residual.of(self._outcome(k, 0.0, caps.get(k, 0.0))) for k in range(OUTCOMES)])
        spread = np.sqrt((rest**2).sum(1))
        at = np.flatnonzero(spread > _CONSTANT * np.sqrt(max(self.size, 1)))
        correlation = np.eye(OUTCOMES)
        if at.size:
            scaled = rest[at] / spread[at, None]
            correlation[np.ix_(at, at)] = scaled @ scaled.T
        values, vectors = np.linalg.eigh(correlation)
        root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
        return root


def _binned(values: Floats) -> Floats:
    return np.bincount(histogram_bins(values.astype(np.int64)), minlength=BINS).astype(np.float64)


def _cap(counts: Floats, size: int) -> float:
    """The cap of durations: the upper edge of the bin of the 99% quantile of both sides together."""
    at = int(np.searchsorted(np.cumsum(counts), _CAPPED * size))
    return float(np.exp2((min(at, BINS - 1) + 1) / BINS_PER_OCTAVE))
