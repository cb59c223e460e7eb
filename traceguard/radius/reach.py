"""Whom a service, an operation or a flag reaches: entry points, services above and below, users.

What always holds: fractions are shares of recorded requests, each standing for as many as its stated sampling rate
says; a request reaches the target if a call of it (see `calls`) lies in the request itself or in asynchronous work that
it started; fragments, torn off a request whose upper part is missing, belong to no entry and are counted in a warning.

A flag stands for the services that evaluated it, in the traces in which they did.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.entry_points import EntryPoints, calls_per_request
from traceguard.radius.evaluators import Evaluators, evaluating, read_evaluators
from traceguard.radius.neighbours import FAR, Neighbours, Side
from traceguard.radius.usable import Usable
from traceguard.traces.critical_path import own_time
from traceguard.traces.link import Linked, Names
from traceguard.units import Period, format_time

if TYPE_CHECKING:
    from traceguard.radius.names import Target
    from traceguard.traces.factors import Circumstances

__all__ = ["reach", "read_evaluators"]


@dataclass(slots=True)
class _Sums:
    """What partitions add up to."""

    names: Names
    entries: EntryPoints
    neighbours: Neighbours
    traces: int = 0
    spans: int = 0
    requests: int = 0
    weight: float = 0.0
    weight_reached: float = 0.0
    traces_reached: int = 0
    torn: int = 0
    earliest: int | None = None
    latest: int | None = None
    units: list[NDArray[np.uint64]] = field(default_factory=list)

    @classmethod
    def of(cls, names: Names) -> "_Sums":
        return cls(names, EntryPoints.of(names), Neighbours(len(names.services)))

    def add(self, linked: Linked, question: "_Question") -> None:
        visits = visits_of(linked)
        target, evaluators = question.target, question.evaluators
        if evaluators is not None:
            member = evaluating(linked, evaluators)
        else:
            member = members(linked, target.service or "", target.operation)
        call, within = calls_of(linked, visits, member)
        calls = calls_per_request(linked, visits, call)
        inside = within if target.operation is not None else member & ~linked.evaluation
        spent = np.zeros(linked.root.size, np.int64)
        np.add.at(spent, linked.request[inside], own_time(linked)[inside])
        whole = question.usable.of(linked)
        stands_for = np.ones(len(linked.trace_ids))
        if question.sampling is not None:
            known, counts = question.sampling
            stands_for = counts[np.searchsorted(known, linked.trace_hash)]
        weight = stands_for[linked.trace[linked.root]]
        self.entries.add(linked, whole, calls, spent, weight)
        self.neighbours.add(linked, visits, call, whole_traces=evaluators is not None)
        self.traces += len(linked.trace_ids)
        self.spans += linked.start.size
        # Asynchronous work is part of the request that started it here, although it is an entry of its own.
        begun_outside = whole & ~linked.detached[linked.root]
        self.requests += int(begun_outside.sum())
        self.weight += float(weight[begun_outside].sum())
        self.weight_reached += float(weight[begun_outside & (calls > 0)].sum())
        self.torn += int((linked.fragment & (calls > 0)).sum())
        hit = np.unique(linked.trace[call])
        self.traces_reached += hit.size
        hashes, units = linked.trace_hash[hit], question.circumstances
        self.units.append(np.unique(hashes if units is None else units.unit[units.rows_of(hashes)]))
        begun = _begun(linked)
        if begun.size:
            self.earliest = int(begun.min()) if self.earliest is None else min(self.earliest, int(begun.min()))
            self.latest = int(begun.max()) if self.latest is None else max(self.latest, int(begun.max()))


def _begun(linked: Linked) -> NDArray[np.int64]:
    """When each trace began: its root's start, its earliest span's where the root is missing."""
    begun = np.full(len(linked.trace_ids), np.iinfo(np.int64).max)
    for roots in (linked.root[~linked.detached[linked.root] & ~linked.missing_parent[linked.root]], linked.root):
        late = begun == np.iinfo(np.int64).max
        chosen = roots[late[linked.trace[roots]] & ~linked.evaluation[roots]]
        np.minimum.at(begun, linked.trace[chosen], linked.start[chosen])
    return begun[begun < np.iinfo(np.int64).max]


@dataclass(frozen=True, slots=True)
class _Question:
    target: "Target"
    circumstances: "Circumstances | None"
    evaluators: Evaluators | None
    usable: Usable
    sampling: tuple[NDArray[np.uint64], NDArray[np.float64]] | None


def reach(
    partitions: Iterable[Linked],
    target: "Target",
    period: Period,
    circumstances: "Circumstances | None" = None,
    evaluators: Evaluators | None = None,
    leave_out: NDArray[np.bool_] | None = None,
    leave_out_traces: NDArray[np.uint64] | None = None,
    sampling: tuple[NDArray[np.uint64], NDArray[np.float64]] | None = None,
) -> model.BlastRadius:
    """Answer whom `target` reaches over all partitions of the window `period`; a flag needs its `evaluators`.

    `fraction` of an entry is the part of its requests that reach the target, of a service above the part of its visits
    that do, of a service below the part of the target's outermost calls (of a flag: of its traces) that reach it.
    `critical_fraction` is the time on the critical path inside the target's own spans over the time of all the entry's
    requests. `units` counts distinct randomisation units of the reached traces (the traces where `circumstances` is
    None); `requests_fraction` is the part of requests, asynchronous work counted with the request that started it.
    `kind` is async where every path has an asynchronous step. `leave_out` marks, per operation of the names, the
    entry points that do not count, `leave_out_traces` are the hashes of traces that do not. `sampling` gives traces'
    hashes, ascending, and how many requests each stands for: fractions of requests are then of those, while counts, and
    the fractions of services above and below, stay those of recorded ones. Without usable requests there are no entries
    but the warning `no_requests`.
    """
    question = _Question(target, circumstances, evaluators, Usable(leave_out, leave_out_traces), sampling)
    sums = _Sums.of(Names((), (), ()))
    for number, linked in enumerate(partitions):
        if number == 0:
            sums = _Sums.of(linked.names)
        sums.add(linked, question)
    return _document(question, period, sums)


def _document(question: _Question, period: Period, sums: _Sums) -> model.BlastRadius:
    target, names, sides = question.target, sums.names, sums.neighbours
    entries = sums.entries.rows()
    itself: set[str] = set(question.evaluators.services) if question.evaluators else {target.service or ""}
    upstream = _side(sides.above, sides.visits, names, itself)
    requests = np.full(len(names.services), sides.requests)
    downstream = _side(sides.below, requests, names, set() if question.evaluators else itself)
    services = {n.service for n in (*upstream, *downstream)} | (itself if sums.traces_reached else set())
    return model.BlastRadius(
        target=model.Target(service=target.service, operation=target.operation, flag=target.flag_text),
        window=_window(period, sums),
        reach=model.Reach(
            requests_fraction=sums.weight_reached / sums.weight if sums.weight else 0.0,
            traces=sums.traces_reached,
            units=int(np.unique(np.concatenate(sums.units)).size) if sums.units else 0,
            services=len(services & set(names.services)),
        ),
        entries=entries,
        upstream=upstream,
        downstream=downstream,
        warnings=[*_warnings(target, sums, entries), *question.usable.warnings()],
    )


def _side(side: Side, of: NDArray[np.int64], names: Names, itself: set[str]) -> list[model.Neighbour]:
    found = []
    for at in np.flatnonzero(side.depth < FAR):
        kind: Literal["sync", "async"] = "sync" if side.sync[at] else "async"
        service = names.services[at]
        if service not in itself:
            fraction = float(side.units[at] / of[at])
            found.append(model.Neighbour(service=service, depth=int(side.depth[at]), fraction=fraction, kind=kind))
    return sorted(found, key=lambda n: (n.depth, -n.fraction, n.service))


def _window(period: Period, sums: _Sums) -> model.Window:
    # As in a report: the requests that are there say where the window begins and ends, half-open.
    found = sums.earliest is not None and sums.latest is not None
    start = sums.earliest if found else period.start_ns
    end = (sums.latest or 0) + 1 if found else period.end_ns
    return model.Window(start=format_time(start), end=format_time(end), traces=sums.traces, spans=sums.spans)


def _warnings(target: "Target", sums: _Sums, entries: list[model.ReachedEntry]) -> list[model.Warning]:
    name = target.flag_text or " ".join(filter(None, (target.service, target.operation)))
    warnings = []
    if not entries:
        message = f"No usable request of the window reaches {name}; widen the window or send its traffic."
        warnings.append(model.Warning(code="no_requests", message=message))
    if sums.torn:
        message = (
            f"{sums.torn} fragments of requests reach {name}, but the spans above them are missing, so their entry"
            " points are unknown and not listed."
        )
        warnings.append(model.Warning(code="incomplete_traces", message=message))
    return warnings
