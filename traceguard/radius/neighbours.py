"""The services above and below a target's calls: hops, fractions, and whether every way there is asynchronous.

Upward the unit is the visit: which part of a service's visits have a call of the target below them. Downward it is the
target's request: which part of its outermost calls (of its traces, for a flag) have a visit of the service below them.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.radius.calls import Visits
from traceguard.traces.link import Linked

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
    """One side of the target, by service id: units that have a path there, the fewest hops, any synchronous path."""

    units: NDArray[np.int64]
    depth: NDArray[np.int32]
    sync: NDArray[np.bool_]

    @classmethod
    def of(cls, services: int) -> "Side":
        """A side on which nothing was seen yet."""
        return cls(np.zeros(services, np.int64), np.full(services, FAR, np.int32), np.zeros(services, np.bool_))

    def add(self, service: NDArray[np.int32], depth: NDArray[np.int32], sync: NDArray[np.bool_]) -> None:
        """Take note of paths to `service`; three arrays of one length."""
        np.minimum.at(self.depth, service, depth)
        self.sync[service[sync]] = True

    def count(self, unit: NDArray[np.int64], service: NDArray[np.int32]) -> None:
        """Count each (unit, service) once; units of different partitions differ."""
        width = self.units.size
        pairs = np.unique(unit * width + service)
        self.units += np.bincount(pairs % width, minlength=width)


@dataclass(slots=True)
class Neighbours:
    """What partitions add up to; made anew for each question."""

    services: int
    visits: NDArray[np.int64] = field(init=False)  # by service: all of its visits
    above: Side = field(init=False)
    below: Side = field(init=False)
    requests: int = 0  # the target's outermost calls, or its traces

    def __post_init__(self) -> None:
        self.visits = np.zeros(self.services, np.int64)
        self.above, self.below = Side.of(self.services), Side.of(self.services)

    def add(self, linked: Linked, visits: Visits, call: NDArray[np.bool_], *, whole_traces: bool) -> None:
        """Add one partition, whose target's calls are marked.

        With `whole_traces` (a flag) the target's requests are the traces with a call; the calls' own services lie one
        hop below the flag, and whatever else those traces touch lies below it, too: its state belongs to the whole
        trace.
        """
        head = np.flatnonzero((visits.head == np.arange(visits.head.size)) & ~linked.evaluation).astype(np.int32)
        service = linked.service[head]
        self.visits += np.bincount(service, minlength=self.services)
        depth, sync = _climb(linked.parent, visits.head, visits.hops, visits.leaps, call)
        reaching = head[depth[head] < FAR]
        self.above.units += np.bincount(linked.service[reaching], minlength=self.services)
        self.above.add(linked.service[reaching], depth[reaching], sync[reaching])
        nearest, outermost = _calls_above(visits.order, linked.parent, call)
        inner = head[linked.parent[head] >= 0]
        above = nearest[linked.parent[inner]]
        inner, above = inner[above >= 0], above[above >= 0]
        hops = visits.hops[inner] - visits.hops[above] + np.int32(whole_traces)
        self.below.add(linked.service[inner], hops, visits.leaps[inner] == visits.leaps[above])
        if not whole_traces:
            self.requests += np.unique(outermost[call]).size
            self.below.count(outermost[above].astype(np.int64), linked.service[inner])
            return
        hit = np.zeros(len(linked.trace_ids), dtype=np.bool_)
        hit[linked.trace[call]] = True
        self.requests += int(hit.sum())
        touched = head[hit[linked.trace[head]]]
        self.below.count(linked.trace[touched].astype(np.int64), linked.service[touched])
        at = linked.service[call]
        self.below.add(at, np.ones(at.size, np.int32), np.ones(at.size, np.bool_))
        near, waits = _beside(visits.order, linked.parent, visits.head, visits.hops, visits.leaps, depth, sync)
        aside = touched[(near[touched] < FAR) & (depth[touched] == FAR) & (nearest[touched] < 0)]
        self.below.add(linked.service[aside], near[aside] + np.int32(1), waits[aside])
