"""What must hold of call paths and of the times on the critical path, whatever the trace looks like."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
from builders.requests import Span, linked_of
from hypothesis import given
from hypothesis import strategies as st

from traceguard.traces.call_paths import NOWHERE, call_paths
from traceguard.traces.critical_path import callees, own_time
from traceguard.traces.path_segments import path_segments

KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Up to two traces of up to ten spans, with missing parents, cycles, overlaps and clock skew."""
    spans = []
    for trace in range(1, draw(st.integers(1, 2)) + 1):
        for number in range(1, draw(st.integers(1, 10)) + 1):
            start = draw(st.integers(0, 60))
            spans.append(
                Span(
                    number, draw(st.one_of(st.none(), st.integers(1, 12))), draw(st.sampled_from("abc")), start,
                    start + draw(st.integers(0, 40)), draw(st.sampled_from("xy")), draw(st.sampled_from(KINDS)),
                    trace=trace, evaluation=draw(st.integers(0, 9)) == 0,
                )
            )  # fmt: skip
    return spans


@given(traces())
def test_times_on_the_path_are_own_times_and_fill_the_request(spans: list[Span]) -> None:
    """Each span's segments add up to its own time; together they are disjoint and cover the root."""
    linked = linked_of(spans)
    own = own_time(linked)
    for request in range(linked.root.size):
        found = path_segments(linked, request)
        for span, segments in found.items():
            assert sum(b - a for a, b in segments) == own[span]
        root = linked.root[request]
        together = sorted(segment for segments in found.values() for segment in segments)
        whole = int(linked.end[root] - linked.start[root])
        assert sum(b - a for a, b in together) == whole
        assert all(a[1] <= b[0] for a, b in pairwise(together))


@given(traces())
def test_every_span_of_a_wanted_request_has_a_path_below_its_callers(spans: list[Span]) -> None:
    """A path's caller is the path of a span above; own times by path add up to the request; others have none."""
    linked = linked_of(spans)
    callee, own = callees(linked), own_time(linked)
    wanted = np.arange(linked.root.size) % 2 == 0
    paths = call_paths(linked, callee, wanted)
    sums: dict[int, int] = defaultdict(int)
    for span in range(linked.start.size):
        request = int(linked.request[span])
        reached = paths.path[span] != NOWHERE
        assert wanted[request] or not reached
        if reached:
            sums[request] += int(own[span])
            above = int(linked.parent[span])
            if span != linked.root[request]:
                assert paths.above[span] == paths.path[above] or paths.path[span] == paths.path[above]
            else:
                assert paths.above[span] == NOWHERE
    for request in np.flatnonzero(wanted):
        root = linked.root[request]
        assert sums[int(request)] == int(linked.end[root] - linked.start[root])
