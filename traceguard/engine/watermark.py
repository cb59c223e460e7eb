"""The watermark: up to when a window's data is complete enough to judge, because spans come late.

The store does not keep when a span arrived, so lateness is read off the requests themselves. Near the end of the data
more of them miss parents, or wait for calls whose server's spans are not there, than is usual in the same window; the
watermark is where that begins. What misses spans all the time (a caller without instrumentation, a database) is usual.
What lasts longer than `LATEST_NS` is no lateness but a change, and is judged.

What always holds: where the end of the data is as complete as the rest, the watermark is the end, and nothing is lost.
"""

import numpy as np
from numpy.typing import NDArray

from traceguard.traces.link import CLIENT, Linked, Names

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
    """What is there of each trace, gathered partition by partition in the window's order of traces.

    A trace is incomplete if a span's parent is missing, or if a call has no server's span although calls by that
    operation usually do.
    """

    def __init__(self, names: Names) -> None:
        self._rows = 0
        self._torn: list[NDArray[np.bool_]] = []
        self._unanswered: list[NDArray[np.int32]] = []  # (2, k): the trace's row and the calling operation
        self._spans: list[NDArray[np.int64]] = []
        self._end: list[NDArray[np.int64]] = []
        self._calls = np.zeros(len(names.operations), dtype=np.int64)

    def add(self, linked: Linked, callee: NDArray[np.int32]) -> None:
        """Take the traces of one partition; `callee` are its `callees`."""
        size = len(linked.trace_ids)
        # A call that failed may never have arrived: nobody waits for its server's span, and an outage is no lateness.
        called = (linked.kind == CLIENT) & ~linked.failed
        self._calls += np.bincount(linked.operation[called], minlength=self._calls.size)
        alone = called & (callee < 0)
        self._unanswered.append(np.stack((linked.trace[alone] + np.int32(self._rows), linked.operation[alone])))
        torn = np.zeros(size, dtype=np.bool_)
        torn[linked.trace[linked.missing_parent]] = True
        end = np.zeros(size, dtype=np.int64)
        np.maximum.at(end, linked.trace[linked.root], linked.end[linked.root])
        self._torn.append(torn)
        self._spans.append(np.bincount(linked.trace, minlength=size))
        self._end.append(end)
        self._rows += size

    @property
    def spans(self) -> NDArray[np.int64]:
        """Distinct spans of each trace."""
        return np.concatenate(self._spans) if self._spans else np.zeros(0, dtype=np.int64)

    @property
    def incomplete(self) -> NDArray[np.bool_]:
        """Which traces miss something that is usually there."""
        if not self._torn:
            return np.zeros(0, dtype=np.bool_)
        incomplete = np.concatenate(self._torn)
        row, operation = np.concatenate(self._unanswered, axis=1)
        alone = np.bincount(operation, minlength=self._calls.size)
        awaited = alone < (1.0 - ANSWERED) * self._calls
        incomplete[row[awaited[operation]]] = True
        return incomplete

    def watermark(self, begun: NDArray[np.int64]) -> int | None:
        """The time, ns, from which on requests are not complete enough; None where all are. `begun` is the window's.

        Where the end is late at all, the watermark leaves at least the 99% duration of traces before the last end; it
        never lies more than `LATEST_NS` back.
        """
        if not begun.size:
            return None
        late = late_from(begun, self.incomplete, _block(begun))
        if late is None:
            return None
        end = np.concatenate(self._end)
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
