"""The critical path: which span each instant of a request belongs to.

Last-finishing child, as in CRISP (Zhang et al., USENIX ATC 2022): walking back from a span's end, the child that
finished last held the span up; the time before that child started is explained by the child that had finished by then,
and so on. Every instant of the root belongs to exactly one span, so the parts always sum to the whole, to the
nanosecond. A child is cut to its parent's time: what outlives the parent held nobody up.

The time that a caller's client span spends outside the callee's own span is the callee's inbound edge (network,
queueing, connection set-up), a component of its own: see `components`.
"""

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import CLIENT, SERVER, UNSPECIFIED, Linked

_I8, _I32, _I64, _B = "int8[::1]", "int32[::1]", "int64[::1]", "boolean[::1]"


@kernel(f"int64[::1]({_I32}, {_I32}, {_I32}, {_I64}, {_I64})")
def _own_time(root, first_child, next_sibling, start, end):  # type: ignore[no-untyped-def]
    own = np.zeros(start.size, dtype=np.int64)
    stack = np.empty(start.size + 1, dtype=np.int32)
    opens = np.empty(start.size + 1, dtype=np.int64)
    closes = np.empty(start.size + 1, dtype=np.int64)
    for r in range(root.size):
        stack[0], opens[0], closes[0] = root[r], start[root[r]], end[root[r]]
        depth = 1
        while depth:
            depth -= 1
            span, begin, finish = stack[depth], opens[depth], closes[depth]
            now = finish
            mine = np.int64(0)
            child = first_child[span]
            while child >= 0 and now > begin:
                # A child that outlives the span's time counts up to its end, but only where nothing later was found.
                stop = min(end[child], finish)
                begun = max(start[child], begin)
                if stop <= now and begun < stop:
                    mine += now - stop
                    stack[depth], opens[depth], closes[depth] = child, begun, stop
                    depth += 1
                    now = begun
                child = next_sibling[child]
            own[span] = mine + now - begin
    return own


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


def own_time(linked: Linked) -> NDArray[np.int64]:
    """Nanoseconds on the critical path that belong to each span itself; shape n.

    Sums to the root's duration per request.
    """
    own: NDArray[np.int64] = _own_time(linked.root, linked.first_child, linked.next_sibling, linked.start, linked.end)
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
