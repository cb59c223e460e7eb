"""Facts: what each request spent where. One row per (request, component), one row per request.

The critical-path time of a request's facts sums exactly to its root's duration. Requests that begin nowhere (fragments)
and long-lived streams have no facts; they are counted.
"""

from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.critical_path import callees, components, critical_path
from traceguard.traces.error_origin import Path, error_origins, error_paths, handled_failures
from traceguard.traces.link import Linked
from traceguard.traces.retries import retries
from traceguard.traces.timeouts import NOTHING_STATED, Stated, timed_out

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Requests:
    """What is known of each of r requests as a whole."""

    trace_hash: NDArray[np.uint64]  # r
    entry: NDArray[np.int32]  # r: operation id of the root
    environment: NDArray[np.int32]  # r
    start: NDArray[np.int64]  # r: ns since the epoch
    dur: NDArray[np.int64]  # r: ns
    failed: NDArray[np.bool_]  # r
    origin: NDArray[np.int32]  # r: component where the error began, -1 for none
    detached: NDArray[np.bool_]  # r: asynchronous work of another request
    timed_out: NDArray[np.bool_]  # r: the error that began at `origin` is a timeout
    path: NDArray[np.uint64]  # r: number of the error's way to the root (see `error_paths`), 0 for none
    incomplete: NDArray[np.bool_]  # r: the trace misses spans, perhaps some of this request
    ambiguous: NDArray[np.int64]  # r: ns of the critical path that another child could claim as well
    overlapped: NDArray[np.int64]  # r: ns during which other work ran beside the critical path
    handled: NDArray[np.int32]  # r: failures that began in the request and did not fail it

    def select(self, keep: NDArray[np.bool_]) -> Self:
        """The requests that `keep` marks."""
        return type(self)(*(getattr(self, f.name)[keep] for f in fields(self)))

    @classmethod
    def none(cls) -> "Requests":
        """No requests."""

        def empty(kind: type[Kind]) -> NDArray[Kind]:
            return np.empty(0, dtype=kind)

        u64, i64, i32, mark = empty(np.uint64), empty(np.int64), empty(np.int32), empty(np.bool_)
        return Requests(
            trace_hash=u64, entry=i32, environment=i32, start=i64, dur=i64, failed=mark, origin=i32, detached=mark,
            timed_out=mark, path=u64, incomplete=mark, ambiguous=i64, overlapped=i64,
            handled=i32,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts(Requests):
    """Requests with their m rows in all, one a component; request i's rows are `first[i]:first[i + 1]`."""

    first: NDArray[np.int64]  # r + 1
    component: NDArray[np.int32]  # m: 2 * operation + (0 self, 1 inbound)
    time: NDArray[np.int64]  # m: ns on the critical path
    calls: NDArray[np.int32]  # m: spans of the operation but clients that waited for a server (0 on inbound rows)
    retries: NDArray[np.int32]  # m: calls of the operation that repeat a failed attempt (0 on inbound rows)
    attempts: NDArray[np.int64]  # m: ns of `time` spent waiting for failed attempts that were repeated

    def select(self, keep: NDArray[np.bool_]) -> "Facts":
        """The facts of the requests that `keep` marks."""
        return self if keep.all() else self.take(np.flatnonzero(keep))

    def take(self, at: NDArray[np.int64]) -> "Facts":
        """The facts of the requests with these numbers, in their order."""
        first, rows = rows_of(self.first, at)
        return Facts(
            first=first,
            **{name: getattr(self, name)[at] for name in REQUEST_COLUMNS},
            **{name: getattr(self, name)[rows] for name in ROW_COLUMNS},
        )

    def by_entry(self) -> "Facts":
        """The same with the requests of one entry point beside each other."""
        order = np.argsort(self.entry, kind="stable")
        return self.take(order) if (np.diff(order) != 1).any() else self

    @property
    def requests(self) -> Requests:
        """The same without their rows."""
        return Requests(*(getattr(self, name) for name in REQUEST_COLUMNS))


REQUEST_COLUMNS = tuple(f.name for f in fields(Requests))
ROW_COLUMNS = ("component", "time", "calls", "retries", "attempts")


@kernel("Tuple((int64[::1], int64[::1]))(int64[::1], int64[::1])")
def rows_of(first, at):  # type: ignore[no-untyped-def]  # noqa: ANN201  (see the signature)
    """Where the rows of each of the requests numbered `at` begin, one request after the other, and their numbers."""
    begin = np.zeros(at.size + 1, dtype=np.int64)
    for i in range(at.size):
        begin[i + 1] = begin[i] + first[at[i] + 1] - first[at[i]]
    rows = np.empty(begin[at.size], dtype=np.int64)
    for i in range(at.size):
        shift = first[at[i]] - begin[i]
        for m in range(begin[i], begin[i + 1]):
            rows[m] = m + shift
    return begin, rows


_I8, _I32, _I64, _B = "int8[::1]", "int32[::1]", "int64[::1]", "boolean[::1]"


@kernel(
    f"Tuple(({_I64}, {_I32}, {_I64}, {_I32}, {_I32}, {_I64}))"
    f"({_I32}, int64, {_I32}, {_I32}, {_I64}, {_B}, {_B}, {_I32}, int64)"
)
def _sum_up(  # type: ignore[no-untyped-def]
    request, requests, component, operation, own, uncounted, again, charged, width
):
    """Sum own time and calls by (request, component), in the order of first appearance."""
    n = request.size
    first_span = np.zeros(requests + 1, dtype=np.int64)
    for i in range(n):
        first_span[request[i] + 1] += 1
    for r in range(requests):
        first_span[r + 1] += first_span[r]
    ordered = np.empty(n, dtype=np.int32)
    fill = first_span[:-1].copy()
    for i in range(n):
        ordered[fill[request[i]]] = i
        fill[request[i]] += 1
    place = np.full(width, -1, dtype=np.int64)
    first = np.zeros(requests + 1, dtype=np.int64)
    out_component = np.empty(2 * n, dtype=np.int32)
    out_time = np.zeros(2 * n, dtype=np.int64)
    out_calls = np.zeros(2 * n, dtype=np.int32)
    out_retries = np.zeros(2 * n, dtype=np.int32)
    out_attempts = np.zeros(2 * n, dtype=np.int64)
    m = np.int64(0)
    for r in range(requests):
        begin = m
        for k in range(first_span[r], first_span[r + 1]):
            i = ordered[k]
            c = component[i]
            if place[c] < begin:
                place[c] = m
                out_component[m] = c
                m += 1
            out_time[place[c]] += own[i]
            if charged[i] >= 0:
                out_attempts[place[c]] += own[i]
            if uncounted[i]:
                continue
            c = 2 * operation[i]
            if place[c] < begin:
                place[c] = m
                out_component[m] = c
                m += 1
            out_calls[place[c]] += np.int32(1)
            if again[i]:
                out_retries[place[c]] += np.int32(1)
        first[r + 1] = m
    return (
        first, out_component[:m].copy(), out_time[:m].copy(), out_calls[:m].copy(), out_retries[:m].copy(),
        out_attempts[:m].copy(),
    )  # fmt: skip


def facts_of(linked: Linked, callee: NDArray[np.int32] | None = None, stated: Stated | None = None) -> Facts:
    """The facts of one partition; fragments and streams are left out.

    `callee` are its `callees`, where they are known already; `stated` is what spans say of their failures themselves.
    """
    return facts_and_paths(linked, callee, stated)[0]


def facts_and_paths(
    linked: Linked, callee: NDArray[np.int32] | None = None, stated: Stated | None = None
) -> tuple[Facts, dict[int, Path]]:
    """The facts of one partition, and what their `path` numbers stand for."""
    callee = callees(linked) if callee is None else callee
    stated = NOTHING_STATED if stated is None else stated
    repeats = retries(linked, callee, stated.resent(linked))
    component = components(linked, callee)
    charged = repeats.charged >= 0
    if charged.any():
        component[charged] = repeats.charged[charged]
    critical = critical_path(linked)
    width = 2 * len(linked.names.operations)
    first, row_component, row_time, row_calls, row_retries, row_attempts = _sum_up(
        linked.request, linked.root.size, component, linked.operation, critical.own, linked.evaluation | (callee >= 0),
        _served(repeats.again, callee), repeats.charged, width,
    )  # fmt: skip
    # A failed client span that waited for a healthy server span blames the inbound edge, where its own time went too.
    origin = error_origins(linked, repeats.repeated)
    blamed = np.where(origin >= 0, component[np.maximum(origin, 0)], -1).astype(np.int32)
    path, paths = error_paths(linked, origin, callee)
    root = linked.root
    everything = Facts(
        trace_hash=linked.trace_hash[linked.trace[root]],
        entry=linked.operation[root],
        environment=linked.environment,
        start=linked.start[root],
        dur=linked.end[root] - linked.start[root],
        failed=linked.failed[root],
        origin=blamed,
        detached=linked.detached[root],
        first=first, component=row_component, time=row_time, calls=row_calls,
        retries=row_retries, attempts=row_attempts,
        timed_out=timed_out(linked, callee, origin, stated),
        path=path, incomplete=linked.incomplete[linked.trace[root]], ambiguous=critical.ambiguous,
        overlapped=critical.overlapped, handled=handled_failures(linked, origin),
    )  # fmt: skip
    return everything.select(linked.whole), paths


def _served(again: NDArray[np.bool_], callee: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The calls that `again` marks, each at its server span where there is one."""
    at = np.flatnonzero(again)
    served = np.zeros(again.size, dtype=np.bool_)
    served[np.where(callee[at] >= 0, callee[at], at)] = True
    return served
