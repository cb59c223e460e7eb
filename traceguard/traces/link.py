"""Spans to request trees: who called whom, where requests begin, what is asynchronous, what is missing.

What always holds: every span belongs to exactly one request; a request is a tree over synchronous calls; the order in
which spans arrived changes nothing; retries that repeat a span count once. Nothing is refused: a parent that is
missing, a span that is its own ancestor, an end before a start all leave a tree, and the damage is marked.

Asynchronous work is a request of its own, joined to the span that caused it: what a message starts, what states by a
span link that it only follows from its parent, what the same service starts after its parent has ended, and streams
that live on long after their caller (see `streams`). A call whose two sides share one span id, as in Zipkin's model, is
taken apart again: the server's span below the client's.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.kernels import kernel, leaf
from traceguard.traces.arrange import arranged, by_end

UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(6)
OUTLIVES = 10  # a stream that lasts so many times as long as its caller, and on after it, held nobody up


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
    incomplete: NDArray[np.bool_]  # t: the trace has spans whose parent should be there and is not
    stream: NDArray[np.bool_]  # r: a long-lived stream, whose length says nothing about latency

    @property
    def whole(self) -> NDArray[np.bool_]:
        """r: the requests that count, which are neither fragments nor streams."""
        return ~(self.fragment | self.stream)


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


@leaf
def _answers(one, other, kind):  # type: ignore[no-untyped-def]
    """Whether span `one` answers `other`: a server its client, a consumer its producer."""
    return (kind[one] == SERVER and kind[other] == CLIENT) or (kind[one] == CONSUMER and kind[other] == PRODUCER)


@kernel(f"Tuple(({_I32}, {_B}))({_I32}, {_U64}, {_U64}, {_I8}, {_I32})")
def _find_parents(trace, span, parent_hash, kind, service):  # type: ignore[no-untyped-def]
    """Find each span's parent through a small hash table per trace."""
    n = trace.size
    parent = np.full(n, -1, dtype=np.int32)
    missing = np.zeros(n, dtype=np.bool_)
    twin = np.full(n, -1, dtype=np.int32)  # the second span with the id of the first
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
            first = table[slot]
            if first < 0:
                table[slot] = i
            elif twin[first] < 0:
                twin[first] = i
        for i in range(low, high):
            if parent_hash[i] == 0:
                continue
            slot = parent_hash[i] & mask
            while table[slot] >= 0 and span[table[slot]] != parent_hash[i]:
                slot = (slot + np.uint64(1)) & mask
            found = table[slot]
            if found >= 0 and twin[found] >= 0:
                client, server = found, twin[found]
                if _answers(client, server, kind):
                    client, server = server, client
                # Of a call whose two sides share an id the server has the children, but for the client's own.
                if _answers(server, client, kind):
                    found = client if service[i] == service[client] and service[i] != service[server] else server
            if found < 0 or found == i:
                missing[i] = True
            else:
                parent[i] = found
        for i in range(low, high):
            if twin[i] >= 0:
                client, server = np.int32(i), twin[i]
                if _answers(client, server, kind):
                    client, server = server, client
                above = parent_hash[server]
                shared = above == parent_hash[client] or above == 0 or above == span[server]
                if shared and _answers(server, client, kind):
                    parent[server] = client
                    missing[server] = False
        low = high
    return parent, missing


@kernel(f"{_B}({_I32}, {_B})")
def _break_cycles(parent, missing):  # type: ignore[no-untyped-def]
    """Cut each cycle of parents at its earliest span, which then counts as one whose parent is missing; mark these."""
    state = np.zeros(parent.size, dtype=np.int32)  # 0 unseen, else the walk that saw it
    cut = np.zeros(parent.size, dtype=np.bool_)
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
            cut[first] = True
    return cut


@kernel(f"boolean[::1]({_I32}, {_I8}, {_I32}, {_I64}, {_I64}, {_B}, {_B})")
def _find_detached(parent, kind, service, start, end, follows, stream):  # type: ignore[no-untyped-def]
    """Mark asynchronous work; see the module."""
    detached = np.zeros(parent.size, dtype=np.bool_)
    for i in range(parent.size):
        p = parent[i]
        if p >= 0:
            message = kind[i] == CONSUMER or (kind[p] == PRODUCER and service[i] != service[p])
            late = service[i] == service[p] and start[i] > end[p]
            lives_on = stream[i] and end[i] > end[p] and (end[i] - start[i]) // OUTLIVES > end[p] - start[p]
            detached[i] = message or late or follows[i] or lives_on
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


