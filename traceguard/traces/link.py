"""Spans to request trees: who called whom, where requests begin, what is asynchronous, what is missing.

What always holds: every span belongs to exactly one request; a request is a tree over synchronous calls; the order in
which spans arrived changes nothing; retries that repeat a span count once. Nothing is refused: a parent that is
missing, a span that is its own ancestor, an end before a start all leave a tree, and the damage is marked.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.arrange import arranged, by_end

UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(6)


@dataclass(frozen=True, slots=True)
class Names:
    """The dictionary of one analysis: ids in all partitions index these lists."""

    services: tuple[str, ...]
    operations: tuple[tuple[int, str], ...]  # (service id, operation)
    environments: tuple[str, ...]
    hosts: tuple[tuple[int, str], ...] = ()  # (service id, instance, empty where none is stated)

    def component(self, number: int) -> tuple[str, str, Literal["self", "inbound"]]:
        """Service, operation and locus of a component number: 2 * operation for self time, one more for inbound."""
        service, operation = self.operations[number // 2]
        return self.services[service], operation, "inbound" if number % 2 else "self"


@dataclass(frozen=True, slots=True)
class Linked:
    """One partition of linked traces; whole traces only, each contiguous, duplicates removed.

    Arrays over spans have length n, arrays over requests length r, arrays over traces length t. A request is the tree
    below a root: a span without parent, a span whose parent is missing, or one that starts asynchronous work (`parent`
    is kept for those).
    """

    names: Names
    trace_ids: pl.Series  # t: the trace's hex id
    trace_hash: NDArray[np.uint64]  # t: the store's hash of it, ascending
    trace: NDArray[np.int32]  # n: trace number within the partition
    parent: NDArray[np.int32]  # n: index of the parent span, -1 where there is none or it is missing
    request: NDArray[np.int32]  # n: request number
    start: NDArray[np.int64]  # n: ns since the epoch
    end: NDArray[np.int64]  # n: ns since the epoch, never before start
    kind: NDArray[np.int8]  # n: UNSPECIFIED .. CONSUMER
    failed: NDArray[np.bool_]  # n: status is error
    operation: NDArray[np.int32]  # n: id into names.operations
    service: NDArray[np.int32]  # n: id into names.services
    evaluation: NDArray[np.bool_]  # n: only records a flag evaluation, no call
    detached: NDArray[np.bool_]  # n: has a parent, but is asynchronous to it (roots its own request)
    missing_parent: NDArray[np.bool_]  # n: names a parent that is not in the data, or is its own ancestor
    first_child: NDArray[np.int32]  # n: first synchronous child, -1 for none; children by end, latest first
    next_sibling: NDArray[np.int32]  # n: next synchronous child of the same parent, -1 for none
    root: NDArray[np.int32]  # r: span index of the request's root
    fragment: NDArray[np.bool_]  # r: torn off a request whose upper part is missing; no entry point
    environment: NDArray[np.int32]  # r: id into names.environments, that of the trace's root
    span_hash: NDArray[np.uint64]  # n: the store's hash of the span id
    host: NDArray[np.int32]  # n: whose clock it was: id into names.hosts, the service's id where no hosts are known

    @property
    def incomplete(self) -> NDArray[np.bool_]:
        """t: the trace has spans whose parent should be there and is not."""
        torn = np.zeros(len(self.trace_ids), dtype=np.bool_)
        torn[self.trace[self.root[self.fragment]]] = True
        return torn


_I8, _I32, _I64, _U64, _B = "int8[::1]", "int32[::1]", "int64[::1]", "uint64[::1]", "boolean[::1]"


@kernel(f"boolean[::1]({_I32}, {_U64}, {_I64}, {_I8}, {_I32})")
def _distinct(trace, span, start, kind, service):  # type: ignore[no-untyped-def]
    """Mark the first of each run of equal spans; the arrays are sorted so that equal spans lie together."""
    keep = np.ones(trace.size, dtype=np.bool_)
    for i in range(1, trace.size):
        same = trace[i] == trace[i - 1] and span[i] == span[i - 1] and start[i] == start[i - 1]
        if same and kind[i] == kind[i - 1] and service[i] == service[i - 1]:
            keep[i] = False
    return keep


@kernel(f"Tuple(({_I32}, {_B}))({_I32}, {_U64}, {_U64})")
def _find_parents(trace, span, parent_hash):  # type: ignore[no-untyped-def]
    """Find each span's parent through a small hash table per trace."""
    n = trace.size
    parent = np.full(n, -1, dtype=np.int32)
    missing = np.zeros(n, dtype=np.bool_)
    table = np.full(1024, -1, dtype=np.int32)
    low = 0
    while low < n:
        high = low + 1
        while high < n and trace[high] == trace[low]:
            high += 1
        size = 16
        while size < 2 * (high - low):
            size *= 2
        if size > table.size:
            table = np.full(size, -1, dtype=np.int32)
        else:
            table[:size] = -1
        mask = np.uint64(size - 1)
        for i in range(low, high):
            slot = span[i] & mask
            while table[slot] >= 0 and span[table[slot]] != span[i]:
                slot = (slot + np.uint64(1)) & mask
            if table[slot] < 0:
                table[slot] = i
        for i in range(low, high):
            if parent_hash[i] == 0:
                continue
            slot = parent_hash[i] & mask
            while table[slot] >= 0 and span[table[slot]] != parent_hash[i]:
                slot = (slot + np.uint64(1)) & mask
            if table[slot] < 0 or table[slot] == i:
                missing[i] = True
            else:
                parent[i] = table[slot]
        low = high
    return parent, missing


