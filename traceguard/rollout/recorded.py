"""What the recording says of the requests that reach the target: as they were, and as they would be after the change.

A request is looked at if a call of the target lies in it or in asynchronous work that it started: these show the flag
or the version that is rolled out, and are what a report compares. The change is that of a what-if (`radius.retime`,
`radius.propagation`).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.entry_points import calls_per_request
from traceguard.radius.evaluators import Evaluators, evaluating
from traceguard.radius.propagation import Propagation, failures
from traceguard.radius.retime import retime
from traceguard.radius.trees import Trees
from traceguard.radius.usable import Usable
from traceguard.traces.critical_path import own_time
from traceguard.traces.facts import facts_of
from traceguard.traces.link import Linked, Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.radius.names import Target


_I32, _B = "int32[::1]", "boolean[::1]"


@kernel(f"Tuple(({_I32}, {_I32}))(int64[::1], {_I32}, {_B}, {_B})")
def _children_by_end(order, parent, detached, evaluation):  # type: ignore[no-untyped-def]
    """Each span's first child and next sibling, latest end first; `order` has the earliest end first."""
    first_child = np.full(parent.size, -1, dtype=np.int32)
    next_sibling = np.full(parent.size, -1, dtype=np.int32)
    has_child = np.zeros(parent.size, dtype=np.bool_)
    for i in range(parent.size):
        if parent[i] >= 0:
            has_child[parent[i]] = True
    for k in range(order.size):
        i = order[k]
        p = parent[i]
        if p >= 0 and not detached[i] and (has_child[i] or not evaluation[i]):
            next_sibling[i] = first_child[p]
            first_child[p] = i
    return first_child, next_sibling


def moved(linked: Linked, start: NDArray[np.int64], end: NDArray[np.int64]) -> Linked:
    """The same traces at other times."""
    order = np.argsort(end, kind="stable")  # whatever the trace: children are told apart by their parents
    first_child, next_sibling = _children_by_end(order, linked.parent, linked.detached, linked.evaluation)
    return replace(linked, start=start, end=end, first_child=first_child, next_sibling=next_sibling)


