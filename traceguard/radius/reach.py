"""Whom a service, an operation or a flag reaches: entry points, services above and below, users.

What always holds: fractions are shares of recorded requests, never extrapolated; a request reaches the target if a call
of it (see `calls`) lies in the request itself or in asynchronous work that it started; fragments, torn off a request
whose upper part is missing, belong to no entry and are counted in a warning.

A flag stands for the services that evaluated it, in the traces in which they did.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.kernels import kernel
from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.evaluators import Evaluators, evaluating
from traceguard.radius.neighbours import FAR, Neighbours, Side
from traceguard.traces.critical_path import own_time
from traceguard.traces.link import Linked, Names
from traceguard.units import Period, format_time

if TYPE_CHECKING:
    from traceguard.radius.names import Target
    from traceguard.traces.factors import Circumstances

_I32, _I64, _B = "int32[::1]", "int64[::1]", "boolean[::1]"


@kernel(f"{_I64}({_I32}, {_I32}, {_I32}, {_B})")
def _calls_per_request(parent, request, root, call):  # type: ignore[no-untyped-def]
    """Calls in each request and in the asynchronous work that it started."""
    calls = np.zeros(root.size, dtype=np.int64)
    for i in range(call.size):
        if call[i]:
            p = np.int32(i)
            while p >= 0:
                calls[request[p]] += 1
                p = parent[root[request[p]]]
    return calls


@dataclass(slots=True)
class _Entries:
    """Sums over requests by entry, an entry being environment * operations + operation of the root."""

    names: Names
    requests: NDArray[np.int64]
    reached: NDArray[np.int64]
    calls: NDArray[np.int64]
    spent: NDArray[np.int64]
    total: NDArray[np.int64]

    @classmethod
    def of(cls, names: Names) -> "_Entries":
        size = len(names.environments) * len(names.operations)
        return cls(names, *(np.zeros(size, np.int64) for _ in range(5)))

    def add(self, linked: Linked, calls: NDArray[np.int64], spent: NDArray[np.int64]) -> None:
        whole = ~linked.fragment
        root = linked.root[whole]
        entry = linked.environment[whole].astype(np.int64) * len(self.names.operations) + linked.operation[root]
        np.add.at(self.requests, entry, 1)
        np.add.at(self.reached, entry, calls[whole] > 0)
        np.add.at(self.calls, entry, calls[whole])
        np.add.at(self.spent, entry, spent[whole])
        np.add.at(self.total, entry, linked.end[root] - linked.start[root])

    def rows(self) -> list[model.ReachedEntry]:
        several = len(self.names.environments) > 1
        found = []
        for entry in np.flatnonzero(self.reached):
            environment, operation = divmod(int(entry), len(self.names.operations))
            service, text = self.names.operations[operation]
            requests = int(self.requests[entry])
            found.append(
                model.ReachedEntry(
                    service=self.names.services[service],
                    operation=text,
                    environment=self.names.environments[environment] if several else None,
                    requests=requests,
                    fraction=float(self.reached[entry] / requests),
                    calls_per_request=float(self.calls[entry] / requests),
                    critical_fraction=float(self.spent[entry] / max(self.total[entry], 1)),
                )
            )
        return sorted(found, key=lambda e: (-e.fraction * e.requests, e.service, e.operation, e.environment or ""))


@dataclass(slots=True)
class _Sums:
    """What partitions add up to."""

    names: Names
    entries: _Entries
    neighbours: Neighbours
    traces: int = 0
    spans: int = 0
    requests: int = 0
    requests_reached: int = 0
    traces_reached: int = 0
    torn: int = 0
    earliest: int | None = None
    latest: int | None = None
    units: list[NDArray[np.uint64]] = field(default_factory=list)

    def add(
        self, linked: Linked, target: "Target", evaluators: Evaluators | None, units: "Circumstances | None"
    ) -> None:
        visits = visits_of(linked)
        if evaluators is not None:
            member = evaluating(linked, evaluators)
        else:
            member = members(linked, target.service or "", target.operation)
        call, within = calls_of(linked, visits, member)
        calls = _calls_per_request(linked.parent, linked.request, linked.root, call)
        inside = within if target.operation is not None else member & ~linked.evaluation
        spent = np.zeros(linked.root.size, np.int64)
        np.add.at(spent, linked.request[inside], own_time(linked)[inside])
        self.entries.add(linked, calls, spent)
        self.neighbours.add(linked, visits, call, whole_traces=evaluators is not None)
        self._count(linked, calls, np.unique(linked.trace[call]), units)

    def _count(
        self, linked: Linked, calls: NDArray[np.int64], hit: NDArray[np.int32], units: "Circumstances | None"
    ) -> None:
        self.traces += len(linked.trace_ids)
        self.spans += linked.start.size
        self.requests += int((~linked.fragment).sum())
        self.requests_reached += int((~linked.fragment & (calls > 0)).sum())
        self.torn += int((linked.fragment & (calls > 0)).sum())
        self.traces_reached += hit.size
        hashes = linked.trace_hash[hit]
        self.units.append(np.unique(hashes if units is None else units.unit[units.rows_of(hashes)]))
        if linked.root.size:
            begun = linked.start[linked.root]
            self.earliest = int(min(begun.min(), self.earliest if self.earliest is not None else begun.min()))
            self.latest = int(max(begun.max(), self.latest if self.latest is not None else begun.max()))


def reach(
    partitions: Iterable[Linked],
    target: "Target",
    *,
    period: Period,
    evaluators: Evaluators | None = None,
    circumstances: "Circumstances | None" = None,
) -> model.BlastRadius:
    """Answer whom `target` reaches over all partitions of a window; a flag needs its `evaluators`.

    `fraction` of an entry is the part of its requests that reach the target, of a service above the part of its visits
    that do, of a service below the part of the target's outermost calls (of a flag: of its traces) that reach it.
    `critical_fraction` is the time on the critical path inside the target's own spans over the time of all the entry's
    requests. `units` counts distinct randomisation units of the reached traces (the traces where `circumstances` is
    None). `kind` is async where every path has an asynchronous step. Without usable requests the document has no entries
    and the warning `no_requests`.
    """
    sums: _Sums | None = None
    for linked in partitions:
        if sums is None:
            names = linked.names
            sums = _Sums(names, _Entries.of(names), Neighbours(len(names.services)))
        sums.add(linked, target, evaluators, circumstances)
    if sums is None:
        sums = _Sums(Names((), (), ()), _Entries.of(Names((), (), ())), Neighbours(0))
    entries = sums.entries.rows()
    names = sums.names
    itself = {target.service} if evaluators is None else set(evaluators.services)
    sides = sums.neighbours
    upstream = [] if not entries else _side(sides.above, sides.visits, names, itself)
    requests = np.full(len(names.services), sides.requests)
    downstream = [] if not entries else _side(sides.below, requests, names, itself if evaluators is None else set())
    services = {n.service for n in (*upstream, *downstream)} | (itself if entries else set())
    return model.BlastRadius(
        target=model.Target(service=target.service, operation=target.operation, flag=target.flag_text),
        window=_window(period, sums),
        reach=model.Reach(
            requests_fraction=sums.requests_reached / max(sums.requests, 1),
            traces=sums.traces_reached,
            units=int(np.unique(np.concatenate(sums.units)).size) if sums.units else 0,
            services=len(services),
        ),
        entries=entries,
        upstream=upstream,
        downstream=downstream,
        warnings=_warnings(target, sums, entries),
    )


def _side(side: Side, of: NDArray[np.int64], names: Names, leave_out: set[str | None]) -> list[model.Neighbour]:
    found = []
    for at in np.flatnonzero(side.depth < FAR):
        kind: Literal["sync", "async"] = "sync" if side.sync[at] else "async"
        service = names.services[at]
        if service not in leave_out:
            fraction = float(side.units[at] / of[at])
            found.append(model.Neighbour(service=service, depth=int(side.depth[at]), fraction=fraction, kind=kind))
    return sorted(found, key=lambda n: (n.depth, -n.fraction, n.service))


def _window(period: Period, sums: _Sums) -> model.Window:
    start = period.start_ns if period.start_ns is not None else sums.earliest
    end = period.end_ns
    if end is None and sums.latest is not None:
        end = sums.latest + 1  # half-open: the last request belongs to it
    return model.Window(start=format_time(start), end=format_time(end), traces=sums.traces, spans=sums.spans)


def _warnings(target: "Target", sums: _Sums, entries: list[model.ReachedEntry]) -> list[model.Warning]:
    name = target.flag_text or " ".join(filter(None, (target.service, target.operation)))
    warnings = []
    if not entries:
        message = f"No usable request of the window reaches {name}; widen the window or send its traffic."
        warnings.append(model.Warning(code="no_requests", message=message))
    if sums.torn:
        message = (
            f"{sums.torn} fragments of requests reach {name}, but the spans above them are missing, so their entry points"
            " are unknown and not listed."
        )
        warnings.append(model.Warning(code="incomplete_traces", message=message))
    return warnings