@kernel(f"Tuple(({_B}, {_B}))({_I32}, {_I32}, {_B}, {_B}, {_B}, {_B}, {_I8}, {_U64}, int64)")
def _find_fragments(root, trace, detached, missing, cut, evaluation, kind, parent_hash, traces):  # type: ignore[no-untyped-def]
    """Mark torn-off requests and torn traces.

    Torn off is what lacks its parent although the trace has a root, begins at no server's span, or was its own
    ancestor. A trace whose caller is simply not instrumented begins at server spans with a remote parent: those are
    entry points. Where they name several parents, though, whatever joined them is missing.
    """
    rooted = np.zeros(traces, dtype=np.bool_)
    for r in range(root.size):
        i = root[r]
        if not detached[i] and not missing[i] and not evaluation[i]:
            rooted[trace[i]] = True
    fragment = np.zeros(root.size, dtype=np.bool_)
    torn = np.zeros(traces, dtype=np.bool_)
    remote = np.zeros(traces, dtype=np.uint64)  # the first missing parent of a trace
    for r in range(root.size):
        i = root[r]
        t = trace[i]
        entry_kind = kind[i] == SERVER or kind[i] == CONSUMER or kind[i] == UNSPECIFIED
        lost = missing[i] and (rooted[t] or cut[i] or not entry_kind)
        fragment[r] = lost or evaluation[i]
        if missing[i]:
            if lost or (remote[t] != 0 and remote[t] != parent_hash[i]):
                torn[t] = True
            remote[t] = parent_hash[i]
    return fragment, torn


def link(
    spans: dict[str, NDArray[np.generic]], names: Names, trace_ids: pl.Series, trace_hash: NDArray[np.uint64],
    streams: NDArray[np.bool_] | None = None,
) -> Linked:  # fmt: skip
    """Link the spans of whole traces.

    `spans` has the columns trace (int32, a row of `trace_ids`; each has spans), span, parent (uint64 hashes, parent 0
    for none), start, dur (int64 ns), kind (int8), failed, evaluation, follows (bool; a span link names the parent),
    operation, service, environment (int32 ids into `names`) and, where they are known, host (int32); in any order,
    repeats allowed. `streams` marks the operations whose calls are long-lived streams.
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
    parent, missing = _find_parents(trace, column["span"], column["parent"], kind, service)
    cut = _break_cycles(parent, missing)
    stream = np.zeros(kind.size, dtype=np.bool_)
    if streams is not None and streams.any():
        stream = streams[column["operation"]] & ((kind == SERVER) | (kind == CLIENT))
    detached = _find_detached(parent, kind, service, start, end, column["follows"], stream)
    first_child, next_sibling, request, root = _build_trees(parent, detached, evaluation, by_end(column, end, traces))
    environment = _trace_environment(trace, (parent < 0) & ~missing & ~evaluation, column["environment"])
    fragment, torn = _find_fragments(root, trace, detached, missing, cut, evaluation, kind, column["parent"], traces)
    return Linked(
        names=names, trace_ids=trace_ids, trace_hash=trace_hash, trace=trace, parent=parent, request=request,
        start=start, end=end, kind=kind, failed=column["failed"], operation=column["operation"], service=service,
        evaluation=evaluation, detached=detached, missing_parent=missing, first_child=first_child,
        next_sibling=next_sibling, root=root, fragment=fragment,
        environment=environment[trace[root]], span_hash=column["span"], host=column.get("host", service),
        incomplete=torn, stream=stream[root],
    )  # fmt: skip


def _trace_environment(
    trace: NDArray[np.int32], top: NDArray[np.bool_], environment: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The environment of each trace: its root's, where several or none its earliest span's.

    Spans come by trace and start.
    """
    first = np.flatnonzero(np.diff(trace, prepend=-1))
    roots = np.flatnonzero(top)
    earliest = roots[np.diff(trace[roots], prepend=-1) != 0]
    first[trace[earliest]] = earliest
    found: NDArray[np.int32] = environment[first]
    return found
