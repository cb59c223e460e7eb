"""The services above and below a target's calls: hops, fractions, and whether every way there is asynchronous.

Upward the unit is the visit: which part of a service's visits have a call of the target below them. Downward it is the
target's request: which part of its outermost calls (of its traces, for a flag) have a visit of the service below them.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.kernels import kernel
from traceguard.radius.calls import Visits
from traceguard.stats.clustered import Clusters, Shares
from traceguard.traces.link import Linked, Names

_I32, _I64, _B = "int32[::1]", "int64[::1]", "boolean[::1]"
FAR = np.iinfo(np.int32).max


@kernel(f"Tuple(({_I32}, {_B}))({_I32}, {_I32}, {_I32}, {_I32}, {_B})")
def _climb(parent, head, hops, leaps, call):  # type: ignore[no-untyped-def]
    """Per visit (at its head): hops down to the nearest call, and whether a call is reached without asynchronous steps.

    A climb ends where an earlier one left nothing to improve, so the work is linear in practice.
    """
    n = parent.size
    depth = np.full(n, FAR, dtype=np.int32)
    sync = np.zeros(n, dtype=np.bool_)
    for i in range(n):
        if not call[i]:
            continue
        p = parent[head[i]]
        while p >= 0:
            u = head[p]
            far = hops[i] - hops[u]
            waits = leaps[i] == leaps[u]
            if depth[u] <= far and (sync[u] or not waits):
                break
            depth[u] = min(depth[u], far)
            sync[u] = sync[u] or waits
            p = parent[u]
    return depth, sync


@kernel(f"Tuple(({_I32}, {_I32}))({_I32}, {_I32}, {_B})")
def _calls_above(order, parent, call):  # type: ignore[no-untyped-def]
    """Per span: the nearest and the outermost call at or above it, -1 for none."""
    n = parent.size
    nearest = np.full(n, -1, dtype=np.int32)
    outermost = np.full(n, -1, dtype=np.int32)
    for k in range(n):
        i = order[k]
        p = parent[i]
        if p >= 0:
            nearest[i] = nearest[p]
            outermost[i] = outermost[p]
        if call[i]:
            nearest[i] = i
            if outermost[i] < 0:
                outermost[i] = i
    return nearest, outermost


@kernel(f"Tuple(({_I32}, {_B}))({_I32}, {_I32}, {_I32}, {_I32}, {_I32}, {_I32}, {_B})")
def _beside(order, parent, head, hops, leaps, depth, sync):  # type: ignore[no-untyped-def]
    """Per visit that has no call above or below: hops to the nearest call, up to a common caller and down again."""
    n = parent.size
    near = depth.copy()
    waits = sync.copy()
    for k in range(n):
        i = order[k]
        if head[i] != i or parent[i] < 0 or depth[i] < FAR:
            continue
        u = head[parent[i]]
        if near[u] < FAR:
            near[i] = near[u] + hops[i] - hops[u]
            waits[i] = waits[u] and leaps[i] == leaps[u]
    return near, waits


@dataclass(slots=True)
class Side:
    """One side of the target, by service id: the fewest hops there, any synchronous path, shares by unit."""

    depth: NDArray[np.int32]
    sync: NDArray[np.bool_]
    shares: Clusters = field(default_factory=Clusters)

    @classmethod
    def of(cls, services: int) -> "Side":
        """A side on which nothing was seen yet."""
        return cls(np.full(services, FAR, np.int32), np.zeros(services, np.bool_))

    def add(self, service: NDArray[np.int32], depth: NDArray[np.int32], sync: NDArray[np.bool_]) -> None:
        """Take note of paths to `service`; three arrays of one length."""
        np.minimum.at(self.depth, service, depth)
        self.sync[service[sync]] = True

    def rows(self, shares: Shares, names: Names, itself: set[str]) -> list[model.Neighbour]:
        """The services on this side but for the target's own, nearest first."""
        low, high = shares.interval()
        fraction, found = shares.fraction, []
        for at in np.flatnonzero(self.depth < FAR):
            kind: Literal["sync", "async"] = "sync" if self.sync[at] else "async"
            if (service := names.services[at]) in itself:
                continue
            found.append(
                model.Neighbour(
                    service=service, depth=int(self.depth[at]), fraction=float(fraction[at]), kind=kind,
                    low=float(low[at]), high=float(high[at]), units=int(shares.clusters_hit[at]),
                )
            )  # fmt: skip
        return sorted(found, key=lambda n: (n.depth, -n.fraction, n.service))