@kernel(f"void({_I32}, {_B})")
def _break_cycles(parent, missing):  # type: ignore[no-untyped-def]
    """Cut each cycle of parents at its earliest span, which then counts as one whose parent is missing."""
    state = np.zeros(parent.size, dtype=np.int32)  # 0 unseen, else the walk that saw it
    for i in range(parent.size):
        walk = np.int32(i + 1)
        j = i
        while j >= 0 and state[j] == 0:
            state[j] = walk
            j = parent[j]
        if j >= 0 and state[j] == walk:
            first = j
            k = parent[j]
            while k != j:
                first = min(first, k)
                k = parent[k]
            parent[first] = -1
            missing[first] = True


@kernel(f"boolean[::1]({_I32}, {_I8}, {_I32}, {_I64}, {_I64})")
def _find_detached(parent, kind, service, start, end):  # type: ignore[no-untyped-def]
    """Mark asynchronous work: messages, and work that the same service starts after its parent has ended."""
    detached = np.zeros(parent.size, dtype=np.bool_)
    for i in range(parent.size):
        p = parent[i]
        if p >= 0:
            late = service[i] == service[p] and start[i] > end[p]
            detached[i] = kind[i] == CONSUMER or (kind[p] == PRODUCER and service[i] != service[p]) or late
    return detached


@kernel(f"Tuple(({_I32}, {_I32}, {_I32}, {_I32}))({_I32}, {_B}, {_B}, {_I64})")
def _build_trees(parent, detached, evaluation, by_end):  # type: ignore[no-untyped-def]
    """Thread the synchronous children of each span, latest end first, and number the requests by their roots."""
    n = parent.size
    first_child = np.full(n, -1, dtype=np.int32)
    next_sibling = np.full(n, -1, dtype=np.int32)
    has_child = np.zeros(n, dtype=np.bool_)
    for i in range(n):
        if parent[i] >= 0:
            has_child[parent[i]] = True
    for k in range(n):
        i = by_end[k]
        p = parent[i]
        if p >= 0 and not detached[i] and (has_child[i] or not evaluation[i]):
            next_sibling[i] = first_child[p]
            first_child[p] = i
    request = np.full(n, -1, dtype=np.int32)
    roots = np.empty(n, dtype=np.int32)
    count = np.int32(0)
    for i in range(n):
        if parent[i] < 0 or detached[i]:
            request[i] = count
            roots[count] = i
            count += np.int32(1)
    for i in range(n):
        top = i
        while request[top] < 0:
            top = parent[top]
        j = i
        while request[j] < 0:
            request[j] = request[top]
            j = parent[j]
    return first_child, next_sibling, request, roots[:count].copy()


