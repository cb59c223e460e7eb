"""Timeouts told from other errors, where the data shows it.

A failed span is a timeout if it says so (status message, exception, `error.type`, gRPC or HTTP status), or if it is a
call that ended at its caller's limit: its duration is that of most of the operation's long failed calls, hardly any
successful call takes longer, and the server span went on beyond it, did not fail, or never arrived. Where the
operation's calls show no limit, a failed call is an error.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traceguard.traces.link import CLIENT, Linked

_MIX = np.uint64(0x9E3779B97F4A7C15)


def _nothing() -> NDArray[np.uint64]:
    return np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Marks:
    """Some spans of the window, by the hashes of trace and span; rare, or not worth a column."""

    keys: NDArray[np.uint64] = field(default_factory=_nothing)  # ascending

    @classmethod
    def of(cls, trace: NDArray[np.uint64], span: NDArray[np.uint64]) -> "Marks":
        """Marks of spans that the store names; repeats allowed."""
        return cls(np.unique(trace * _MIX + span))

    def on(self, linked: Linked, at: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of the spans `at` of a partition are marked."""
        if self.keys.size == 0 or at.size == 0:
            return np.zeros(at.size, dtype=np.bool_)
        wanted = linked.trace_hash[linked.trace[at]] * _MIX + linked.span_hash[at]
        place = np.minimum(np.searchsorted(self.keys, wanted), self.keys.size - 1)
        marked: NDArray[np.bool_] = self.keys[place] == wanted
        return marked


@dataclass(frozen=True, slots=True)
class Stated:
    """What the window's spans say of their failures themselves, and the limits at which calls are seen to end.

    `shortest` and `longest` are the bounds in ns of a call that ended at its limit, by operation id of the caller's
    span; no duration lies between those of an operation without a limit. Empty where nothing is known.
    """

    resends: Marks = field(default_factory=Marks)
    timeouts: Marks = field(default_factory=Marks)
    shortest: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    longest: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def resent(self, linked: Linked) -> NDArray[np.bool_]:
        """The spans that say they were sent again; shape n."""
        marked = np.zeros(linked.parent.size, dtype=np.bool_)
        if self.resends.keys.size:
            at = np.flatnonzero(linked.kind == CLIENT)
            marked[at] = self.resends.on(linked, at)
        return marked

    def at_limit(self, linked: Linked, callee: NDArray[np.int32], at: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of the failed spans `at` ended at a limit that cut their call off."""
        if self.longest.size == 0 or at.size == 0:
            return np.zeros(at.size, dtype=np.bool_)
        server = callee[at]
        answered = (server >= 0) & linked.failed[server] & (linked.end[server] <= linked.end[at])
        duration = linked.end[at] - linked.start[at]
        operation = linked.operation[at]
        within = (duration >= self.shortest[operation]) & (duration <= self.longest[operation])
        cut_off: NDArray[np.bool_] = within & ~answered & ((linked.kind[at] == CLIENT) | (server >= 0))
        return cut_off


NOTHING_STATED = Stated()


def timed_out(
    linked: Linked, callee: NDArray[np.int32], origin: NDArray[np.int32], stated: Stated
) -> NDArray[np.bool_]:
    """Which requests' errors are timeouts; shape r.

    The span where the error began is asked, and where it is a server span, the client span that waited for it: a
    caller that gave up may leave its callee no more than a cancellation to report.
    """
    timeout = np.zeros(origin.size, dtype=np.bool_)
    requests = np.flatnonzero(origin >= 0)
    if requests.size == 0:
        return timeout
    at = origin[requests].astype(np.intp)
    above = np.maximum(linked.parent[at], 0).astype(np.intp)
    waited = (linked.parent[at] >= 0) & ~linked.detached[at] & (callee[above] == at) & linked.failed[above]
    for asked, holds in ((at, np.ones(at.size, dtype=np.bool_)), (above, waited)):
        timeout[requests] |= holds & (stated.timeouts.on(linked, asked) | stated.at_limit(linked, callee, asked))
    return timeout
