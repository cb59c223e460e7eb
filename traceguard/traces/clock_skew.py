"""Clock skew: by how much the clocks of two hosts differ, estimated from the calls between them.

A host is an instance of a service. A call's server span lies inside its client span, so each call bounds the callee's
clock minus the caller's: at least server end - client end, at most server start - client start (the bounds from which
NTP takes the middle, RFC 5905). The offset of a pair is the interval that agrees with the most calls (Marzullo 1984),
so that a few calls that break the rule say nothing. An offset is taken as constant; where a clock drifted, it is the
one that held longest.

What always holds: where every server span lies inside its client span, no pair is skewed. Nothing is corrected here
unless it is asked for: `corrected` gives a second set of times to hold results against.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import Linked, Names

VISIBLY_OUTSIDE = 0.05  # part of the caller's span by which a call must stick out of it
CALLS_PER_PAIR = 4096  # whose bounds are kept; the first by the hash of their trace, which is a fair choice

_I32, _I64 = "int32[::1]", "int64[::1]"


@dataclass(frozen=True, slots=True)
class Offset:
    """What the calls from one host to another say: the callee's clock minus the caller's lies in `low`..`high`, ns.

    `calls` can be judged (no longer than their callers' spans), `outside` of them visibly stick out, and `agree` is the
    part of those looked at whose bounds the interval keeps.
    """

    caller: int  # ids into Names.hosts (services where no hosts are known)
    callee: int
    low: int
    high: int
    calls: int
    outside: int
    agree: float

    @property
    def estimate(self) -> int:
        """The middle, ns: right where the way there takes as long as the way back."""
        return self.low + (self.high - self.low) // 2

    @property
    def skewed(self) -> bool:
        """Whether the clocks differ: most calls say so, and no difference at all is not feasible."""
        return 2 * self.outside > self.calls and not self.low <= 0 <= self.high


@kernel(f"Tuple(({_I32}, {_I64}))({_I64})")
def _numbered(pair):
    """Number the distinct values in the order of first appearance; returns each one's number, and the values."""
    size = 16
    while size < 2 * pair.size:
        size *= 2
    mask = np.uint64(size - 1)
    table = np.full(size, -1, dtype=np.int32)
    number = np.empty(pair.size, dtype=np.int32)
    values = np.empty(pair.size, dtype=np.int64)
    count = np.int32(0)
    for i in range(pair.size):
        slot = ((np.uint64(pair[i]) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
        while table[slot] >= 0 and values[table[slot]] != pair[i]:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] < 0:
            table[slot] = count
            values[count] = pair[i]
            count += np.int32(1)
        number[i] = table[slot]
    return number, values[:count].copy()


@kernel(f"{_I64}({_I32}, int64)")
def _ranks(number, count):
    """How many earlier elements have the same number; numbers are below `count`."""
    so_far = np.zeros(count, dtype=np.int64)
    rank = np.empty(number.size, dtype=np.int64)
    for i in range(number.size):
        rank[i] = so_far[number[i]]
        so_far[number[i]] += 1
    return rank


class Calls:
    """The calls between hosts, gathered over partitions in ascending order of their traces' hashes.

    Memory goes by pairs of hosts and not by calls; how the traces are split into partitions changes nothing.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, int]] = {}  # by pair: calls, outside
        self._kept: list[NDArray[np.int64]] = []  # (3, k): pair, low, high

    def add(self, linked: Linked, callee: NDArray[np.int32]) -> None:
        """Take the calls of one partition; `callee` are its `callees`."""
        client = np.flatnonzero(callee >= 0)
        server = callee[client]
        low = linked.end[server] - linked.end[client]
        high = linked.start[server] - linked.start[client]
        fits = (low <= high) & (linked.host[client] != linked.host[server])
        client, server, low, high = client[fits], server[fits], low[fits], high[fits]
        outside = np.maximum(low, -high) > VISIBLY_OUTSIDE * (linked.end[client] - linked.start[client])
        number, pairs = _numbered((linked.host[client].astype(np.int64) << 32) | linked.host[server])
        calls = np.bincount(number, minlength=pairs.size)
        sticking = np.bincount(number[outside], minlength=pairs.size)
        before = [self._seen.get(pair, (0, 0)) for pair in pairs.tolist()]
        room = CALLS_PER_PAIR - np.array([seen for seen, _ in before], dtype=np.int64)
        for pair, (seen, stuck), more, also in zip(pairs.tolist(), before, calls, sticking, strict=True):
            self._seen[pair] = (seen + int(more), stuck + int(also))
        keep = _ranks(number, pairs.size) < room[number]
        self._kept.append(np.stack((pairs[number[keep]], low[keep], high[keep])))

    def offsets(self) -> tuple[Offset, ...]:
        """What the calls say of each pair of hosts, by caller and callee."""
        if not self._seen:
            return ()
        pair, low, high = np.concatenate(self._kept, axis=1)
        pairs, best_low, best_high, agree = feasible(pair, low, high)
        return tuple(
            Offset(p >> 32, p & 0xFFFFFFFF, int(lo), int(hi), *self._seen[p], agree=float(part))
            for p, lo, hi, part in zip(pairs.tolist(), best_low, best_high, agree, strict=True)
        )


def feasible(
    pair: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """For each pair the interval that lies in the most of its closed intervals `low`..`high`, the lowest where several.

    Returns the distinct pairs ascending, the bounds, and the part of the intervals that hold it (Marzullo's algorithm).
    """
    opens = np.repeat(np.array([1, -1], dtype=np.int64), pair.size)
    at, which = np.concatenate((low, high)), np.concatenate((pair, pair))
    order = np.lexsort((-opens, at, which))
    at, which, depth = at[order], which[order], np.cumsum(opens[order])
    pairs, first, events = np.unique(which, return_index=True, return_counts=True)
    most = np.maximum.reduceat(depth, first)
    deepest = np.flatnonzero(depth == np.repeat(most, events))
    place = deepest[np.searchsorted(deepest, first)]
    return pairs, at[place], at[place + 1], most / (events / 2)


def outside_by_service(offsets: tuple[Offset, ...], names: Names) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many calls of each service visibly lie outside their callers' spans, of how many. Shape: services."""
    outside, calls = np.zeros((2, len(names.services)), dtype=np.int64)
    for offset in offsets:
        service = names.hosts[offset.callee][0] if names.hosts else offset.callee
        outside[service] += offset.outside
        calls[service] += offset.calls
    return outside, calls


@kernel(f"Tuple(({_I32}, {_I64}))({_I32}, {_I32}, {_I32}, {_I64})")
def _shifts(root, first_child, next_sibling, ahead):
    """How far each span's clock is ahead of its root's; also each synchronous child with its parent."""
    shift = np.zeros(ahead.size, dtype=np.int64)
    child_of = np.full(ahead.size, -1, dtype=np.int32)
    stack = np.empty(ahead.size + 1, dtype=np.int32)
    for r in range(root.size):
        stack[0] = root[r]
        depth = 1
        while depth:
            depth -= 1
            span = stack[depth]
            child = first_child[span]
            while child >= 0:
                child_of[child] = span
                shift[child] = shift[span] + ahead[child]
                stack[depth] = child
                depth += 1
                child = next_sibling[child]
    return child_of, shift


@kernel(f"Tuple(({_I32}, {_I32}))({_I64}, {_I32})")
def _threaded(by_end, child_of):
    """The children of each span, latest end first."""
    first_child = np.full(child_of.size, -1, dtype=np.int32)
    next_sibling = np.full(child_of.size, -1, dtype=np.int32)
    for k in range(by_end.size):
        i = by_end[k]
        if child_of[i] >= 0:
            next_sibling[i] = first_child[child_of[i]]
            first_child[child_of[i]] = i
    return first_child, next_sibling


def corrected(linked: Linked, offsets: tuple[Offset, ...]) -> Linked:
    """The same requests with all times by the clock of their root's host, as the skewed pairs among `offsets` have it.

    A span of another host than its parent's takes that pair's estimate; a pair without one counts as in step.
    """
    skewed = sorted((o.caller << 32 | o.callee, o.estimate) for o in offsets if o.skewed)
    codes, estimates = (np.array(column, dtype=np.int64) for column in zip(*skewed, strict=True))
    above = linked.host[np.maximum(linked.parent, 0)].astype(np.int64)
    pair = above << 32 | linked.host
    at = np.minimum(np.searchsorted(codes, pair), codes.size - 1)
    ahead = np.where((linked.parent >= 0) & (codes[at] == pair), estimates[at], 0)
    child_of, shift = _shifts(linked.root, linked.first_child, linked.next_sibling, ahead)
    start, end = linked.start - shift, linked.end - shift
    first_child, next_sibling = _threaded(np.argsort(end, kind="stable"), child_of)
    return replace(linked, start=start, end=end, first_child=first_child, next_sibling=next_sibling)
