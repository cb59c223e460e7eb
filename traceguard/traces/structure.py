"""Structure: which call follows which below one caller, and after which the caller stops. Counts that merge by SUM.

Code that returns early, fails, or takes another branch need not get slower: calls vanish or appear. Read as a sequence,
a request says where: a caller that used to go on after a call, and now stops, changed at that place. So each span that
calls is a walk from start over its children, the first to be called first, to its stop, and each step of it is counted.
(In what order calls are made is the caller's code; in what order parallel ones finish says which of them got slower.)

Steps are only compared within a stratum, of which the caller's own behaviour is no part: the way that led to the caller
(operations from the root down, each with the call that was made before it), and the shape of the call just
made (its operation and the shapes of what it called, each once, in no order). So a change is counted once, where it
began: callers of what changed see another shape, and what it no longer reaches is on another way. What a request is
about (its entry point's mix) shows as the way, as far as the entry point's first calls tell.

A client's span and the server's are one call, named by the server's operation; that a client got no server's span is a
step of its own (client's operation, start to stop).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.kernels import kernel, leaf
from traceguard.traces.link import Linked
from traceguard.units import Period

BLOCKS = 16  # blocks of time, equally long, in each of both periods
START, STOP = -1, -1  # before the first call, and after the last

_Schema = dict[str, type[pl.DataType]]
_STEP: _Schema = {
    "entry": pl.Int32, "environment": pl.Int32, "parent": pl.Int32, "after": pl.Int32, "next": pl.Int32,
    "stratum": pl.UInt64, "block": pl.Int32,
}  # fmt: skip
_REQUEST: _Schema = {"entry": pl.Int32, "environment": pl.Int32, "block": pl.Int32}
_COUNT: _Schema = {"count": pl.Int64}

_I32, _I64, _U64, _B = "int32[::1]", "int64[::1]", "uint64[::1]", "boolean[::1]"


@dataclass(frozen=True, slots=True)
class Structure:
    """Steps and requests of two periods; merges by `+`.

    Block `b` is one of the baseline below `BLOCKS`, of the candidate from there on. `steps`: entry, environment, parent
    (operation), after (operation called before, START), next (operation called next, STOP), stratum, block, count.
    `requests`: entry, environment, block, count.
    """

    steps: pl.DataFrame
    requests: pl.DataFrame

    def __add__(self, other: "Structure") -> "Structure":
        """The sums of both."""
        return Structure(
            _summed(pl.concat((self.steps, other.steps)), _STEP),
            _summed(pl.concat((self.requests, other.requests)), _REQUEST),
        )


def no_structure() -> Structure:
    """The structure of nothing."""
    return Structure(pl.DataFrame(schema=_STEP | _COUNT), pl.DataFrame(schema=_REQUEST | _COUNT))


@leaf
def _mixed(seed, value):  # type: ignore[no-untyped-def]
    """A 64-bit hash of a hash and one more value (the finaliser of splitmix64, Steele et al. 2014)."""
    h = (np.uint64(seed) ^ np.uint64(value)) + np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class Shaped:
    """Shape and way of each span (n), and the spans in trees of whole requests, parents before children.

    `latest` is each span's child that was called last, `before` the sibling called before a child, -1 for none.
    """

    shape: NDArray[np.uint64]
    way: NDArray[np.uint64]
    order: NDArray[np.int32]
    latest: NDArray[np.int32]
    before: NDArray[np.int32]


@kernel(f"Tuple(({_I32}, {_I32}))({_I32}, {_I32}, {_I64}, {_I32})")
def _by_start(first_child, next_sibling, start, operation):  # type: ignore[no-untyped-def]
    """The children of each span, which come by end, by start, the latest first; those of one start by operation."""
    latest, before = first_child.copy(), next_sibling.copy()
    held = np.empty(16, dtype=np.int32)
    for i in range(first_child.size):
        count, sorted_ = 0, True
        child = first_child[i]
        while child >= 0:
            if count == held.size:
                more = np.empty(2 * count, dtype=np.int32)
                more[:count] = held
                held = more
            if count > 0:
                last = held[count - 1]
                sorted_ &= start[child] < start[last] or (
                    start[child] == start[last] and operation[child] <= operation[last]
                )
            held[count] = child
            count += 1
            child = next_sibling[child]
        if sorted_:
            continue
        mine = held[:count][::-1].copy()
        mine = mine[np.argsort(operation[mine], kind="mergesort")]
        mine = mine[np.argsort(start[mine], kind="mergesort")]
        latest[i] = mine[count - 1]
        before[mine[0]] = -1
        for k in range(1, count):
            before[mine[k]] = mine[k - 1]
    return latest, before


@kernel(f"Tuple(({_U64}, {_U64}, {_I32}))({_I32}, {_I32}, {_I32}, {_I32}, {_I32})")
def _shapes_and_ways(root, first_child, next_sibling, callee, operation):  # type: ignore[no-untyped-def]
    """Shape and way of each span, 0 for those in no tree, and all spans in trees, parents before children.

    A client's span has the shape of the server's that it waits for, and is no step of the way to it.
    """
    n = operation.size
    shape = np.zeros(n, dtype=np.uint64)
    way = np.zeros(n, dtype=np.uint64)
    order = np.empty(n, dtype=np.int32)
    reached = 0
    for r in range(root.size):
        order[reached] = root[r]
        at = reached
        reached += 1
        while at < reached:
            i = order[at]
            at += 1
            mine = _mixed(way[i], operation[i])
            child = first_child[i]
            while child >= 0:
                before = next_sibling[child]
                if callee[i] >= 0:
                    way[child] = way[i]
                else:
                    label = np.int64(-1)
                    if before >= 0:
                        label = np.int64(operation[callee[before] if callee[before] >= 0 else before])
                    way[child] = _mixed(mine, label)
                order[reached] = child
                reached += 1
                child = before
    below = np.empty(n, dtype=np.uint64)
    for k in range(reached - 1, -1, -1):
        i = order[k]
        if callee[i] >= 0:
            shape[i] = shape[callee[i]]
            continue
        count = 0
        child = first_child[i]
        while child >= 0:
            below[count] = shape[child]
            count += 1
            child = next_sibling[child]
        seen = np.sort(below[:count])
        h = _mixed(np.uint64(1), operation[i])
        for c in range(count):
            if c == 0 or seen[c] != seen[c - 1]:
                h = _mixed(h, seen[c])
        shape[i] = h
    return shape, way, order[:reached].copy()


@kernel(f"Tuple(({_I32}, {_I32}, {_I32}, {_U64}))({_I32}, {_I32}, {_I32}, {_I32}, {_I32}, {_U64}, {_U64})")
def _walk(order, first_child, next_sibling, callee, operation, shape, way):  # type: ignore[no-untyped-def]
    """Caller's span, operations after and next, and stratum of each step."""
    size = 2 * order.size
    caller = np.empty(size, dtype=np.int32)
    after = np.empty(size, dtype=np.int32)
    then = np.empty(size, dtype=np.int32)
    stratum = np.empty(size, dtype=np.uint64)
    m = 0
    for k in range(order.size):
        i = order[k]
        following = np.int32(-1)
        child = callee[i] if callee[i] >= 0 else first_child[i]
        if callee[i] >= 0:
            following = operation[child]
            child = np.int32(-1)
        while child >= 0:
            label = operation[callee[child] if callee[child] >= 0 else child]
            caller[m], after[m], then[m] = i, label, following
            stratum[m] = _mixed(way[i], shape[child])
            m += 1
            following = label
            child = next_sibling[child]
        caller[m], after[m], then[m], stratum[m] = i, np.int32(-1), following, way[i]
        m += 1
    return caller[:m].copy(), after[:m].copy(), then[:m].copy(), stratum[:m].copy()


