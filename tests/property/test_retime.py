"""Retiming must agree with a slow and obvious reference on random traces, and keep its promises."""

from functools import cache

import numpy as np
import pytest
from builders.requests import Span, linked_of
from hypothesis import given, settings
from hypothesis import strategies as st

from traceguard.radius.retime import retime
from traceguard.traces.link import Linked

KINDS = ["internal", "server", "client", "producer", "consumer"]
Case = tuple[list[Span], list[int]]


class Reference:
    """The definition of retiming, by recursion over one span at a time."""

    def __init__(self, linked: Linked, extra: list[int]) -> None:
        self.linked, self.extra = linked, extra
        self.start, self.end = linked.start.tolist(), linked.end.tolist()
        self.parent = linked.parent.tolist()
        waited = [
            i
            for i, parent in enumerate(self.parent)
            if parent >= 0 and not linked.detached[i] and not (linked.evaluation[i] and i not in self.parent)
        ]
        self.children = {p: [i for i in waited if self.parent[i] == p] for p in range(len(self.parent))}
        self.length, self.offset = cache(self.length), cache(self.offset)  # type: ignore[method-assign]

    def length(self, i: int) -> int:
        """Give the new duration of a span."""
        events = [(self.start[i], self.start[i])]
        for c in self.children[i]:
            over = self.end[c] - self.end[i]
            ended = self.start[i] + self.offset(c) + self.length(c)
            if over <= 0:
                events.append((self.end[c], ended))
            elif self.linked.service[c] != self.linked.service[i] and not self.linked.failed[i]:
                events.append((self.end[i], ended - over))
        return self.moved(events) - self.start[i] + self.end[i] + self.extra[i]

    def offset(self, c: int) -> int:
        """Give the new distance of a child's start from its parent's."""
        parent = self.parent[c]
        events = [(self.start[parent], self.start[parent])]
        for s in self.children[parent]:
            before = (self.start[s], self.end[s], s) < (self.start[c], self.end[c], c)
            if before and self.end[s] <= self.start[c]:
                events.append((self.end[s], self.start[parent] + self.offset(s) + self.length(s)))
        return self.moved(events) + self.start[c] - self.start[parent]

    @staticmethod
    def moved(events: list[tuple[int, int]]) -> int:
        """Give by how much the latest of some events moved: (as recorded, as moved) each."""
        return max(now for _, now in events) - max(then for then, _ in events)

    def times(self) -> dict[int, tuple[int, int]]:
        """Give the new start and end of every span that a request waits for."""
        found: dict[int, tuple[int, int]] = {}
        pending = [(root, self.start[root]) for root in self.linked.root.tolist()]
        while pending:
            i, at = pending.pop()
            found[i] = (at, at + self.length(i))
            pending += [(c, at + self.offset(c)) for c in self.children[i]]
        return found


@st.composite
def cases(draw: st.DrawFn, *, tidy: bool = False) -> Case:
    """Draw the spans of one trace, and extra time for each; `tidy` spans lie within their parents."""
    spans: list[Span] = []
    for number in range(1, draw(st.integers(1, 9)) + 1):
        parent = draw(st.integers(1, number - 1)) if number > 1 else None
        low, high = (spans[parent - 1].start, spans[parent - 1].end) if tidy and parent else (0, 24)
        start = draw(st.integers(low, high))
        end = draw(st.integers(start, high))
        span = Span(number, parent, draw(st.sampled_from("abc")), start, end, kind="internal")
        if not tidy:
            kind, failed = draw(st.sampled_from(KINDS)), draw(st.booleans())
            evaluation = draw(st.sampled_from([False] * 7 + [True]))
            span = Span(number, parent, span.service, start, end, kind=kind, failed=failed, evaluation=evaluation)
        spans.append(span)
    return spans, [draw(st.sampled_from([0, 0, 1, 5, 40])) for _ in spans]


@given(cases())
@settings(max_examples=400)
def test_compiled_retiming_equals_the_reference(case: Case) -> None:
    """Both give every span the same start and end, to the nanosecond."""
    spans, extra = case
    linked = linked_of(spans)
    start, end = retime(linked, np.array(extra[: linked.start.size], dtype=np.int64))
    for i, times in Reference(linked, extra).times().items():
        assert (start[i], end[i]) == times


@pytest.mark.parametrize("children", [40, 200])
def test_wide_fan_out_equals_the_reference(children: int) -> None:
    """Both ways of sorting children, by insertion and by merging, keep the same order."""
    rng = np.random.default_rng(children)
    starts = (rng.integers(0, 400, children) * 12).tolist()
    spans = [Span(1, None, "a", 0, 5_000)]
    spans += [Span(2 + i, 1, "b", s, s + int(rng.integers(0, 60))) for i, s in enumerate(starts)]
    linked = linked_of(spans)
    extra = rng.integers(0, 30, linked.start.size)
    start, end = retime(linked, extra)
    for i, times in Reference(linked, extra.tolist()).times().items():
        assert (start[i], end[i]) == times


@given(cases())
def test_nothing_moves_without_extra_time(case: Case) -> None:
    """Retiming without a delay returns what was recorded, however odd the recording."""
    linked = linked_of(case[0])
    start, end = retime(linked, np.zeros(linked.start.size, dtype=np.int64))
    assert (start == linked.start).all()
    assert (end == linked.end).all()


@given(cases())
def test_a_root_slows_by_no_more_than_what_was_added_below_it(case: Case) -> None:
    """Parallel work can absorb delays; nothing can multiply them."""
    linked = linked_of(case[0])
    extra = np.array(case[1][: linked.start.size], dtype=np.int64)
    _, end = retime(linked, extra)
    slower = (end - linked.end)[linked.root]
    added = np.zeros(linked.root.size, dtype=np.int64)
    np.add.at(added, linked.request, extra)
    assert (slower >= 0).all()
    assert (slower <= added).all()


@given(cases(tidy=True), st.integers(0, 50))
def test_more_delay_never_ends_earlier(case: Case, more: int) -> None:
    """Ends grow with the delay."""
    linked = linked_of(case[0])
    extra = np.array(case[1][: linked.start.size], dtype=np.int64)
    assert (retime(linked, extra + more)[1] >= retime(linked, extra)[1]).all()
