"""Whom a service, an operation or a flag reaches: entry points, services above and below, users, and where it stops.

What always holds: fractions are shares of recorded requests, each standing for as many as its stated sampling rate
says; a request reaches the target if a call of it (see `calls`) lies in the request itself or in asynchronous work that
it started; fragments, torn off a request whose upper part is missing, belong to no entry and are counted in a warning.

A flag stands for the services that evaluated it, in the traces in which they did, and for those that will read it in
all. Bounds of fractions take requests of one unit to resemble each other (see `stats.clustered`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.radius.by_time import ByTime
from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.cohorts import Cohorts
from traceguard.radius.entry_points import EntryPoints, calls_per_request
from traceguard.radius.evaluators import Evaluators, evaluating, read_evaluators
from traceguard.radius.neighbours import Neighbours
from traceguard.radius.steps import Steps
from traceguard.radius.units import Units
from traceguard.radius.unseen import Peers, Unseen, no_peers, unseen_warnings
from traceguard.radius.usable import Usable
from traceguard.stats.clustered import Clusters
from traceguard.traces.critical_path import own_time
from traceguard.traces.factors import Attribute
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
    steps: Steps
    unseen: Unseen
    cohorts: Cohorts
    by_time: ByTime
    begun_outside: Clusters = field(default_factory=Clusters)  # requests; hit: they reach the target
    of_units: Clusters = field(default_factory=Clusters)  # traces; hit: they reach the target
    traces: int = 0
    spans: int = 0
    traces_reached: int = 0
    torn: int = 0
    earliest: int | None = None
    latest: int | None = None

    @classmethod
    def of(cls, names: Names, question: "_Question") -> "_Sums":
        known = question.circumstances
        hashes = np.empty(0, np.uint64) if known is None else known.trace_hash
        return cls(
            names, EntryPoints.of(names), Neighbours(len(names.services)), Steps(names), Unseen(question.peers, names),
            Cohorts(question.attributes, hashes), ByTime(question.time_zone),
        )  # fmt: skip

    def add(self, linked: Linked, question: "_Question") -> None:
        visits = visits_of(linked)
        target, evaluators = question.target, question.evaluators
        if evaluators is not None:
            member = evaluating(linked, evaluators, target.read_by)
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
        trace = linked.trace[linked.root]
        weight, unit = stands_for[trace], question.units.of(linked)
        self.entries.add(linked, whole, calls, spent, weight, unit[trace])
        around = self.neighbours.add(linked, visits, call, unit, whole_traces=evaluators is not None)
        self.steps.add(linked, visits, around.up, around.down, unit)
        self.unseen.add(linked, around.request, unit)
        self.traces += len(linked.trace_ids)
        self.spans += linked.start.size
        # Asynchronous work is part of the request that started it here, although it is an entry of its own.
        outside = whole & ~linked.detached[linked.root]
        trace, root = trace[outside], linked.root[outside]
        reached, weight = calls[outside] > 0, weight[outside]
        self.begun_outside.add(np.zeros(trace.size, np.int64), unit[trace], reached, weight)
        self.cohorts.add(linked, trace, unit[trace], reached, weight)
        self.by_time.add(linked.start[root], unit[trace], reached, weight)
        self.torn += int((linked.fragment & (calls > 0)).sum())
        hit = np.zeros(len(linked.trace_ids), dtype=np.bool_)
        hit[linked.trace[call]] = True
        self.traces_reached += int(hit.sum())
        self.of_units.add(np.zeros(hit.size, np.int64), unit, hit)
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
    units: Units
    attributes: Sequence[Attribute]
    peers: Peers
    time_zone: str
    traces_with_unit: int | None


def reach(
    partitions: Iterable[Linked],
    target: "Target",
    period: Period,
    circumstances: "Circumstances | None" = None,
    evaluators: Evaluators | None = None,
    leave_out: NDArray[np.bool_] | None = None,
    leave_out_traces: NDArray[np.uint64] | None = None,
    sampling: tuple[NDArray[np.uint64], NDArray[np.float64]] | None = None,
    *,
    attributes: Sequence[Attribute] = (),
    peers: Peers | None = None,
    time_zone: str = "UTC",
    traces_with_unit: int | None = None,
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

    Bounds are 95% intervals of the share that recorded requests are a sample of, those of one unit resembling each
    other. Requests are also told apart by the values of `attributes` (which need `circumstances`) and by the hour of
    the week in which they started, on the clocks of `time_zone`; `peers` are the names of what may send no spans.
    `traces_with_unit` is for how many traces the unit is known, where that was looked at.
    """
    question = _Question(
        target, circumstances, evaluators, Usable(leave_out, leave_out_traces), sampling, Units(circumstances),
        attributes, peers or no_peers(), time_zone, traces_with_unit,
    )  # fmt: skip
    sums = _Sums.of(Names((), (), ()), question)
    for number, linked in enumerate(partitions):
        if number == 0:
            sums = _Sums.of(linked.names, question)
        sums.add(linked, question)
    return _document(question, period, sums)


