"""Cells: integer sums over facts that merge by addition, from which every effect is estimated.

For one entry point with S time slices, B buckets of units, p design columns (indicators of non-reference levels) and k
outcomes: n and Σx, Σy by (slice, bucket); Σx·x and Σx·y by bucket; Σy² in all, as two 64-bit limbs because squared
nanoseconds overflow one. Normal equations, never assignments: the tables stay small whatever the number of flags. Sums
of integers make equal input give equal tables, in any order and on any number of workers; floating point begins after
the merge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.facts import Facts

BUCKETS = 128
BINS_PER_OCTAVE = 16
_OCTAVES = 63  # every duration that fits its 64 bits
BINS = BINS_PER_OCTAVE * _OCTAVES
ROOT_OUTCOMES = 3  # duration, capped duration, failed
PART_OUTCOMES = 4  # time, capped time, calls, errors that began there


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the columns of y mean: root outcomes, then the latency histogram's bins, then four outcomes per component.

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
        """Columns of one outcome (0 time, 1 capped time, 2 calls, 3 errors) for all components."""
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

    Shapes: n (S, B), sx (S, B, p), sy (S, B, k), xx (B, p, p), xy (B, p, k), yy (3, k).
    """

    n: NDArray[np.int64]
    sx: NDArray[np.int64]
    sy: NDArray[np.int64]
    xx: NDArray[np.int64]
    xy: NDArray[np.int64]
    yy: NDArray[np.int64]

    def __add__(self, other: "Cells") -> "Cells":
        """The sums of both."""
        pairs = ((getattr(self, f), getattr(other, f)) for f in ("n", "sx", "sy", "xx", "xy", "yy"))
        return Cells(*(a + b for a, b in pairs))

    @property
    def squares(self) -> NDArray[np.float64]:
        """Σy² per outcome, shape k."""
        squares: NDArray[np.float64] = np.exp2([0.0, 32.0, 64.0]) @ self.yy.astype(np.float64)
        return squares


def histogram_bins(durations: NDArray[np.int64]) -> NDArray[np.int32]:
    """The logarithmic bin of each duration in nanoseconds: 16 bins an octave, so edges lie 4.4% apart."""
    bins = np.floor(np.log2(np.maximum(durations, 1)) * BINS_PER_OCTAVE)
    clipped: NDArray[np.int32] = np.clip(bins, 0, BINS - 1).astype(np.int32)
    return clipped


_I32, _I64, _B = "int32[::1]", "int64[::1]", "boolean[::1]"


@kernel(
    f"void({_I32}, {_I32}, int32[:, ::1], {_I64}, int64, {_B}, {_I32}, int64, {_I32}, {_I64}, {_I32}, {_I64},"
    f" {_I32}, {_I32}, int64, int64, {_I64}, int64[:, ::1], int64[:, :, ::1], int64[:, :, ::1], int64[:, :, ::1],"
    " int64[:, :, ::1], int64[:, ::1])"
)
def _accumulate(  # type: ignore[no-untyped-def]
    slices, buckets, active, dur, cap, failed, bins, low_bin, origin, first, component, time, calls, column,
    width_bins, parts, caps, n, sx, sy, xx, xy, yy,
):  # fmt: skip
    """Add every request to the sums. `active[i]` lists request i's design columns, -1 ends the list."""
    slots = np.empty(ROOT_OUTCOMES + 1 + PART_OUTCOMES * parts + 1, dtype=np.int32)
    values = np.empty(slots.size, dtype=np.int64)
    base = ROOT_OUTCOMES + width_bins
    for i in range(dur.size):
        s, b = slices[i], buckets[i]
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
            if calls[m] != 0:
                slots[used], values[used] = base + 2 * parts + c, calls[m]
                used += 1
        if origin[i] >= 0:
            slots[used], values[used] = base + 3 * parts + column[origin[i]], 1
            used += 1
        n[s, b] += 1
        for q in range(used):
            sy[s, b, slots[q]] += values[q]
            # A square is exact below 2.1 s, of 1.024 us units below 37 minutes, of 4.3 s units above.
            value = values[q]
            if value < (1 << 31):
                square = value * value
                yy[0, slots[q]] += square & 0xFFFFFFFF
                yy[1, slots[q]] += square >> 32
            elif value < (1 << 41):
                square = (value >> 10) * (value >> 10)
                yy[0, slots[q]] += (square << 20) & 0xFFFFFFFF
                yy[1, slots[q]] += (square >> 12) & 0xFFFFFFFF
                yy[2, slots[q]] += square >> 44
            else:
                yy[2, slots[q]] += (value >> 32) * (value >> 32)
        for a in range(active.shape[1]):
            j = active[i, a]
            if j < 0:
                break
            sx[s, b, j] += 1
            for other in range(active.shape[1]):
                if active[i, other] < 0:
                    break
                xx[b, j, active[i, other]] += 1
            for q in range(used):
                xy[b, j, slots[q]] += values[q]


