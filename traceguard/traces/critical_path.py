"""The critical path: which span each instant of a request belongs to.

Last-finishing child, as in CRISP (Zhang et al., USENIX ATC 2022): walking back from a span's end, the child that
finished last held the span up; the time before that child started is explained by the child that had finished by then,
and so on. Every instant of the root belongs to exactly one span, so the parts always sum to the whole, to the
nanosecond. A child is cut to its parent's time: what outlives the parent held nobody up.

Where several children could be the one that finished last, and where work ran beside the path, the path is only one
reading of the trace: how much of it is measured in `CriticalPath`.

The time that a caller's client span spends outside the callee's own span is the callee's inbound edge (network,
queueing, connection set-up), a component of its own: see `components`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import CLIENT, SERVER, UNSPECIFIED, Linked

TIE_NS = 1_000  # children whose ends lie no further apart than this,
TIE_PART = 100  # nor than this part of their parent's duration, cannot be told apart as the last

_I8, _I32, _I64, _B = "int8[::1]", "int32[::1]", "int64[::1]", "boolean[::1]"


@kernel(f"Tuple(({_I64}, {_I64}, {_I32}, {_I64}, {_I64}))({_I32}, {_I32}, {_I32}, {_I64}, {_I64})")
def _walk(root, first_child, next_sibling, start, end):  # type: ignore[no-untyped-def]
    """Own time by span, ambiguous time by request, and what ran beside the path: request, begin and end of each."""
    n = start.size
    own = np.zeros(n, dtype=np.int64)
    ambiguous = np.zeros(root.size, dtype=np.int64)
    beside = np.empty(n, dtype=np.int32)
    beside_opens = np.empty(n, dtype=np.int64)
    beside_closes = np.empty(n, dtype=np.int64)
    hidden = 0
    stack = np.empty(n + 1, dtype=np.int32)
    opens = np.empty(n + 1, dtype=np.int64)
    closes = np.empty(n + 1, dtype=np.int64)
    doubtful = np.zeros(n + 1, dtype=np.bool_)  # the span lies within time that is counted as ambiguous already
    for r in range(root.size):
        stack[0], opens[0], closes[0], doubtful[0] = root[r], start[root[r]], end[root[r]], False
        depth = 1
        while depth:
            depth -= 1
            span, begin, finish, doubt = stack[depth], opens[depth], closes[depth], doubtful[depth]
            now = finish
            mine = np.int64(0)
            child = first_child[span]
            while child >= 0 and end[child] > begin:
                # A child that outlives the span's time counts up to its end, but only where nothing later was found.
                stop = min(end[child], finish)
                begun = max(start[child], begin)
                if begun < stop:
                    if stop <= now:
                        tied = doubt
                        other = next_sibling[child]
                        if not doubt and other >= 0:
                            close = stop - min(TIE_NS, (end[span] - start[span]) // TIE_PART)
                            while other >= 0 and end[other] >= close:
                                if max(start[other], begin) < min(end[other], finish):
                                    tied = True
                                    ambiguous[r] += stop - begun
                                    break
                                other = next_sibling[other]
                        mine += now - stop
                        stack[depth], opens[depth], closes[depth], doubtful[depth] = child, begun, stop, tied
                        depth += 1
                        now = begun
                    else:
                        beside[hidden], beside_opens[hidden], beside_closes[hidden] = r, begun, stop
                        hidden += 1
                child = next_sibling[child]
            own[span] = mine + now - begin
    return own, ambiguous, beside[:hidden].copy(), beside_opens[:hidden].copy(), beside_closes[:hidden].copy()


@kernel(f"{_I64}({_I32}, {_I64}, {_I64}, int64)")
def _union(request, opens, closes, requests):  # type: ignore[no-untyped-def]
    """The length of the union of each request's intervals, which come by request and begin."""
    length = np.zeros(requests, dtype=np.int64)
    reached = np.int64(0)
    for k in range(request.size):
        if k == 0 or request[k] != request[k - 1]:
            reached = opens[k]
        length[request[k]] += max(closes[k] - max(opens[k], reached), 0)
        reached = max(reached, closes[k])
    return length


@kernel(f"int32[::1]({_I32}, {_I32}, {_I8}, {_I32})")
def _callees(first_child, next_sibling, kind, service):  # type: ignore[no-untyped-def]
    """The server span a client span waits for, -1 for none.

    Where kinds are not recorded, a span whose only child runs in another service is taken for a client span.
    """
    callee = np.full(kind.size, -1, dtype=np.int32)
    for i in range(kind.size):
        child = first_child[i]
        if child < 0:
            continue
        if kind[i] == CLIENT:
            while child >= 0:
                if kind[child] == SERVER or service[child] != service[i]:
                    callee[i] = child
                    break
                child = next_sibling[child]
        elif kind[i] == UNSPECIFIED and next_sibling[child] < 0 and service[child] != service[i]:
            callee[i] = child
    return callee


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The critical paths of one partition's requests, and how sure they are; times in nanoseconds.

    `ambiguous` is the time given to a child where a sibling ended so shortly before it that either could be the one
    that the span waited for. `overlapped` is the time during which some child that is not on the path ran beside it:
    work that the path does not show, and that making the path faster would bring to light.
    """

    own: NDArray[np.int64]  # n: time that belongs to the span itself
    ambiguous: NDArray[np.int64]  # r: at most the request's duration
    overlapped: NDArray[np.int64]  # r: at most the request's duration


def critical_path(linked: Linked) -> CriticalPath:
    """The critical path of every request; own times sum to the root's duration per request."""
    own, ambiguous, request, opens, closes = _walk(
        linked.root, linked.first_child, linked.next_sibling, linked.start, linked.end
    )
    order = np.lexsort((opens, request))
    overlapped = _union(request[order], opens[order], closes[order], linked.root.size)
    return CriticalPath(own, ambiguous, overlapped)


def own_time(linked: Linked) -> NDArray[np.int64]:
    """Nanoseconds on the critical path that belong to each span itself; shape n.

    Sums to the root's duration per request.
    """
    own: NDArray[np.int64] = _walk(
        linked.root, linked.first_child, linked.next_sibling, linked.start, linked.end
    )[0]  # fmt: skip
    return own


def callees(linked: Linked) -> NDArray[np.int32]:
    """For each client span the index of the server span it waits for, else -1; shape n."""
    found: NDArray[np.int32] = _callees(linked.first_child, linked.next_sibling, linked.kind, linked.service)
    return found


def components(linked: Linked, callee: NDArray[np.int32]) -> NDArray[np.int32]:
    """The component that a span's own time belongs to; shape n.

    Component 2*o is operation o's self time, 2*o+1 its inbound edge, o being an index into `names.operations`. A span
    that only records a flag evaluation spends its caller's time.
    """
    waited = callee >= 0
    component = 2 * linked.operation
    component[waited] = 2 * linked.operation[callee[waited]] + 1
    recording = linked.evaluation & (linked.parent >= 0) & ~linked.detached
    component[recording] = 2 * linked.operation[linked.parent[recording]]
    return component.astype(np.int32, copy=False)
