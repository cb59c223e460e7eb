"""The requests that a scenario hits, without all others: small enough to be kept, so that more can be asked of them.

Spans are renumbered so that each stands after its parent. What no request waits for (recorded evaluations) is left out,
and so is asynchronous work: it is a request of its own.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.radius.retime import parents_first
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
        order = parents_first(roots, linked.first_child, linked.next_sibling)
        place, parent, first_child, next_sibling = _renumbered(
            order, linked.parent, linked.first_child, linked.next_sibling
        )
        root = place[roots]
        parent[root] = -1
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

    @property
    def order(self) -> NDArray[np.int32]:
        """The spans, each after its parent."""
        return np.arange(self.parent.size, dtype=np.int32)


@kernel(f"Tuple(({_I32}, {_I32}, {_I32}, {_I32}))({_I32}, {_I32}, {_I32}, {_I32})")
def _renumbered(order, parent, first_child, next_sibling):  # type: ignore[no-untyped-def]
    """Where each old span went, and the links of the new ones."""
    place = np.full(parent.size, -1, dtype=np.int32)
    for k in range(order.size):
        place[order[k]] = k
    up = np.empty(order.size, dtype=np.int32)
    down = np.empty(order.size, dtype=np.int32)
    beside = np.empty(order.size, dtype=np.int32)
    for k in range(order.size):
        i = order[k]
        up[k] = place[parent[i]] if parent[i] >= 0 else -1
        down[k] = place[first_child[i]] if first_child[i] >= 0 else -1
        beside[k] = place[next_sibling[i]] if next_sibling[i] >= 0 else -1
    return place, up, down, beside