@dataclass(frozen=True, slots=True)
class Size:
    """The regression that must not go unnoticed: added to every call of the target. One of the two is not 0."""

    delay_ns: int = 0
    error_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of entry points, arrays of length r, about 50 bytes a request."""

    entry: NDArray[np.int64]  # environment * operations + operation of the root
    trace_hash: NDArray[np.uint64]
    start: NDArray[np.int64]  # ns since the epoch
    reached: NDArray[np.bool_]  # whether a call of the target lies in it or in what it started
    before: NDArray[np.int64]  # ns
    added: NDArray[np.int64]  # ns that the change would add
    failed: NDArray[np.bool_]
    newly: NDArray[np.float64]  # probability that the change fails the request
    spent: NDArray[np.int64]  # ns on the critical path in the operations of the target that are called
    more: NDArray[np.int64]  # ns that the change would add to these: another path may become the critical one
    blamed: NDArray[np.bool_]  # its error began there

    def select(self, keep: NDArray[np.bool_]) -> "Requests":
        """The requests that `keep` marks."""
        return Requests(*(getattr(self, f.name)[keep] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Part:
    """What one partition of linked traces contributes."""

    names: Names
    requests: Requests
    components: NDArray[np.int64]  # entry * 2 components + component, distinct: those with time in some request
    origins: NDArray[np.int64]  # the same of those where errors began
    torn: int  # fragments that reach the target
    streams: Counter[str]


@dataclass(slots=True)
class Recorded:
    """The whole window."""

    names: Names = field(default_factory=lambda: Names((), (), ()))
    requests: Requests = field(default_factory=lambda: _joined([]))
    components: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    origins: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    torn: int = 0
    streams: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, parts: Iterable[Part]) -> "Recorded":
        """Put the partitions together."""
        found, components, origins, recorded = [], [], [], cls()
        for part in parts:
            recorded.names = part.names
            found.append(part.requests)
            components.append(part.components)
            origins.append(part.origins)
            recorded.torn += part.torn
            recorded.streams += part.streams
        recorded.requests = _joined(found)
        if found:
            recorded.components = np.unique(np.concatenate(components))
            recorded.origins = np.unique(np.concatenate(origins))
        return recorded


def _joined(parts: "Sequence[Requests]") -> Requests:
    u64, i64, mark, real = np.uint64, np.int64, np.bool_, np.float64
    kinds = (i64, u64, i64, mark, i64, i64, mark, real, i64, i64, mark)
    return Requests(
        *(
            np.concatenate([np.empty(0, kind), *(getattr(part, f.name) for part in parts)])
            for f, kind in zip(fields(Requests), kinds, strict=True)
        )
    )


def follow(
    target: "Target", size: Size, *, evaluators: Evaluators | None = None, learned: Propagation | None = None,
    leave_out: NDArray[np.bool_] | None = None, leave_out_traces: NDArray[np.uint64] | None = None,
) -> Callable[[Linked], Part]:  # fmt: skip
    """What makes a partition's part; it may run in several threads at once.

    A flag needs its `evaluators` (those that will read it count as well), errors what was `learned` of how they climb.
    """

    def part(linked: Linked) -> Part:
        call, reached = _reached(linked, target, evaluators)
        usable = Usable(leave_out, leave_out_traces)
        whole = usable.of(linked)
        facts = facts_of(linked)
        keep = whole[linked.whole]
        facts = facts.select(keep)
        root = linked.root[whole]
        start, end = linked.start, linked.end
        if size.delay_ns:
            start, end = retime(linked, call * np.int64(size.delay_ns))
        newly = np.zeros(root.size)
        if size.error_rate:
            trees = Trees.of(linked, whole, call)
            share, _ = (learned or Propagation.nothing_seen()).shares(trees, linked.names)
            newly[trees.row] = failures(trees, share, size.error_rate)[trees.root]
        entry = linked.environment[whole].astype(np.int64) * len(linked.names.operations) + linked.operation[root]
        own = np.zeros(2 * len(linked.names.operations), dtype=np.bool_)
        own[2 * np.unique(linked.operation[call])] = True
        width = own.size
        rows = np.repeat(np.arange(facts.dur.size), np.diff(facts.first))
        counted = facts.time > 0
        blamed = facts.origin >= 0
        called = own[2 * linked.operation]
        spent = _spent(linked, called)[whole]
        more = _spent(moved(linked, start, end), called)[whole] - spent if size.delay_ns else np.zeros_like(spent)
        requests = Requests(
            entry=entry, trace_hash=facts.trace_hash, start=facts.start, reached=reached[whole], before=facts.dur,
            added=end[root] - linked.end[root], failed=facts.failed, newly=newly,
            spent=spent, more=more, blamed=blamed & own[np.maximum(facts.origin, 0)],
        )  # fmt: skip
        return Part(
            linked.names, requests, np.unique(entry[rows[counted]] * width + facts.component[counted]),
            np.unique(entry[blamed] * width + facts.origin[blamed]), int((linked.fragment & reached).sum()),
            usable.streams,
        )  # fmt: skip

    return part


def _reached(
    linked: Linked, target: "Target", evaluators: Evaluators | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The spans that stand for calls of the target (n), and the requests in which, or in whose work, one lies (r)."""
    visits = visits_of(linked)
    if evaluators is not None:
        member = evaluating(linked, evaluators, target.read_by)
    else:
        member = members(linked, target.service or "", target.operation)
    call, _ = calls_of(linked, visits, member)
    return call, calls_per_request(linked, visits, call) > 0


def durations(
    target: "Target", *, evaluators: Evaluators | None = None, leave_out: NDArray[np.bool_] | None = None,
    leave_out_traces: NDArray[np.uint64] | None = None,
) -> Callable[[Linked], NDArray[np.int64]]:  # fmt: skip
    """What gives a partition's durations of the requests that reach the target, ns."""

    def part(linked: Linked) -> NDArray[np.int64]:
        _, reached = _reached(linked, target, evaluators)
        root = linked.root[reached & Usable(leave_out, leave_out_traces).of(linked)]
        taken: NDArray[np.int64] = linked.end[root] - linked.start[root]
        return taken

    return part


def _spent(linked: Linked, mine: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The time on the critical path in the spans that `mine` marks, by request."""
    total = np.zeros(linked.root.size, np.int64)
    np.add.at(total, linked.request[mine], own_time(linked)[mine])
    return total
