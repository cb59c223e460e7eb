"""Which calls got slower between two periods, in units of how much their times vary anyway.

Per component and stratum (see `traces.call_time`) the median of the logarithm of the time is compared, so that neither
a heavy tail nor the number of calls decides; a component's strata are pooled after each has been held against its own
baseline. The score is the lower bound of the shift over the baseline's robust spread (1.4826 MAD), per call: what is
small but unusual is found, and a stop after a call is scored in the same units (`structure_change`). The bound takes
calls for independent, so it orders what might be to blame and tests nothing. (Clustered errors of medians are of no
use here: under contention calls are fast or slow by turns, and the median jumps when a block is left out.)

The way into a callee is held against the ways into the others that the same caller calls: what they have in common is
the caller's (its processor, its network, its pool of connections) and counts for it and not for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from traceguard.traces.call_time import CallTimes
from traceguard.traces.cells import BINS_PER_OCTAVE
from traceguard.traces.link import Names

Floats = NDArray[np.float64]

MIN_CALLS = 5  # of the baseline, for a stratum to be compared
MIN_CANDIDATE_CALLS = 2  # of a component; their spread is taken for no less than the baseline's
LEAST_SPREAD = 0.5  # bins (2%): what varies less counts as varying so much
MAD = 1.4826  # a normal distribution's standard deviation over its median absolute deviation
EFFICIENCY = 1.2533  # the median's standard error over the mean's, of normal values
OTHERS = 2  # services called besides a callee's own, at least, that show what ways out of a caller have in common


@dataclass(frozen=True, slots=True)
class CallTimeChange:
    """How much slower the calls of a component (2 * operation + locus) got: the factor of the median time.

    `outgoing` marks what all ways out of a caller have in common; the component is then the caller's own time.
    """

    component: int
    outgoing: bool
    calls: int  # of the candidate
    factor: float
    score: float


def call_time_changes(times: CallTimes, names: Names, alpha: float) -> list[CallTimeChange]:
    """The change of each component that both sides have, the highest score first."""
    if times.rows.is_empty():
        return []
    critical = float(stats.norm.ppf(1 - alpha / 2))
    inbound = times.rows["component"] % 2 == 1
    found = []
    for (component,), rows in times.rows.filter(~inbound).partition_by("component", as_dict=True).items():
        change = _compared(int(component), rows, critical)
        found += [] if change is None else [change]
    edges: dict[tuple[int, int], CallTimeChange] = {}
    split = times.rows.filter(inbound).partition_by("component", "stratum", as_dict=True)
    for (component, caller), rows in split.items():
        change = _compared(int(component), rows, critical)
        if change is not None:
            edges[int(caller), int(component)] = change
    found += _ways(edges, names)
    return sorted(found, key=lambda c: (-c.score, c.component))


def _compared(component: int, rows: pl.DataFrame, critical: float) -> CallTimeChange | None:
    """A component's change, or None where too few calls can be compared."""
    stratum = np.unique(rows["stratum"].to_numpy(), return_inverse=True)[1]
    late, bins = rows["late"].to_numpy(), rows["bin"].to_numpy().astype(np.int64)
    count = rows["count"].to_numpy().astype(np.float64)
    before = np.bincount(stratum, weights=count * ~late)
    use = (before >= MIN_CALLS)[stratum]
    calls = float(count[use & late].sum())
    if calls < MIN_CANDIDATE_CALLS:
        return None
    low = int(bins.min())
    grid = np.zeros((before.size, int(bins.max()) - low + 1))
    np.add.at(grid, (stratum[~late], bins[~late] - low), count[~late])
    middle = np.floor(_medians(grid)).astype(np.int64) + low
    shift = bins - middle[stratum]
    shift -= shift.min()
    sides = np.zeros((2, int(shift.max()) + 1))
    np.add.at(sides, (late[use].astype(np.int64), shift[use]), count[use])
    medians = _medians(sides)
    spreads = np.array([_spread(side, median) for side, median in zip(sides, medians, strict=True)])
    spreads = np.maximum(spreads, spreads[0])
    moved = float(medians[1] - medians[0])
    error = EFFICIENCY * float(np.sqrt((spreads**2 / sides.sum(1)).sum()))
    score = (moved - critical * error) / (float(spreads[0]) + LEAST_SPREAD)
    return CallTimeChange(
        component, outgoing=False, calls=int(calls), factor=2 ** (moved / BINS_PER_OCTAVE), score=score
    )


def _medians(histograms: Floats) -> Floats:
    """Medians of histograms (h, bins) in bins from the first one's lower edge; 0 of empty ones."""
    cumulative = np.cumsum(histograms, axis=1)
    half = cumulative[:, -1:] / 2
    at = (cumulative < half).sum(1)
    rows = np.arange(at.size)
    inside = np.maximum(histograms[rows, at], 1e-300)
    medians: Floats = at + (half[:, 0] - (cumulative[rows, at] - histograms[rows, at])) / inside
    return np.where(half[:, 0] > 0.0, medians, 0.0)


def _spread(histogram: Floats, median: float) -> float:
    """The robust standard deviation in bins."""
    distance = np.abs(np.arange(histogram.size) + 0.5 - median)
    order = np.argsort(distance, kind="stable")
    at = int(np.searchsorted(np.cumsum(histogram[order]), histogram.sum() / 2))
    return MAD * float(distance[order][at])


def _ways(edges: Mapping[tuple[int, int], CallTimeChange], names: Names) -> list[CallTimeChange]:
    """The changes of the ways into callees beyond what the callers' other ways show, and of what these have in common.

    `edges` are by caller's operation and callee's component.
    """
    service = [s for s, _ in names.operations]
    out: dict[int, dict[int, CallTimeChange]] = {}  # by calling service and called service, the worst way
    for (caller, component), change in edges.items():
        worst = out.setdefault(service[caller], {})
        callee = service[component // 2]
        if callee not in worst or worst[callee].score < change.score:
            worst[callee] = change
    best: dict[int, CallTimeChange] = {}
    for (caller, component), change in edges.items():
        others = [c.score for callee, c in out[service[caller]].items() if callee != service[component // 2]]
        shared = max(float(np.median(others)), 0.0) if len(others) >= OTHERS else 0.0
        net = replace(change, score=change.score - shared)
        if component not in best or best[component].score < net.score:
            best[component] = net
    common = []
    for calling, worst in out.items():
        if len(worst) <= OTHERS:
            continue
        ordered = sorted(worst.values(), key=lambda c: c.score)
        typical = ordered[(len(ordered) - 1) // 2]
        callers = [(change.calls, caller) for (caller, _), change in edges.items() if service[caller] == calling]
        common.append(replace(typical, component=2 * max(callers)[1], outgoing=True))
    return [*best.values(), *common]
