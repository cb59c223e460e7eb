"""Time per call: how long the calls of each component take, as histograms that merge by SUM.

A component is a service's operation and a locus (see `critical_path.components`): `self` is what a span takes less what
its children cover, `inbound` what a client's span takes beyond the server's that it waits for. Unlike time on the
critical path of a request it knows nothing of how often a request calls, nor of what runs beside it.

Calls are only comparable within a stratum: self times of spans of one shape (what they called, see `structure`),
inbound times of one calling operation, which is also where a slow caller shows: in the times of all that it calls.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.cells import histogram_bins
from traceguard.traces.link import Linked
from traceguard.traces.structure import BLOCKS, Shaped

UNIT_NS = 1_000  # added to every time, so that differences of a microsecond count for little on a logarithmic scale

_KEY = ["component", "stratum", "late", "bin"]
_SCHEMA: dict[str, type[pl.DataType]] = {
    "component": pl.Int32, "stratum": pl.UInt64, "late": pl.Boolean, "bin": pl.Int32, "count": pl.Int64,
}  # fmt: skip

_I32, _I64 = "int32[::1]", "int64[::1]"


@dataclass(frozen=True, slots=True)
class CallTimes:
    """Calls by component, stratum, side (`late`: the candidate) and bin; merges by `+`.

    The stratum is a shape for `self` components, the calling operation's id for `inbound` ones. Bins are those of
    `cells.histogram_bins`, of the time and `UNIT_NS`.
    """

    rows: pl.DataFrame

    def __add__(self, other: "CallTimes") -> "CallTimes":
        """The sums of both."""
        return CallTimes(_summed(pl.concat((self.rows, other.rows))))


def no_call_times() -> CallTimes:
    """The times of nothing."""
    return CallTimes(pl.DataFrame(schema=_SCHEMA))


@kernel(f"{_I64}({_I32}, {_I32}, {_I32}, {_I64}, {_I64})")
def _alone(order, first_child, next_sibling, start, end):  # type: ignore[no-untyped-def]
    """Nanoseconds of each span of `order` that none of its children covers; children come by end, the latest first."""
    alone = np.empty(order.size, dtype=np.int64)
    for k in range(order.size):
        i = order[k]
        free, mine = end[i], np.int64(0)  # everything from `free` on is accounted for
        child = first_child[i]
        while child >= 0:
            stop = max(min(end[child], free), start[i])
            mine += free - stop
            free = max(min(stop, start[child]), start[i])
            child = next_sibling[child]
        alone[k] = mine + free - start[i]
    return alone


def call_times_of(linked: Linked, callee: NDArray[np.int32], block: NDArray[np.int32], shaped: Shaped) -> CallTimes:
    """The times of one partition's calls; see `structure.structure_of` for the arguments."""
    of_span = block[linked.request]
    order = shaped.order[of_span[shaped.order] >= 0]
    own = order[callee[order] < 0]
    alone = _alone(own, linked.first_child, linked.next_sibling, linked.start, linked.end)
    client = order[callee[order] >= 0]
    server = callee[client]
    gap = (linked.end[client] - linked.start[client]) - (linked.end[server] - linked.start[server])
    above = linked.parent[client]
    caller = linked.operation[np.where((above >= 0) & ~linked.detached[client], above, client)]
    span = np.concatenate((own, client))
    times = np.concatenate((alone, np.maximum(gap, 0)))
    rows = pl.DataFrame(
        {
            "component": np.concatenate((2 * linked.operation[own], 2 * linked.operation[server] + 1)),
            "stratum": np.concatenate((shaped.shape[own], caller.astype(np.uint64))),
            "late": of_span[span] >= BLOCKS,
            "bin": histogram_bins(times + UNIT_NS),
            "count": np.ones(span.size, dtype=np.int64),
        },
        schema=_SCHEMA,
    )
    return CallTimes(_summed(rows))


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by(_KEY).agg(pl.col("count").sum()).sort(_KEY)