def _document(question: _Question, period: Period, sums: _Sums) -> model.BlastRadius:
    target, names, sides = question.target, sums.names, sums.neighbours
    entries = sums.entries.rows()
    itself: set[str] = (
        {*target.read_by, *question.evaluators.services} if question.evaluators else {target.service or ""}
    )
    size = len(names.services)
    upstream = sides.above.rows(sides.above.shares.shares(size), names, itself)
    below = sides.below.shares.shares_of(sides.requests, size)
    downstream = sides.below.rows(below, names, set() if question.evaluators else itself)
    services = {n.service for n in (*upstream, *downstream)} | (itself if sums.traces_reached else set())
    steps, unknown = sums.steps.found(), sums.unseen.rows(sides.requests)
    window = None if sums.earliest is None or sums.latest is None else (sums.earliest, sums.latest + 1)
    return model.BlastRadius(
        target=model.Target(
            service=target.service, operation=target.operation, flag=target.flag_text, read_by=list(target.read_by)
        ),
        window=_window(period, sums),
        reach=_reach(sums, len(services & set(names.services))),
        entries=entries,
        upstream=upstream,
        downstream=downstream,
        warnings=[
            *_warnings(target, sums, entries),
            *question.usable.warnings(),
            *(unseen_warnings(_name(target), unknown, downstream) if entries else []),
            *(_unit_warnings(question.traces_with_unit, sums.traces) if entries else []),
            *(sums.by_time.warnings(*window) if window and entries else []),
        ],
        cohorts=sums.cohorts.rows(),
        edges=steps.edges,
        gates=steps.gates,
        untested_edges=steps.untested,
        unknown=unknown,
        time_zone=question.time_zone,
        by_time=sums.by_time.rows(*window) if window else [],
    )


def _reach(sums: _Sums, services: int) -> model.Reach:
    requests, traces = sums.begun_outside.shares(1), sums.of_units.shares(1)
    low, high = requests.interval()
    units = int(traces.clusters_hit[0])
    return model.Reach(
        requests_fraction=float(requests.fraction[0]),
        traces=sums.traces_reached,
        units=units,
        services=services,
        low=float(low[0]),
        high=float(high[0]),
        units_fraction=units / max(int(traces.clusters[0]), 1),
    )


def _window(period: Period, sums: _Sums) -> model.Window:
    # As in a report: the requests that are there say where the window begins and ends, half-open.
    found = sums.earliest is not None and sums.latest is not None
    start = sums.earliest if found else period.start_ns
    end = (sums.latest or 0) + 1 if found else period.end_ns
    return model.Window(start=format_time(start), end=format_time(end), traces=sums.traces, spans=sums.spans)


def _unit_warnings(known: int | None, traces: int) -> list[model.Warning]:
    if known is None or known >= traces / 2:
        return []
    message = (
        f"Only {known:,} of {traces:,} traces say whose request they are: the others count as a user each, so that"
        " users are overstated, and intervals are too narrow where one user sends many."
    )
    return [model.Warning(code="no_units", message=message)]


def _name(target: "Target") -> str:
    return target.flag_text or " ".join(filter(None, (target.service, target.operation)))


def _warnings(target: "Target", sums: _Sums, entries: list[model.ReachedEntry]) -> list[model.Warning]:
    name, warnings = _name(target), []
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
