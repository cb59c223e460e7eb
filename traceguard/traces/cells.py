"""Cells: integer sums over facts that merge by addition, from which every effect is estimated.

For one entry point with S time slices, B buckets of units, p design columns (indicators of non-reference levels) and k
outcomes: n and Σx, Σy by (slice, bucket); Σx·x and Σx·y by bucket; Σy² in all, as two 64-bit limbs because squared
nanoseconds overflow one. Normal equations, never assignments: the tables stay small whatever the number of flags. Sums
of integers make equal input give equal tables, in any order and on any number of workers; floating point begins after
the merge.

Where requests were sampled at different rates every sum counts a request `weight` times, and Σw², Σw²·y, Σw²·y² say
how much less such sums tell than as many requests would (Kish 1965). `sampling.weights` keeps all within 64 bits.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.facts import Facts

BUCKETS = 128
BINS_PER_OCTAVE = 16
_OCTAVES = 63  # every duration that fits its 64 bits
BINS = BINS_PER_OCTAVE * _OCTAVES
ROOT_OUTCOMES = 3  # duration, capped duration, failed
PART_OUTCOMES = 5  # time, capped time, calls, errors that began there, time beyond the cap (yes or no)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the columns of y mean: root outcomes, then the latency histogram's bins, then five outcomes per component.

    `low_bin` is the histogram bin of the first bin column, `bins` their number; `components` lists component ids in
    column order.
    """

    low_bin: int
    bins: int
    components: NDArray[np.int32]

    @property
    def width(self) -> int:
        """Number of outcomes k."""
        return ROOT_OUTCOMES + self.bins + PART_OUTCOMES * len(self.components)

    def part(self, outcome: int) -> slice:
        """Columns of one outcome (0 time, 1 capped time, 2 calls, 3 errors, 4 slow) for all components."""
        first = ROOT_OUTCOMES + self.bins
        count = len(self.components)
        return slice(first + outcome * count, first + (outcome + 1) * count)

    @property
    def histogram(self) -> slice:
        """Columns of the latency histogram."""
        return slice(ROOT_OUTCOMES, ROOT_OUTCOMES + self.bins)

    @property
    def edges_ns(self) -> NDArray[np.float64]:
        """The histogram's edges, one more than its bins."""
        return np.exp2((self.low_bin + np.arange(self.bins + 1)) / BINS_PER_OCTAVE)