def shapes_and_ways(linked: Linked, callee: NDArray[np.int32]) -> Shaped:
    """What the steps and times of one partition are told apart by; `callee` are its `callees`."""
    latest, before = _by_start(linked.first_child, linked.next_sibling, linked.start, linked.operation)
    shape, way, order = _shapes_and_ways(linked.root[linked.whole], latest, before, callee, linked.operation)
    return Shaped(shape, way, order, latest, before)


def blocks_of(start: NDArray[np.int64], baseline: Period, candidate: Period) -> NDArray[np.int32]:
    """The block of each time in nanoseconds, -1 outside of both periods; these must have bounds."""
    blocks = np.full(start.size, -1, dtype=np.int32)
    for side, period in enumerate((baseline, candidate)):
        assert period.start_ns is not None and period.end_ns is not None  # noqa: S101, PT018  (narrows the types)
        inside = (start >= period.start_ns) & (start < period.end_ns)
        part = (start[inside] - period.start_ns) / max(period.end_ns - period.start_ns, 1)
        blocks[inside] = side * BLOCKS + np.minimum((part * BLOCKS).astype(np.int32), BLOCKS - 1)
    return blocks


def structure_of(
    linked: Linked, callee: NDArray[np.int32], block: NDArray[np.int32], shaped: Shaped | None = None
) -> Structure:
    """The steps of one partition; fragments, streams and what lies in neither period are left out.

    `callee` are its `callees`; `block` (r) says in which block each request counts (see `blocks_of`), -1 for none;
    `shaped` are its `shapes_and_ways`, where they are known already.
    """
    shaped = shaped or shapes_and_ways(linked, callee)
    order = shaped.order[block[linked.request[shaped.order]] >= 0]
    caller, after, then, stratum = _walk(
        order, shaped.latest, shaped.before, callee, linked.operation, shaped.shape, shaped.way
    )
    request = linked.request[caller]
    steps = pl.DataFrame(
        {
            "entry": linked.operation[linked.root[request]], "environment": linked.environment[request],
            "parent": linked.operation[caller], "after": after, "next": then, "stratum": stratum,
            "block": block[request], "count": np.ones(caller.size, dtype=np.int64),
        },
        schema=_STEP | _COUNT,
    )  # fmt: skip
    counted = linked.whole & (block >= 0)
    requests = pl.DataFrame(
        {
            "entry": linked.operation[linked.root[counted]], "environment": linked.environment[counted],
            "block": block[counted], "count": np.ones(int(counted.sum()), dtype=np.int64),
        },
        schema=_REQUEST | _COUNT,
    )  # fmt: skip
    return Structure(_summed(steps, _STEP), _summed(requests, _REQUEST))


def _summed(rows: pl.DataFrame, key: Iterable[str]) -> pl.DataFrame:
    """Rows of the same key as one, ascending, so that equal input gives an equal table."""
    names = list(key)
    return rows.group_by(names).agg(pl.col("count").sum()).sort(names)
