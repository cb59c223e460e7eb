"""Fan-out: how often an operation makes the same call one after another, and where that looks like an N+1 pattern.

An N+1 pattern asks for a list and then once more for each of its elements: many calls of one operation below one
parent, none starting before the last has ended, their number growing with the data. Counted per pair (parent's
operation, callee's operation) over the parents' spans; a chain is found walking back from the call that finished last.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import Linked

MANY = 10  # calls one after another that make a parent conspicuous
LEAST_PARENTS = 5  # conspicuous parents that make a pair suspicious
VARIES = 1.5  # the longest chain against the mean one, below which the number of calls is fixed by the code

_I32, _I64, _B = "int32[::1]", "int64[::1]", "boolean[::1]"


@dataclass(frozen=True, slots=True)
class FanOut:
    """Sums per pair, which is parent operation * operations + callee operation; pairs ascend, arrays of that length.

    Merges by `+`. Early and late are the halves of the window in which the parent's request began: (2, pairs).
    """

    pair: NDArray[np.int64]
    parents: NDArray[np.int64]  # 2: parents with a chain of at least two calls
    calls: NDArray[np.int64]  # 2: calls in these chains
    many: NDArray[np.int64]  # parents with at least `MANY`
    most: NDArray[np.int64]  # the longest chain
    time: NDArray[np.int64]  # ns that the calls of the chains took
    trace: NDArray[np.uint64]  # hash of the trace with the longest chain, the smallest hash where several have it

    def __add__(self, other: "FanOut") -> "FanOut":
        """The sums of both."""
        return _merge(
            np.concatenate((self.pair, other.pair)), np.hstack((self.parents, other.parents)),
            np.hstack((self.calls, other.calls)), np.concatenate((self.many, other.many)),
            np.concatenate((self.most, other.most)), np.concatenate((self.time, other.time)),
            np.concatenate((self.trace, other.trace)),
        )  # fmt: skip

    @property
    def suspects(self) -> NDArray[np.intp]:
        """The pairs that look like N+1 patterns, those that took the most time first.

        Several parents with many calls, and a number that varies: a loop of fixed length is no N+1 pattern.
        """
        mean = self.calls.sum(0) / np.maximum(self.parents.sum(0), 1)
        found = np.flatnonzero((self.many >= LEAST_PARENTS) & (self.most >= VARIES * mean))
        return found[np.lexsort((self.pair[found], -self.time[found]))]


@kernel(f"Tuple(({_I32}, {_I32}, {_I32}, {_I64}))({_I32}, {_I32}, {_I32}, {_I64}, {_I64}, {_I32}, {_B}, int64)")
def _chains(first_child, next_sibling, callee, start, end, operation, call, width):  # type: ignore[no-untyped-def]
    """Parent, callee operation, number and time of each chain of at least two calls."""
    n = start.size
    last_parent = np.full(width, -1, dtype=np.int32)
    number = np.zeros(width, dtype=np.int32)
    begun = np.zeros(width, dtype=np.int64)
    time = np.zeros(width, dtype=np.int64)
    touched = np.empty(width, dtype=np.int32)
    out_parent = np.empty(n // 2 + 1, dtype=np.int32)
    out_operation = np.empty(n // 2 + 1, dtype=np.int32)
    out_number = np.empty(n // 2 + 1, dtype=np.int32)
    out_time = np.empty(n // 2 + 1, dtype=np.int64)
    m = 0
    for p in range(n):
        child = first_child[p]
        if child < 0 or next_sibling[child] < 0:
            continue
        used = 0
        while child >= 0:
            if call[child]:
                o = operation[callee[child]] if callee[child] >= 0 else operation[child]
                if last_parent[o] != p:
                    last_parent[o] = p
                    number[o], begun[o], time[o] = 1, start[child], end[child] - start[child]
                    touched[used] = o
                    used += 1
                elif end[child] <= begun[o]:
                    number[o] += np.int32(1)
                    begun[o] = start[child]
                    time[o] += end[child] - start[child]
            child = next_sibling[child]
        for k in range(used):
            o = touched[k]
            if number[o] > 1:
                out_parent[m], out_operation[m], out_number[m], out_time[m] = p, o, number[o], time[o]
                m += 1
    return out_parent[:m].copy(), out_operation[:m].copy(), out_number[:m].copy(), out_time[:m].copy()


def no_fan_out() -> FanOut:
    """The fan-out of nothing."""
    none, halves = np.empty(0, dtype=np.int64), np.empty((2, 0), dtype=np.int64)
    return FanOut(none, halves, halves, none, none, none, np.empty(0, dtype=np.uint64))


def fan_out(
    linked: Linked, callee: NDArray[np.int32], call: NDArray[np.bool_], middle: int,
    wanted: NDArray[np.bool_] | None = None,
) -> FanOut:  # fmt: skip
    """The chains of one partition; fragments and requests that are not `wanted` (r) are left out.

    `callee` and `call` (n) are its `callees` and `calls`, `middle` the time in ns that halves the window. Repeats of
    failed attempts count as calls.
    """
    width = len(linked.names.operations)
    parent, operation, number, time = _chains(
        linked.first_child, linked.next_sibling, callee, linked.start, linked.end, linked.operation, call, width
    )
    request = linked.request[parent]
    whole = ~linked.fragment[request] if wanted is None else (wanted & ~linked.fragment)[request]
    parent, operation, number, time, request = (a[whole] for a in (parent, operation, number, time, request))
    pair = linked.operation[parent].astype(np.int64) * width + operation
    late = linked.start[linked.root[request]] >= middle
    parents = np.vstack((~late, late)).astype(np.int64)
    calls = number.astype(np.int64)
    return _merge(
        pair, parents, parents * calls, (calls >= MANY).astype(np.int64), calls, time,
        linked.trace_hash[linked.trace[parent]],
    )  # fmt: skip


def _merge(
    pair: NDArray[np.int64], parents: NDArray[np.int64], calls: NDArray[np.int64], many: NDArray[np.int64],
    most: NDArray[np.int64], time: NDArray[np.int64], trace: NDArray[np.uint64],
) -> FanOut:  # fmt: skip
    """Gather rows of the same pair."""
    if pair.size == 0:
        return no_fan_out()
    order = np.lexsort((trace, -most, pair))
    pair, many, most, time = (a[order] for a in (pair, many, most, time))
    trace = trace[order]
    first = np.flatnonzero(np.concatenate(([True], pair[1:] != pair[:-1])))
    return FanOut(
        pair[first], np.add.reduceat(parents[:, order], first, axis=1), np.add.reduceat(calls[:, order], first, axis=1),
        np.add.reduceat(many, first), most[first], np.add.reduceat(time, first), trace[first],
    )  # fmt: skip
