"""Time per call: the compiled loop against its definition, and histograms that merge."""

from collections import Counter

import numpy as np
from builders.requests import Span, linked_of, names_of
from hypothesis import given
from hypothesis import strategies as st

from traceguard.traces.call_time import UNIT_NS, CallTimes, call_times_of, no_call_times
from traceguard.traces.cells import histogram_bins
from traceguard.traces.critical_path import callees
from traceguard.traces.link import Linked
from traceguard.traces.structure import blocks_of, shapes_and_ways
from traceguard.units import Period

BASELINE, CANDIDATE = Period(0, 40), Period(50, 90)


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Up to three traces whose spans overlap, outlive their parents, or have none."""
    spans = []
    for trace in range(1, draw(st.integers(1, 3)) + 1):
        begun = draw(st.sampled_from([5, 45, 60]))
        spans.append(Span(1, None, "a", begun, begun + 90_000, "r", trace=trace))
        for number in range(2, draw(st.integers(2, 14)) + 1):
            start = begun + draw(st.integers(0, 60_000))
            spans.append(
                Span(number, draw(st.sampled_from([*range(1, number), 99])), draw(st.sampled_from("ab")), start,
                     start + draw(st.integers(0, 60_000)), draw(st.sampled_from("xy")),
                     draw(st.sampled_from(["client", "server", "internal"])), trace=trace)
            )  # fmt: skip
    return spans


def times_of(linked: Linked) -> CallTimes:
    """The times with what they need."""
    callee = callees(linked)
    begun = np.array([linked.start[linked.trace == t].min() for t in range(len(linked.trace_ids))], dtype=np.int64)
    block = blocks_of(begun, BASELINE, CANDIDATE)[linked.trace[linked.root]]
    return call_times_of(linked, callee, block, shapes_and_ways(linked, callee))


def slow_times(linked: Linked) -> Counter[tuple[int, bool, int]]:
    """The definition: component, side and bin of each call, marking off every covered nanosecond's interval."""
    callee, found = callees(linked), Counter[tuple[int, bool, int]]()
    for i in range(linked.trace.size):
        begun = int(linked.start[linked.trace == linked.trace[i]].min())
        block = int(blocks_of(np.array([begun], dtype=np.int64), BASELINE, CANDIDATE)[0])
        if block < 0 or not linked.whole[linked.request[i]]:
            continue
        start, end, c = int(linked.start[i]), int(linked.end[i]), int(callee[i])
        if c >= 0:
            time = max(end - start - int(linked.end[c] - linked.start[c]), 0)
            component = 2 * int(linked.operation[c]) + 1
        else:
            child, inside = int(linked.first_child[i]), []
            while child >= 0:
                inside.append((max(int(linked.start[child]), start), min(int(linked.end[child]), end)))
                child = int(linked.next_sibling[child])
            time, reached = end - start, start
            for begin, stop in sorted(inside):
                time -= max(stop - max(begin, reached), 0)
                reached = max(reached, stop)
            component = 2 * int(linked.operation[i])
        found[component, block >= 16, int(histogram_bins(np.array([time + UNIT_NS]))[0])] += 1
    return found


@given(traces())
def test_times_agree_with_the_definition(spans: list[Span]) -> None:
    """Every call of a whole request is in the bin of the time that its children, or its callee, do not cover."""
    linked = linked_of(spans)
    found = Counter[tuple[int, bool, int]]()
    for component, _, late, bin_, number in times_of(linked).rows.iter_rows():
        found[component, late, bin_] += number
    assert found == slow_times(linked)


@given(traces())
def test_partitions_merge_to_the_whole(spans: list[Span]) -> None:
    """The counts of single traces add up to those of all, in any order."""
    names = names_of(spans)
    whole = times_of(linked_of(spans, names))
    parts = [times_of(linked_of([s for s in spans if s.trace == t], names)) for t in {s.trace for s in spans}]
    for order in (parts, parts[::-1]):
        assert sum(order, start=no_call_times()).rows.equals(whole.rows)
