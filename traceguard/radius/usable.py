"""Which requests count: neither fragments nor long-lived streams, nor what the settings leave out."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.traces.link import Linked


@dataclass(slots=True)
class Usable:
    """The requests of a window that count, asked for partition by partition.

    `entries` marks, per operation of the names, the entry points that the settings leave out, `traces` are the hashes
    of traces that they do. `streams` counts the long-lived streams that are not among these.
    """

    entries: NDArray[np.bool_] | None = None
    traces: NDArray[np.uint64] | None = None
    streams: Counter[str] = field(default_factory=Counter)

    def of(self, linked: Linked) -> NDArray[np.bool_]:
        """r: the requests of a partition that count; each partition is to be asked for once."""
        wanted = np.ones(linked.root.size, dtype=np.bool_)
        if self.entries is not None:
            wanted &= ~self.entries[linked.operation[linked.root]]
        if self.traces is not None:
            wanted &= ~np.isin(linked.trace_hash, self.traces)[linked.trace[linked.root]]
        stream = linked.stream & ~linked.fragment & wanted
        for operation, count in zip(*np.unique(linked.operation[linked.root[stream]], return_counts=True), strict=True):
            self.streams[" ".join(linked.names.component(2 * int(operation))[:2])] += int(count)
        return linked.whole & wanted

    def warnings(self) -> list[model.Warning]:
        """What was left out without anybody having asked for it."""
        if not self.streams:
            return []
        ranked = sorted(self.streams.items(), key=lambda found: (-found[1], found[0]))
        listed = ", ".join(f"{name} ({count:,})" for name, count in ranked)
        message = f"{self.streams.total():,} long-lived streams do not count as requests: {listed}."
        return [model.Warning(code="long_lived_streams", message=message)]