@dataclass(frozen=True, slots=True)
class Cells:
    """Sums of one entry point; see the module.

    Shapes: n (S, B), sx (S, B, p), sy (S, B, k), xx (B, p, p), xy (B, p, k), yy (3, k). Sums with squared weights: ww
    (1), wy (2, k; limbs of 31 bits), wwyy (3, k; limbs like those of yy).
    """

    n: NDArray[np.int64]
    sx: NDArray[np.int64]
    sy: NDArray[np.int64]
    xx: NDArray[np.int64]
    xy: NDArray[np.int64]
    yy: NDArray[np.int64]
    ww: NDArray[np.int64]
    wy: NDArray[np.int64]
    wwyy: NDArray[np.int64]

    def __add__(self, other: "Cells") -> "Cells":
        """The sums of both."""
        return Cells(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def totals(self) -> "Totals":
        """The sums over all slices and buckets."""
        return Totals(
            float(self.n.sum()), self.sy.sum((0, 1)).astype(np.float64), _joined(self.yy, 32), float(self.ww[0]),
            _joined(self.wy, 31), _joined(self.wwyy, 32),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Totals:
    """Σ1, Σy, Σy² of all requests, and Σw², Σw²y, Σw²y²; shapes k."""

    n: float
    y: NDArray[np.float64]
    squares: NDArray[np.float64]
    ww: float
    wy: NDArray[np.float64]
    wwyy: NDArray[np.float64]

    def inflation(self, parts: slice | None = None) -> NDArray[np.float64]:
        """How much the variance of each outcome's sums exceeds that of as many requests of weight 1; shape k.

        Σw²e² / Σw·e² with e = y less its mean: 1 where all weights are, more where few requests stand for many. With
        `parts`, a run of outcomes of which a request has one at most, it is that of their sum, shape 1.
        """
        y, yy, wy, wwyy = self.y, self.squares, self.wy, self.wwyy
        if parts is not None:
            y, yy, wy, wwyy = (sums[parts].sum(keepdims=True) for sums in (y, yy, wy, wwyy))
        mean = y / max(self.n, 1.0)
        plain = yy - mean * y
        heavy = wwyy - 2.0 * mean * wy + mean**2 * self.ww
        # What hardly varies leaves only rounding on both sides.
        varies = plain > 1e-9 * np.maximum(yy, 1.0)
        return np.where(varies, np.maximum(heavy / np.where(varies, plain, 1.0), 1.0), 1.0)

    def event_weight(self, parts: slice) -> NDArray[np.float64]:
        """The weight that events of the outcomes `parts` have on average, by which their sums count too many."""
        events = self.squares[parts]
        seen = events > 0
        return np.where(seen, self.wwyy[parts] / np.where(seen, events, 1.0), 1.0)


def _joined(limbs: NDArray[np.int64], bits: int) -> NDArray[np.float64]:
    """The numbers whose limbs, least first, are the rows."""
    joined: NDArray[np.float64] = np.exp2(bits * np.arange(limbs.shape[0])) @ limbs.astype(np.float64)
    return joined


def histogram_bins(durations: NDArray[np.int64]) -> NDArray[np.int32]:
    """The logarithmic bin of each duration in nanoseconds: 16 bins an octave, so edges lie 4.4% apart."""
    bins = np.floor(np.log2(np.maximum(durations, 1)) * BINS_PER_OCTAVE)
    clipped: NDArray[np.int32] = np.clip(bins, 0, BINS - 1).astype(np.int32)
    return clipped


_I32, _I64, _B = "int32[::1]", "int64[::1]", "boolean[::1]"


@kernel("void(int64[:, ::1], int32, int64, int64)")
def _add_square(limbs, slot, value, times):  # type: ignore[no-untyped-def]
    """Add value² `times` over: exact below 2.1 s, of 1.024 us units below 37 minutes, of 4.3 s units above."""
    if value < (1 << 31):
        square = value * value
        limbs[0, slot] += times * (square & 0xFFFFFFFF)
        limbs[1, slot] += times * (square >> 32)
    elif value < (1 << 41):
        square = (value >> 10) * (value >> 10)
        limbs[0, slot] += times * ((square << 20) & 0xFFFFFFFF)
        limbs[1, slot] += times * ((square >> 12) & 0xFFFFFFFF)
        limbs[2, slot] += times * (square >> 44)
    else:
        limbs[2, slot] += times * ((value >> 32) * (value >> 32))


@kernel(
    f"void({_I32}, {_I32}, int32[:, ::1], {_I64}, int64, {_B}, {_I32}, int64, {_I32}, {_I64}, {_I32}, {_I64},"
    f" {_I32}, {_I32}, int64, int64, {_I64}, int64[:, ::1], int64[:, :, ::1], int64[:, :, ::1], int64[:, :, ::1],"
    f" int64[:, :, ::1], int64[:, ::1], {_I64}, {_I64}, int64[:, ::1], int64[:, ::1])"
)
def _accumulate(  # type: ignore[no-untyped-def]
    slices, buckets, active, dur, cap, failed, bins, low_bin, origin, first, component, time, calls, column,
    width_bins, parts, caps, n, sx, sy, xx, xy, yy, weight, ww, wy, wwyy,
):  # fmt: skip
    """Add every request to the sums. `active[i]` lists request i's design columns, -1 ends the list.

    An empty `weight` means that every request counts once; the sums with squared weights are then left alone.
    """
    slots = np.empty(ROOT_OUTCOMES + 1 + PART_OUTCOMES * parts + 1, dtype=np.int32)
    values = np.empty(slots.size, dtype=np.int64)
    base = ROOT_OUTCOMES + width_bins
    for i in range(dur.size):
        s, b = slices[i], buckets[i]
        w = weight[i] if weight.size > 0 else np.int64(1)
        used = 0
        slots[0], values[0] = 0, dur[i]
        slots[1], values[1] = 1, min(dur[i], cap)
        used = 2
        if failed[i]:
            slots[used], values[used] = 2, 1
            used += 1
        slots[used], values[used] = ROOT_OUTCOMES + bins[i] - low_bin, 1
        used += 1
        for m in range(first[i], first[i + 1]):
            c = column[component[m]]
            if time[m] != 0:
                slots[used], values[used] = base + c, time[m]
                slots[used + 1], values[used + 1] = base + parts + c, min(time[m], caps[c])
                used += 2
                if time[m] > caps[c]:
                    slots[used], values[used] = base + 4 * parts + c, 1
                    used += 1
            if calls[m] != 0:
                slots[used], values[used] = base + 2 * parts + c, calls[m]
                used += 1
        if origin[i] >= 0:
            slots[used], values[used] = base + 3 * parts + column[origin[i]], 1
            used += 1
        n[s, b] += w
        for q in range(used):
            sy[s, b, slots[q]] += w * values[q]
            _add_square(yy, slots[q], values[q], w)
        if weight.size > 0:
            ww[0] += w * w
            for q in range(used):
                value = w * values[q]
                wy[0, slots[q]] += w * (value & 0x7FFFFFFF)
                wy[1, slots[q]] += w * (value >> 31)
                _add_square(wwyy, slots[q], value, np.int64(1))
        for a in range(active.shape[1]):
            j = active[i, a]
            if j < 0:
                break
            sx[s, b, j] += w
            for other in range(active.shape[1]):
                if active[i, other] < 0:
                    break
                xx[b, j, active[i, other]] += w
            for q in range(used):
                xy[b, j, slots[q]] += w * values[q]


@kernel("void(int32[:, ::1], float64[:, ::1], float64[:, :, ::1])")
def _sum_pairs(active, values, sums):  # type: ignore[no-untyped-def]
    for i in range(active.shape[0]):
        for a in range(active.shape[1]):
            j = active[i, a]
            if j < 0:
                break
            for b in range(a):
                k = active[i, b]
                for q in range(values.shape[1]):
                    sums[min(j, k), max(j, k), q] += values[i, q]


def pair_sums(active: NDArray[np.int32], values: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Sums of `values` (r, k) over the requests to which both of two design columns apply; shape (p, p, k), j < k."""
    sums = np.zeros((columns, columns, values.shape[1]))
    _sum_pairs(active, values, sums)
    return sums


def outcomes_of(facts: Facts) -> Outcomes:
    """The outcomes that the facts of one entry point have values for."""
    bins = histogram_bins(facts.dur)
    low = int(bins.min())
    blamed = facts.origin[facts.origin >= 0]
    return Outcomes(
        low, int(bins.max()) - low + 1, np.unique(np.concatenate((facts.component, blamed))).astype(np.int32)
    )


def winsor_caps(
    facts: Facts, outcomes: Outcomes, share: float = 0.99, weight: NDArray[np.int64] | None = None
) -> tuple[int, NDArray[np.int64]]:
    """The cap of the root's duration and of each component's time: the upper edge of the bin of their `share` quantile.

    Taken from fixed-edge histograms, so that partitions agree on it after adding up their counts.
    """
    edges = np.ceil(np.minimum(np.exp2((np.arange(BINS) + 1) / BINS_PER_OCTAVE), 2.0**62)).astype(np.int64)

    times = np.ones(facts.dur.size, dtype=np.int64) if weight is None else weight
    of_row = np.repeat(times, np.diff(facts.first))
    total = int(times.sum())

    def cap(durations: NDArray[np.int64], times: NDArray[np.int64]) -> int:
        counts = np.bincount(histogram_bins(durations), weights=times, minlength=BINS)
        counts[0] += total - int(times.sum())
        return int(edges[min(int(np.searchsorted(np.cumsum(counts), share * total)), BINS - 1)])

    order = np.argsort(facts.component, kind="stable")
    sorted_components = facts.component[order]
    low = np.searchsorted(sorted_components, outcomes.components, side="left")
    high = np.searchsorted(sorted_components, outcomes.components, side="right")
    caps = [cap(facts.time[order[a:b]], of_row[order[a:b]]) for a, b in zip(low, high, strict=True)]
    return cap(facts.dur, times), np.array(caps, dtype=np.int64)


def cells_of(
    facts: Facts, outcomes: Outcomes, caps: tuple[int, NDArray[np.int64]], slices: NDArray[np.int32],
    buckets: NDArray[np.int32], active: NDArray[np.int32], columns: int, weight: NDArray[np.int64] | None = None,
) -> Cells:  # fmt: skip
    """Sum up the facts of one entry point.

    `slices` and `buckets` give each request's time slice and bucket of units; `active` (r, a) its design columns,
    closed by -1; `weight` (r) how often it counts, once where it is None.
    """
    count, width, buckets_used = int(slices.max()) + 1, outcomes.width, BUCKETS
    cells = Cells(
        n=np.zeros((count, buckets_used), dtype=np.int64),
        sx=np.zeros((count, buckets_used, columns), dtype=np.int64),
        sy=np.zeros((count, buckets_used, width), dtype=np.int64),
        xx=np.zeros((buckets_used, columns, columns), dtype=np.int64),
        xy=np.zeros((buckets_used, columns, width), dtype=np.int64),
        yy=np.zeros((3, width), dtype=np.int64),
        ww=np.zeros(1, dtype=np.int64),
        wy=np.zeros((2, width), dtype=np.int64),
        wwyy=np.zeros((3, width), dtype=np.int64),
    )
    top = int(max(part.max(initial=0) for part in (facts.component, facts.origin, outcomes.components))) + 1
    column = np.full(top, -1, dtype=np.int32)
    column[outcomes.components] = np.arange(outcomes.components.size, dtype=np.int32)
    _accumulate(
        slices, buckets, active, facts.dur, caps[0], facts.failed, histogram_bins(facts.dur), outcomes.low_bin,
        facts.origin,
        facts.first, facts.component, facts.time, facts.calls, column, outcomes.bins, outcomes.components.size, caps[1],
        cells.n, cells.sx, cells.sy, cells.xx, cells.xy, cells.yy,
        np.empty(0, dtype=np.int64) if weight is None else weight, cells.ww, cells.wy, cells.wwyy,
    )  # fmt: skip
    if weight is None:
        cells.ww[0], cells.wy[0], cells.wwyy[:] = cells.n.sum(), cells.sy.sum((0, 1)), cells.yy
    return cells
