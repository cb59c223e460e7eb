"""Offsets that are planted between hosts are found again, and what is in step is never called skewed."""

from dataclasses import replace

import numpy as np
from builders.requests import Span, linked_of
from hypothesis import given
from hypothesis import strategies as st

from traceguard.traces.clock_skew import Calls, Offset, corrected, feasible
from traceguard.traces.critical_path import callees
from traceguard.traces.facts import Facts, facts_of

HOSTS = [("web", "w1"), ("cart", "c1"), ("cart", "c2"), ("db", "")]


@st.composite
def calls(draw: st.DrawFn) -> list[Span]:
    """Traces of a root on the first host that calls others in turn, each of which may call on; all clocks in step.

    Every server span lies strictly inside its client span, with at least one nanosecond on either side.
    """
    spans: list[Span] = []
    for trace in range(1, draw(st.integers(1, 6)) + 1):
        root = Span(1, None, *_at(0, 1_000, 1_000 + draw(st.integers(200, 900))), trace=trace, instance="w1")
        spans.append(root)
        caller, low, high, number = root, root.start + 1, root.end - 1, 2
        for _ in range(draw(st.integers(1, 3))):
            if high - low < 12:
                break
            start = draw(st.integers(low, high - 8))
            end = draw(st.integers(start + 6, high))
            # What a service starts after its own parent ended is asynchronous, so no service calls itself here.
            others = [h for h in HOSTS[1:] if h[0] != caller.service]
            service, instance = draw(st.sampled_from(others))
            client = Span(number, caller.id, caller.service, start, end, "call", "client", trace=trace)
            begin = draw(st.integers(start + 1, end - 3))
            server = Span(
                number + 1, number, service, begin, draw(st.integers(begin + 1, end - 1)), trace=trace,
                instance=instance,
            )  # fmt: skip
            spans += [replace(client, instance=caller.instance), server]
            number += 2
            if draw(st.booleans()):
                caller, low, high = server, server.start + 1, server.end - 1
            else:
                low = end + 1
    return spans


def _at(host: int, start: int, end: int) -> tuple[str, int, int]:
    return HOSTS[host][0], start, end


def skew(spans: list[Span], ahead: dict[tuple[str, str], int]) -> list[Span]:
    """The spans as hosts would stamp them whose clocks are `ahead`."""
    return [
        replace(s, start=s.start + ahead[s.service, s.instance], end=s.end + ahead[s.service, s.instance])
        for s in spans
    ]


def offsets_of(spans: list[Span]) -> tuple[Offset, ...]:
    """What the calls of one partition say."""
    linked, found = linked_of(spans), Calls()
    found.add(linked, callees(linked))
    return found.offsets()


clocks = st.lists(st.integers(-5_000, 5_000), min_size=4, max_size=4).map(lambda a: dict(zip(HOSTS, a, strict=True)))


@given(calls(), clocks)
def test_planted_offsets_lie_within_the_bounds(spans: list[Span], ahead: dict[tuple[str, str], int]) -> None:
    """Whatever the clocks, the true difference of each pair keeps all bounds, and so lies in what is feasible."""
    names = linked_of(spans).names
    for found in offsets_of(skew(spans, ahead)):
        caller, callee = (names.hosts[h] for h in (found.caller, found.callee))
        truth = ahead[names.services[callee[0]], callee[1]] - ahead[names.services[caller[0]], caller[1]]
        assert found.low <= truth <= found.high
        assert found.agree == 1.0
        assert not (found.skewed and truth == 0)


@given(calls(), clocks)
def test_taking_the_true_offsets_out_gives_the_facts_of_clocks_in_step(
    spans: list[Span], ahead: dict[tuple[str, str], int]
) -> None:
    """With the planted differences as estimates, every request's split is what it would have been."""
    plain, linked = linked_of(spans), linked_of(skew(spans, ahead))
    size, hosts = len(plain.names.hosts), plain.names.hosts
    clock = [ahead[plain.names.services[s], i] for s, i in hosts]
    truth = tuple(
        Offset(a, b, clock[b] - clock[a], clock[b] - clock[a], 1, 1, 1.0) for a in range(size) for b in range(size)
    )
    if not any(o.skewed for o in truth):
        return
    before, after = facts_of(plain), facts_of(corrected(linked, truth))
    assert [sorted(pairs(before, i)) for i in range(before.dur.size)] == [
        sorted(pairs(after, i)) for i in range(after.dur.size)
    ]


def pairs(facts: Facts, i: int) -> list[tuple[int, int]]:
    """Component and time of request `i`."""
    rows = slice(facts.first[i], facts.first[i + 1])
    return list(zip(facts.component[rows].tolist(), facts.time[rows].tolist(), strict=True))


intervals = st.lists(st.tuples(st.integers(0, 3), st.integers(-20, 20), st.integers(0, 15)), min_size=1, max_size=40)


@given(intervals)
def test_the_feasible_interval_agrees_with_the_definition(rows: list[tuple[int, int, int]]) -> None:
    """For each pair: the lowest point that lies in the most intervals, up to where the first of these ends."""
    pair, low, length = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    found = feasible(pair, low, low + length)
    for p, lowest, highest, agree in zip(*(column.tolist() for column in found), strict=True):
        mine = [(a, a + b) for q, a, b in rows if q == p]
        inside = {a: [high for begin, high in mine if begin <= a <= high] for a, _ in mine}
        most = max(len(highs) for highs in inside.values())
        point = min(a for a, highs in inside.items() if len(highs) == most)
        assert (lowest, highest, agree) == (point, min(inside[point]), most / len(mine))


@given(calls(), clocks)
def test_partitions_change_nothing(spans: list[Span], ahead: dict[tuple[str, str], int]) -> None:
    """Calls gathered trace by trace say the same as all at once."""
    moved = skew(spans, ahead)
    names = linked_of(moved).names
    found = Calls()
    for trace in sorted({s.trace for s in moved}):
        linked = linked_of([s for s in moved if s.trace == trace], names)
        found.add(linked, callees(linked))
    assert found.offsets() == offsets_of(moved)
