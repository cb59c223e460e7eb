"""The watermark: up to when a window's data is complete enough to judge, because spans come late.

The store does not keep when a span arrived, so lateness is read off the requests themselves. Near the end of the data
more of them miss parents, or wait for calls whose server's spans are not there, than is usual in the same window; the
watermark is where that begins. What misses spans all the time (a caller without instrumentation, a database) is usual.
What lasts longer than `LATEST_NS` is no lateness but a change, and is judged.

What always holds: where the end of the data is as complete as the rest, the watermark is the end, and nothing is lost.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traceguard.traces.link import CLIENT, Linked

BLOCK_NS = 10_000_000_000
LATEST_NS = 300_000_000_000
USUAL_BLOCKS = 6  # blocks that must be judged usual before any can be called unusual
LOOKED_AT = 1_000  # blocks before the end of the data
MIN_COUNT = 20  # requests or calls in a block that tell a share

_SURE = 4.0  # standard deviations of a share
_LEAST = 0.02  # excess of a share that matters
_FEW = 3.0  # late ones in a block that may be chance where none are usual


@dataclass(slots=True)
class Completeness:
    """What is there of each trace, gathered partition by partition in the window's order of traces."""

    torn: list[NDArray[np.bool_]] = field(default_factory=list)  # a span's parent is missing
    calls: list[NDArray[np.int64]] = field(default_factory=list)  # client spans
    unanswered: list[NDArray[np.int64]] = field(default_factory=list)  # client spans without a server's span
    spans: list[NDArray[np.int64]] = field(default_factory=list)  # distinct ones
    last: list[NDArray[np.int64]] = field(default_factory=list)  # end of the longest root, ns

    def add(self, linked: Linked, callee: NDArray[np.int32]) -> None:
        """Take the traces of one partition; `callee` are its `callees`."""
        size = len(linked.trace_ids)
        client = linked.kind == CLIENT
        torn = np.zeros(size, dtype=np.bool_)
        torn[linked.trace[linked.missing_parent]] = True
        end = np.zeros(size, dtype=np.int64)
        np.maximum.at(end, linked.trace[linked.root], linked.end[linked.root])
        self.torn.append(torn)
        self.calls.append(np.bincount(linked.trace[client], minlength=size))
        self.unanswered.append(np.bincount(linked.trace[client & (callee < 0)], minlength=size))
        self.spans.append(np.bincount(linked.trace, minlength=size))
        self.last.append(end)

    def watermark(self, begun: NDArray[np.int64]) -> int | None:
        """The time, ns, from which on requests are not complete enough; None where all are. `begun` is the window's.

        Where the end is late at all, the watermark leaves at least the 99% duration of traces before the last end; it
        never lies more than `LATEST_NS` back.
        """
        if not begun.size:
            return None
        torn, calls, unanswered, last = (np.concatenate(x) for x in (self.torn, self.calls, self.unanswered, self.last))
        ones = np.ones(begun.size, dtype=np.int64)
        starts = [late_from(begun, torn.astype(np.int64), ones), late_from(begun, unanswered, calls)]
        found = [at for at in starts if at is not None]
        if not found:
            return None
        took = np.maximum(last - begun, 0)
        earliest = int(begun.max()) - LATEST_NS
        return max(min(*found, int(last.max()) - int(np.quantile(took, 0.99))), earliest)


def late_from(begun: NDArray[np.int64], missing: NDArray[np.int64], expected: NDArray[np.int64]) -> int | None:
    """Where the run of blocks at the end of the data begins in which unusually many are missing; None without one.

    `missing` of `expected` things (t) are missing of the traces that began at `begun` (t, ns). The usual share is the
    median of blocks of `BLOCK_NS`, counted from the last trace back; blocks with few expected things neither make nor
    end a run.
    """
    back = (int(begun.max()) - begun) // BLOCK_NS
    near = back < LOOKED_AT
    of = np.bincount(back[near], weights=expected[near]).astype(np.float64)
    lost = np.bincount(back[near], weights=missing[near])
    told = of >= MIN_COUNT
    share = lost[told] / of[told]
    if share.size == 0:
        return None
    usual = float(np.median(share))
    slack = np.maximum(_SURE * np.sqrt(usual * (1 - usual) / of[told]), _LEAST) + _FEW / of[told]
    late = share > usual + slack
    run = int(late.argmin()) if not late.all() else late.size
    if run == 0 or late.size - run < max(USUAL_BLOCKS, run + 1):
        return None
    blocks = int(np.flatnonzero(told)[run - 1]) + 1
    if blocks * BLOCK_NS > LATEST_NS:
        return None
    return int(begun.max()) - blocks * BLOCK_NS + 1
