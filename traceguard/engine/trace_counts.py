"""What is wrong with each trace of a window, counted by trace so that only those that are judged need to count.

Which traces lie past the watermark is known only when all partitions were read.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.local import Window
from traceguard.traces.link import Linked


class TraceCounts:
    """Counts by trace in the window's order; what was removed before its spans were read has none."""

    def __init__(self, window: Window) -> None:
        traces = window.trace_hash.size
        self._window = window
        self.incomplete = np.zeros(traces, dtype=np.bool_)
        self.headless = np.zeros(traces, dtype=np.bool_)  # only fragments came
        self.fragments = np.zeros(traces, dtype=np.int32)
        self._streams: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []  # trace, operation

    def add(self, linked: Linked) -> None:
        """Take the traces of one partition."""
        rows = self._window.rows_of(linked.trace_hash)
        trace = rows[linked.trace[linked.root]]  # of each request
        self.incomplete[rows] = linked.incomplete
        whole = np.zeros(rows.size, dtype=np.bool_)
        whole[linked.trace[linked.root[~linked.fragment]]] = True
        self.headless[rows] = linked.incomplete & ~whole
        np.add.at(self.fragments, trace[linked.fragment & ~linked.evaluation[linked.root]], 1)
        stream = linked.stream & ~linked.fragment
        self._streams.append((trace[stream], linked.operation[linked.root[stream]]))

    def streams(self, judged: NDArray[np.bool_]) -> dict[str, int]:
        """How many requests of the judged traces are long-lived streams, by `service operation`."""
        names = self._window.names
        counts = Counter[int]()
        for trace, operation in self._streams:
            counts.update(operation[judged[trace]].tolist())
        return {" ".join(names.component(2 * o)[:2]): count for o, count in sorted(counts.items())}