@kernel(f"boolean[::1]({_I32}, {_I32}, {_B}, {_B}, {_B}, {_I8}, int64)")
def _find_fragments(root, trace, detached, missing, evaluation, kind, traces):  # type: ignore[no-untyped-def]
    """Mark torn-off requests: the parent is missing although the trace has a root, or the top is no server's span.

    A trace whose caller is simply not instrumented begins at server spans with a remote parent: those are entry points.
    """
    rooted = np.zeros(traces, dtype=np.bool_)
    for r in range(root.size):
        i = root[r]
        if not detached[i] and not missing[i] and not evaluation[i]:
            rooted[trace[i]] = True
    fragment = np.zeros(root.size, dtype=np.bool_)
    for r in range(root.size):
        i = root[r]
        entry_kind = kind[i] == SERVER or kind[i] == CONSUMER or kind[i] == UNSPECIFIED
        fragment[r] = evaluation[i] or (missing[i] and (rooted[trace[i]] or not entry_kind))
    return fragment


def link(
    spans: dict[str, NDArray[np.generic]], names: Names, trace_ids: pl.Series, trace_hash: NDArray[np.uint64]
) -> Linked:
    """Link the spans of whole traces.

    `spans` has the columns trace (int32, a row of `trace_ids`; each has spans), span, parent (uint64 hashes, parent 0
    for none), start, dur (int64 ns), kind (int8), failed, evaluation (bool), operation, service, environment (int32 ids
    into `names`) and, where they are known, host (int32); in any order, repeats allowed.
    """
    traces = len(trace_ids)
    column: Any = arranged(spans, traces)
    keep = _distinct(column["trace"], column["span"], column["start"], column["kind"], column["service"])
    if not keep.all():
        column = {name: values[keep] for name, values in column.items()}
    start = column["start"]
    end = start + np.minimum(column["dur"], np.iinfo(np.int64).max - np.maximum(start, 0))
    kind, service, evaluation = column["kind"], column["service"], column["evaluation"]
    trace = column["trace"]
    parent, missing = _find_parents(trace, column["span"], column["parent"])
    _break_cycles(parent, missing)
    detached = _find_detached(parent, kind, service, start, end)
    first_child, next_sibling, request, root = _build_trees(parent, detached, evaluation, by_end(column, end, traces))
    environment = _trace_environment(trace, (parent < 0) & ~missing & ~evaluation, column["environment"])
    fragment = _find_fragments(root, trace, detached, missing, evaluation, kind, traces)
    return Linked(
        names=names, trace_ids=trace_ids, trace_hash=trace_hash, trace=trace, parent=parent, request=request,
        start=start, end=end, kind=kind, failed=column["failed"], operation=column["operation"], service=service,
        evaluation=evaluation, detached=detached, missing_parent=missing, first_child=first_child,
        next_sibling=next_sibling, root=root, fragment=fragment,
        environment=environment[trace[root]], span_hash=column["span"], host=column.get("host", service),
    )  # fmt: skip


def _trace_environment(
    trace: NDArray[np.int32], top: NDArray[np.bool_], environment: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The environment of each trace: its root's, where several or none its earliest span's.

    Spans come by trace and start.
    """
    _, first = np.unique(trace, return_index=True)
    rooted, first_root = np.unique(trace[top], return_index=True)
    first[rooted] = np.flatnonzero(top)[first_root]
    found: NDArray[np.int32] = environment[first]
    return found
