"""The requests that a scenario hits, without all others: small enough to be kept, so that more can be asked of them.

Spans are renumbered so that each stands after its parent. Only calls of the target, the spans above them and the
children of all these are there: what lies elsewhere below a request takes as long as it took. What no request waits for
(recorded evaluations) is left out, and so is asynchronous work: it is a request of its own.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import Linked

_I32 = "int32[::1]"


@dataclass(frozen=True, slots=True)
class Trees:
    """Requests as trees of the spans that they wait for; arrays over spans have length m, over requests h."""

    parent: NDArray[np.int32]  # m: index of the parent, below the span's own; -1 for roots
    first_child: NDArray[np.int32]  # m: -1 for none; children by end, latest first
    next_sibling: NDArray[np.int32]  # m
    service: NDArray[np.int32]  # m
    operation: NDArray[np.int32]  # m
    kind: NDArray[np.int8]  # m
    failed: NDArray[np.bool_]  # m
    start: NDArray[np.int64]  # m: ns
    end: NDArray[np.int64]  # m: ns
    call: NDArray[np.int32]  # c: the spans that stand for calls of the target
    key: NDArray[np.uint64]  # c: what a call is known by, whatever the partition
    root: NDArray[np.int32]  # h
    row: NDArray[np.int64]  # h: the request's place among the partition's requests that count

    @classmethod
    def of(cls, linked: Linked, whole: NDArray[np.bool_], call: NDArray[np.bool_]) -> "Trees":
        """The requests that count (`whole`, r) and hold calls of the target, which `call` (n) marks."""
        called = np.zeros(linked.root.size, dtype=np.bool_)
        called[linked.request[call]] = True
        row = np.flatnonzero(called[whole])
        roots = linked.root[whole][row]
        order, root, parent, first_child, next_sibling = _around(
            roots, np.flatnonzero(call & whole[linked.request]).astype(np.int32), linked.parent, linked.first_child,
            linked.next_sibling,
        )  # fmt: skip
        at = np.flatnonzero(call[order]).astype(np.int32)
        calls = order[at]
        return cls(
            parent=parent, first_child=first_child, next_sibling=next_sibling, service=linked.service[order],
            operation=linked.operation[order], kind=linked.kind[order], failed=linked.failed[order],
            start=linked.start[order], end=linked.end[order], call=at,
            key=linked.span_hash[calls] ^ (linked.trace_hash[linked.trace[calls]] << np.uint64(1)),
            root=root, row=row,
        )  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: list[NDArray[Any]]) -> "Trees":
        """The inverse of `arrays`."""
        return cls(*arrays)

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """All columns in their order."""
        return [getattr(self, each.name) for each in fields(self)]


@kernel(f"Tuple(({_I32}, {_I32}, {_I32}, {_I32}, {_I32}))({_I32}, {_I32}, {_I32}, {_I32}, {_I32})")
def _around(roots, calls, parent, first_child, next_sibling):  # type: ignore[no-untyped-def]
    """The spans that are kept, each after its parent; where roots stand among them, and their links to each other."""
    n = parent.size
    above = np.zeros(n, dtype=np.bool_)  # a call, or above one
    order = np.empty(n, dtype=np.int32)
    up = np.empty(n, dtype=np.int32)
    down = np.empty(n, dtype=np.int32)
    beside = np.empty(n, dtype=np.int32)
    root = np.empty(roots.size, dtype=np.int32)
    top = np.zeros(n, dtype=np.bool_)
    for r in roots:
        top[r] = True
    for c in calls:
        i = c
        while not above[i]:
            above[i] = True
            if not top[i]:
                i = parent[i]
    count = 0
    for r in range(roots.size):
        done = count
        root[r] = count
        order[count] = roots[r]
        up[count] = -1
        beside[count] = -1
        count += 1
        while done < count:
            down[done] = -1
            if above[order[done]]:
                child = first_child[order[done]]
                if child >= 0:
                    down[done] = count
                while child >= 0:
                    order[count] = child
                    up[count] = done
                    child = next_sibling[child]
                    beside[count] = count + 1 if child >= 0 else -1
                    count += 1
            done += 1
    return order[:count].copy(), root, up[:count].copy(), down[:count].copy(), beside[:count].copy()