@dataclass(frozen=True, slots=True)
class Around:
    """What one partition's target has around it; arrays of length n."""

    up: NDArray[np.bool_]  # heads of visits with a call in or below them
    down: NDArray[np.bool_]  # heads of visits below a call; for whole traces, of all in a trace with a call
    request: NDArray[np.int64]  # the target's request at or above the span (its outermost call, its trace), -1 for none


@dataclass(slots=True)
class Neighbours:
    """What partitions add up to; made anew for each question."""

    services: int
    above: Side = field(init=False)
    below: Side = field(init=False)
    requests: Clusters = field(default_factory=Clusters)  # the target's outermost calls, or its traces

    def __post_init__(self) -> None:
        self.above, self.below = Side.of(self.services), Side.of(self.services)

    def add(
        self, linked: Linked, visits: Visits, call: NDArray[np.bool_], unit: NDArray[np.int64], *, whole_traces: bool
    ) -> Around:
        """Add one partition, whose target's calls are marked; `unit` (t) is whose trace it is.

        With `whole_traces` (a flag) the target's requests are the traces with a call; the calls' own services lie one
        hop below the flag, and whatever else those traces touch lies below it, too: its state belongs to the whole
        trace.
        """
        head = np.flatnonzero((visits.head == np.arange(visits.head.size)) & ~linked.evaluation).astype(np.int32)
        depth, sync = _climb(linked.parent, visits.head, visits.hops, visits.leaps, call)
        reaches = depth[head] < FAR
        self.above.shares.add(linked.service[head].astype(np.int64), unit[linked.trace[head]], reaches)
        reaching = head[reaches]
        self.above.add(linked.service[reaching], depth[reaching], sync[reaching])
        nearest, outermost = _calls_above(visits.order, linked.parent, call)
        inner = head[linked.parent[head] >= 0]
        above = nearest[linked.parent[inner]]
        inner, above = inner[above >= 0], above[above >= 0]
        hops = visits.hops[inner] - visits.hops[above] + np.int32(whole_traces)
        self.below.add(linked.service[inner], hops, visits.leaps[inner] == visits.leaps[above])
        up = depth < FAR
        up[visits.head[call]] = True
        down = np.zeros(call.size, dtype=np.bool_)
        if not whole_traces:
            down[inner] = True
            of = outermost[above]
            self._count(unit[linked.trace], np.unique(outermost[call]), of.astype(np.int64), linked.service[inner])
            return Around(up, down, outermost.astype(np.int64))
        hit = np.zeros(len(linked.trace_ids), dtype=np.bool_)
        hit[linked.trace[call]] = True
        touched = head[hit[linked.trace[head]]]
        down[touched] = True
        self._count(unit, np.flatnonzero(hit), linked.trace[touched].astype(np.int64), linked.service[touched])
        at = linked.service[call]
        self.below.add(at, np.ones(at.size, np.int32), np.ones(at.size, np.bool_))
        near, waits = _beside(visits.order, linked.parent, visits.head, visits.hops, visits.leaps, depth, sync)
        aside = touched[(near[touched] < FAR) & (depth[touched] == FAR) & (nearest[touched] < 0)]
        self.below.add(linked.service[aside], near[aside] + np.int32(1), waits[aside])
        return Around(up, down, np.where(hit[linked.trace], linked.trace, -1).astype(np.int64))

    def _count(
        self, unit: NDArray[np.int64], requests: NDArray[np.int64], of: NDArray[np.int64], service: NDArray[np.int32]
    ) -> None:
        """Count the target's `requests`, and each (request, service below it) once; `unit` is whose request it is."""
        self.requests.add(np.zeros(requests.size, np.int64), unit[requests], np.ones(requests.size, dtype=np.bool_))
        pairs = np.unique(of * self.services + service)
        self.below.shares.add(pairs % self.services, unit[pairs // self.services], np.ones(pairs.size, dtype=np.bool_))