def outcomes_of(facts: Facts) -> Outcomes:
    """The outcomes that the facts of one entry point have values for."""
    bins = histogram_bins(facts.dur)
    low = int(bins.min())
    blamed = facts.origin[facts.origin >= 0]
    return Outcomes(
        low, int(bins.max()) - low + 1, np.unique(np.concatenate((facts.component, blamed))).astype(np.int32)
    )


def winsor_caps(facts: Facts, outcomes: Outcomes, share: float = 0.99) -> tuple[int, NDArray[np.int64]]:
    """The cap of the root's duration and of each component's time: the upper edge of the bin of their `share` quantile.

    Taken from fixed-edge histograms, so that partitions agree on it after adding up their counts.
    """
    edges = np.ceil(np.minimum(np.exp2((np.arange(BINS) + 1) / BINS_PER_OCTAVE), 2.0**62)).astype(np.int64)

    def cap(durations: NDArray[np.int64], total: int) -> int:
        counts = np.bincount(histogram_bins(durations), minlength=BINS)
        counts[0] += total - durations.size
        return int(edges[min(int(np.searchsorted(np.cumsum(counts), share * total)), BINS - 1)])

    total = facts.dur.size
    order = np.argsort(facts.component, kind="stable")
    sorted_components = facts.component[order]
    low = np.searchsorted(sorted_components, outcomes.components, side="left")
    high = np.searchsorted(sorted_components, outcomes.components, side="right")
    caps = [cap(facts.time[order[a:b]], total) for a, b in zip(low, high, strict=True)]
    return cap(facts.dur, total), np.array(caps, dtype=np.int64)


def cells_of(
    facts: Facts, outcomes: Outcomes, caps: tuple[int, NDArray[np.int64]], slices: NDArray[np.int32],
    buckets: NDArray[np.int32], active: NDArray[np.int32], columns: int,
) -> Cells:  # fmt: skip
    """Sum up the facts of one entry point.

    `slices` and `buckets` give each request's time slice and bucket of units; `active` (r, a) its design columns,
    closed by -1.
    """
    count, width, buckets_used = int(slices.max()) + 1, outcomes.width, BUCKETS
    cells = Cells(
        n=np.zeros((count, buckets_used), dtype=np.int64),
        sx=np.zeros((count, buckets_used, columns), dtype=np.int64),
        sy=np.zeros((count, buckets_used, width), dtype=np.int64),
        xx=np.zeros((buckets_used, columns, columns), dtype=np.int64),
        xy=np.zeros((buckets_used, columns, width), dtype=np.int64),
        yy=np.zeros((3, width), dtype=np.int64),
    )
    top = int(max(facts.component.max(initial=0), facts.origin.max(initial=0))) + 1
    column = np.full(top, -1, dtype=np.int32)
    column[outcomes.components] = np.arange(outcomes.components.size, dtype=np.int32)
    _accumulate(
        slices, buckets, active, facts.dur, caps[0], facts.failed, histogram_bins(facts.dur), outcomes.low_bin,
        facts.origin,
        facts.first, facts.component, facts.time, facts.calls, column, outcomes.bins, outcomes.components.size, caps[1],
        cells.n, cells.sx, cells.sy, cells.xx, cells.xy, cells.yy,
    )  # fmt: skip
    return cells
