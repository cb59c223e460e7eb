"""The watermark: up to when a window's data is complete enough to judge, because spans come late.

The store does not keep when a span arrived, so lateness is read off the requests themselves. Near the end of the data
more of them miss parents, or wait for calls whose server's spans are not there, than is usual in the same window; the
watermark is where that begins. What misses spans all the time (a caller without instrumentation, a database) is usual.
What lasts longer than `LATEST_NS` is no lateness but a change, and is judged.

What always holds: where the end of the data is as complete as the rest, the watermark is the end, and nothing is lost.
"""

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.local import Window
from traceguard.traces.link import CLIENT, Linked

SHORTEST_BLOCK_NS, LONGEST_BLOCK_NS = 10_000_000_000, 60_000_000_000
PER_BLOCK = 40  # requests that a block should hold
LATEST_NS = 300_000_000_000
USUAL_BLOCKS = 6  # blocks that must be judged usual before any can be called unusual
LOOKED_AT = 1_000  # blocks before the end of the data
MIN_TRACES = 20  # in a block that tells a share
ANSWERED = 0.5  # part of an operation's calls that must have a server's span for the others to be waited for

_SURE = 4.0  # standard deviations of a share
_LEAST = 0.02  # excess of a share that matters
_FEW = 3.0  # incomplete ones in a block that may be chance where none are usual


class Completeness:
    """What is there of each trace of a window, gathered partition by partition in the window's order of traces.

    A trace is incomplete if a span's parent is missing, or if a call has no server's span although calls by that
    operation usually do. One that was removed before its spans were read has none, and is not looked at.
    """

    def __init__(self, window: Window) -> None:
        traces = window.trace_hash.size
        self.spans: NDArray[np.int64] = np.zeros(traces, dtype=np.int64)  # distinct ones of each trace
        self._window = window
        self._torn = np.zeros(traces, dtype=np.bool_)
        self._unanswered: list[NDArray[np.int32]] = []  # (2, k): the trace's row and the calling operation
        self._end = np.zeros(traces, dtype=np.int64)
        self._calls = np.zeros(len(window.names.operations), dtype=np.int64)

    def add(self, linked: Linked, callee: NDArray[np.int32]) -> None:
        """Take the traces of one partition; `callee` are its `callees`."""
        rows = self._window.rows_of(linked.trace_hash)
        # A call that failed may never have arrived: nobody waits for its server's span, and an outage is no lateness.
        called = (linked.kind == CLIENT) & ~linked.failed
        self._calls += np.bincount(linked.operation[called], minlength=self._calls.size)
        alone = called & (callee < 0)
        self._unanswered.append(np.stack((rows[linked.trace[alone]].astype(np.int32), linked.operation[alone])))
        self._torn[rows[linked.trace[linked.missing_parent]]] = True
        np.maximum.at(self._end, rows[linked.trace[linked.root]], linked.end[linked.root])
        self.spans[rows] = np.bincount(linked.trace, minlength=rows.size)

    @property
    def incomplete(self) -> NDArray[np.bool_]:
        """Which traces miss something that is usually there."""
        incomplete = self._torn.copy()
        if not self._unanswered:
            return incomplete
        row, operation = np.concatenate(self._unanswered, axis=1)
        alone = np.bincount(operation, minlength=self._calls.size)
        awaited = alone < (1.0 - ANSWERED) * self._calls
        incomplete[row[awaited[operation]]] = True
        return incomplete

    def watermark(self) -> int | None:
        """The time, ns, from which on requests are not complete enough; None where all are.

        Where the end is late at all, the watermark leaves at least the 99% duration of traces before the last end; it
        never lies more than `LATEST_NS` back.
        """
        there = self.spans > 0
        if not there.any():
            return None
        begun, end = self._window.begun[there], self._end[there]
        late = late_from(begun, self.incomplete[there], _block(begun))
        if late is None:
            return None
        took = np.maximum(end - begun, 0)
        return max(min(late, int(end.max()) - int(np.quantile(took, 0.99))), int(begun.max()) - LATEST_NS)


def _block(begun: NDArray[np.int64]) -> int:
    """How long a block is, ns; what lies apart in time does not count."""
    low, high = np.quantile(begun, (0.01, 0.99))
    return int(np.clip(PER_BLOCK * (high - low) / begun.size, SHORTEST_BLOCK_NS, LONGEST_BLOCK_NS))


def late_from(begun: NDArray[np.int64], incomplete: NDArray[np.bool_], block: int) -> int | None:
    """Where the run of blocks at the end of the data begins in which unusually many are incomplete; None without one.

    `begun` (t, ns) is when the traces began. The usual share is the median of blocks of `block` ns, counted from the
    last trace back; blocks with few traces neither make nor end a run.
    """
    back = (int(begun.max()) - begun) // block
    near = back < LOOKED_AT
    traces = np.bincount(back[near])
    torn = np.bincount(back[near & incomplete], minlength=traces.size)
    told = traces >= MIN_TRACES
    if not told.any():
        return None
    of, share = traces[told], torn[told] / traces[told]
    usual = float(np.median(share))
    slack = np.maximum(_SURE * np.sqrt(usual * (1 - usual) / of), _LEAST) + _FEW / of
    unusual = share > usual + slack
    run = int(unusual.argmin()) if not unusual.all() else unusual.size
    if run == 0 or unusual.size - run < max(USUAL_BLOCKS, run + 1):
        return None
    blocks = int(np.flatnonzero(told)[run - 1]) + 1
    return int(begun.max()) - blocks * block + 1 if blocks * block <= LATEST_NS else None
