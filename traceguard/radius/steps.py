"""The steps between services around a target, and the gates among them: where damage would stop on its way up.

A step goes from a caller's visit to a visit of the callee. Upward lie the steps into visits with a call of the target
at or below them. What happened after failures is told by pairs of operations that the caller and the callee were
entered at, so that a service that shrugs off one failure is not said to shrug off another: only pairs on the way up
count.

- async: nobody waits for the answer, so a failure stops there by construction; how often one was seen is counted.
- retry: of the calls with a failed attempt, those where a later attempt went well (see `traces.retries`).
- fallback: of the calls that no attempt made good, those whose caller did not fail.

A synchronous step that no failure came to is untested. Attempts of one call count as one failure.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.kernels import kernel
from traceguard.radius.calls import Visits
from traceguard.stats.clustered import Clusters, Shares
from traceguard.traces.critical_path import callees
from traceguard.traces.link import Linked, Names
from traceguard.traces.retries import retries

_I8, _I32, _B = "int8[::1]", "int32[::1]", "boolean[::1]"
FINE, RETRIED, HANDLED, PASSED, SUPERSEDED = range(5)


@kernel(f"{_I8}({_I32}, {_I32}, {_I32}, {_I32}, {_I32}, {_B}, {_B})")
def _outcomes(inner, parent, head, callee, repeats, failed, detached):  # type: ignore[no-untyped-def]
    """What became of each step into a visit (its head in `inner`), as one of the constants above."""
    again = np.full(parent.size, -1, dtype=np.int32)  # the attempt that repeats this one
    for i in range(parent.size):
        if repeats[i] >= 0:
            again[repeats[i]] = i
    found = np.zeros(inner.size, dtype=np.int8)
    for k in range(inner.size):
        h = inner[k]
        p = parent[h]
        fails = failed[head[p]]
        if detached[h]:
            if failed[h]:
                found[k] = PASSED if fails else HANDLED
            continue
        call = p if callee[p] == h else h
        last = call
        later = again[call]
        arrived = False
        while later >= 0:
            # The last attempt that got to the callee speaks for all; after it only those that never did.
            arrived = callee[later] >= 0 or head[later] == later
            if arrived:
                break
            last = later
            later = again[later]
        if arrived:
            found[k] = SUPERSEDED
            continue
        bad = failed[last] or (last == call and failed[h])
        if bad:
            found[k] = PASSED if fails else HANDLED
        elif repeats[call] >= 0 or last != call:
            found[k] = RETRIED
    return found


@dataclass(slots=True)
class Steps:
    """What partitions add up to; made anew for each question."""

    names: Names
    _pairs: dict[int, int] = field(default_factory=dict)  # (caller's operation, callee's operation, async) by number
    _calls: NDArray[np.int64] = field(init=False)  # pairs x (all, upward, downward)
    _failing: Clusters = field(default_factory=Clusters)  # hit: a retry went well
    _failed: Clusters = field(default_factory=Clusters)  # hit: the caller did not fail
    _requests: dict[int, int] = field(default_factory=dict)  # traces by services and kind

    def __post_init__(self) -> None:
        self._calls = np.zeros((0, 3), np.int64)

    def add(
        self, linked: Linked, visits: Visits, up: NDArray[np.bool_], down: NDArray[np.bool_], unit: NDArray[np.int64]
    ) -> None:
        """Add one partition: `up` and `down` (n) mark heads of visits that are stepped into on either side.

        `unit` (t) is whose trace it is.
        """
        inner = np.flatnonzero(
            (visits.head == np.arange(visits.head.size)) & (linked.parent >= 0) & ~linked.evaluation
        ).astype(np.int32)
        caller = visits.head[linked.parent[inner]]
        width = len(self.names.operations)
        pair = (linked.operation[caller].astype(np.int64) * width + linked.operation[inner]) * 2
        number = self._number(pair + linked.detached[inner])
        callee = callees(linked)
        outcome = _outcomes(
            inner, linked.parent, visits.head, callee, retries(linked, callee).of, linked.failed, linked.detached
        )
        counts = outcome != SUPERSEDED
        for column, chosen in enumerate((counts, counts & up[inner], counts & down[inner] & ~up[inner])):
            self._calls[:, column] += np.bincount(number[chosen], minlength=len(self._pairs))
        failing = np.isin(outcome, (RETRIED, HANDLED, PASSED))
        who = unit[linked.trace[inner]]
        self._failing.add(number[failing], who[failing], outcome[failing] == RETRIED)
        failed = failing & (outcome != RETRIED)
        self._failed.add(number[failed], who[failed], outcome[failed] == HANDLED)
        self._count_requests(linked, inner[counts & up[inner]], caller[counts & up[inner]])

    def _number(self, pair: NDArray[np.int64]) -> NDArray[np.int64]:
        known, at = np.unique(pair, return_inverse=True)
        numbers = np.array([self._pairs.setdefault(int(p), len(self._pairs)) for p in known], dtype=np.int64)
        more = len(self._pairs) - len(self._calls)
        self._calls = np.concatenate((self._calls, np.zeros((more, 3), np.int64)))
        found: NDArray[np.int64] = numbers[at]
        return found

    def _count_requests(self, linked: Linked, inner: NDArray[np.int32], caller: NDArray[np.int32]) -> None:
        width = len(self.names.services)
        step = (linked.service[caller].astype(np.int64) * width + linked.service[inner]) * 2 + linked.detached[inner]
        traces = len(linked.trace_ids)
        steps, counts = np.unique(np.unique(step * traces + linked.trace[inner]) // max(traces, 1), return_counts=True)
        for one, count in zip(steps.tolist(), counts.tolist(), strict=True):
            self._requests[one] = self._requests.get(one, 0) + count

    def found(self) -> "Found":
        """The steps between services, the gates and the untested among them."""
        up, down = self._of_services(1), self._of_services(2)
        return Found([*self._edges(*up, "up"), *self._edges(*down, "down")], *self._gates(*up))

    def _of_services(self, column: int) -> tuple[list[int], NDArray[np.int64]]:
        """The steps between services on a side, and which of them each pair of operations belongs to, -1 for none."""
        operations, width = self.names.operations, len(self.names.services)
        at = np.full(len(self._pairs), -1, np.int64)
        steps: dict[int, int] = {}
        for pair, number in self._pairs.items():
            if self._calls[number, column]:
                caller, callee = divmod(pair // 2, len(operations))
                step = (operations[caller][0] * width + operations[callee][0]) * 2 + pair % 2
                at[number] = steps.setdefault(step, len(steps))
        return list(steps), at

    def _named(self, step: int) -> tuple[str, str, Literal["sync", "async"]]:
        source, target = divmod(step // 2, len(self.names.services))
        return self.names.services[source], self.names.services[target], "async" if step % 2 else "sync"

    def _edges(self, steps: list[int], at: NDArray[np.int64], side: Literal["up", "down"]) -> list[model.ReachEdge]:
        size = len(steps)
        calls = np.bincount(at[at >= 0], self._calls[at >= 0, 1 if side == "up" else 2], size).astype(int).tolist()
        failing, failed = self._failing.shares(size, at), self._failed.shares(size, at)
        found = []
        for number, step in enumerate(steps):
            source, target, kind = self._named(step)
            stopped = int(failing.members_hit[number] + failed.members_hit[number])
            seen = int(failing.members[number])
            found.append(
                model.ReachEdge(
                    source=source, target=target, kind=kind, side=side, calls=calls[number], errors_seen=seen,
                    stopped=stopped,
                )
            )  # fmt: skip
        return sorted(found, key=lambda e: (e.source, e.target, e.kind))

    def _gates(self, steps: list[int], at: NDArray[np.int64]) -> tuple[list[model.Gate], list[model.UntestedEdge]]:
        size = len(steps)
        failing, failed = self._failing.shares(size, at), self._failed.shares(size, at)
        kinds: tuple[tuple[Literal["retry", "fallback"], Shares], ...]
        kinds = (("retry", failing), ("fallback", failed))
        gates, untested = [], []
        for number, step in enumerate(steps):
            source, target, kind = self._named(step)
            requests = self._requests.get(step, 0)
            if kind == "async":
                gates.append(_gate(source, target, "async", failed, number, requests))
                continue
            if not failing.members[number]:
                untested.append(model.UntestedEdge(source=source, target=target, requests=requests))
            gates += [
                _gate(source, target, name, shares, number, requests)
                for name, shares in kinds
                if shares.members_hit[number]
            ]
        return sorted(gates, key=_most_requests), sorted(untested, key=_most_requests)


@dataclass(frozen=True, slots=True)
class Found:
    """Steps between services, the gates among those on the way up, and those on the way up never seen failing."""

    edges: list[model.ReachEdge]
    gates: list[model.Gate]
    untested: list[model.UntestedEdge]


def _gate(
    source: str, target: str, kind: Literal["async", "retry", "fallback"], shares: Shares, at: int, requests: int
) -> model.Gate:
    seen = int(shares.members[at])
    low, high = shares.interval()
    return model.Gate(
        source=source, target=target, kind=kind, errors_seen=seen, stopped=int(shares.members_hit[at]),
        fraction=float(shares.fraction[at]) if seen else None, low=float(low[at]), high=float(high[at]),
        requests=requests,
    )  # fmt: skip


def _most_requests(step: "model.Gate | model.UntestedEdge") -> tuple[int, str, str]:
    return -step.requests, step.source, step.target
