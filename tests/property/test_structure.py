"""Structure: the compiled walk against its definition, and counts that merge and do not depend on unrelated order."""

from collections import Counter
from itertools import chain

import numpy as np
from builders.requests import Span, linked_of, names_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from traceguard.traces.critical_path import callees
from traceguard.traces.link import Linked
from traceguard.traces.structure import BLOCKS, START, STOP, Structure, blocks_of, no_structure, structure_of
from traceguard.units import Period

BASELINE, CANDIDATE = Period(0, 40), Period(50, 90)


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Up to four traces that begin in the baseline, the candidate, or neither; some parents are missing."""
    spans = []
    for trace in range(1, draw(st.integers(1, 4)) + 1):
        begun = draw(st.sampled_from([5, 20, 45, 60, 89]))
        spans.append(Span(1, None, "a", begun, begun + 100, "r", trace=trace))
        for number in range(2, draw(st.integers(2, 14)) + 1):
            start = begun + draw(st.integers(0, 60))
            spans.append(
                Span(number, draw(st.sampled_from([*range(1, number), 99])), draw(st.sampled_from("ab")), start,
                     start + draw(st.integers(0, 9)), draw(st.sampled_from("xyz")),
                     draw(st.sampled_from(["client", "server", "unspecified", "consumer"])), trace=trace)
            )  # fmt: skip
    return spans


def structure(linked: Linked) -> Structure:
    """The structure with what it needs."""
    begun = np.array([linked.start[linked.trace == t].min() for t in range(len(linked.trace_ids))], dtype=np.int64)
    block = blocks_of(begun, BASELINE, CANDIDATE)[linked.trace[linked.root]]
    return structure_of(linked, callees(linked), block)


def label(linked: Linked, callee: NDArray[np.int32], i: int) -> int:
    """The operation that a child is a call of."""
    return int(linked.operation[callee[i] if callee[i] >= 0 else i])


def children(linked: Linked, i: int) -> list[int]:
    """The children of a span, the first to be called first."""
    found = []
    child = int(linked.first_child[i])
    while child >= 0:
        found.append(child)
        child = int(linked.next_sibling[child])
    found.reverse()
    return sorted(found, key=lambda c: (linked.start[c], linked.operation[c]))


def shape(linked: Linked, callee: NDArray[np.int32], i: int) -> object:
    """A span's shape in full."""
    if callee[i] >= 0:
        return shape(linked, callee, int(callee[i]))
    return int(linked.operation[i]), frozenset(shape(linked, callee, c) for c in children(linked, i))


Step = tuple[int, int, int, object]  # parent, after, next, stratum


def walk(linked: Linked, callee: NDArray[np.int32], i: int, way: object) -> list[Step]:
    """The definition, by recursion: the steps of the tree below a span that was reached on `way`."""
    mine = int(linked.operation[i])
    if callee[i] >= 0:
        below = [walk(linked, callee, child, way) for child in children(linked, i)]
        return [(mine, START, label(linked, callee, i), way), *chain.from_iterable(below)]
    steps: list[Step] = []
    before, stratum = START, way
    for child in children(linked, i):
        steps.append((mine, before, label(linked, callee, child), stratum))
        steps += walk(linked, callee, child, (way, mine, before))
        before, stratum = label(linked, callee, child), (way, shape(linked, callee, child))
    return [*steps, (mine, before, STOP, stratum)]


def slow_steps(linked: Linked) -> Counter[tuple[int, int, int, int, object, int]]:
    """Entry, parent, after, next, stratum in full, and block of each step."""
    callee = callees(linked)
    found: Counter[tuple[int, int, int, int, object, int]] = Counter()
    for r, root in enumerate(linked.root.tolist()):
        block = _block_of_trace(linked, int(linked.trace[root]))
        if linked.whole[r] and block >= 0:
            entry = int(linked.operation[root])
            found.update((entry, *step, block) for step in walk(linked, callee, root, 0))
    return found


@given(traces())
def test_steps_agree_with_the_definition(spans: list[Span]) -> None:
    """Every step is counted in its block; strata are those of the definition under other names."""
    linked = linked_of(spans)
    rows = structure(linked).steps
    found = Counter[tuple[int, ...]]()
    named: dict[tuple[int, ...], set[object]] = {}
    for entry, _, parent, after, then, stratum, block, count in rows.iter_rows():
        found[entry, parent, after, then, stratum, block] += count
    expected = slow_steps(linked)
    assert sorted(found.values()) == sorted(expected.values())
    by_stratum = Counter[tuple[object, ...]]()
    for (entry, parent, after, then, _, block), count in expected.items():
        by_stratum[entry, parent, after, then, block] += count
    for (entry, parent, after, then, stratum, block), count in found.items():
        by_stratum[entry, parent, after, then, block] -= count
        named.setdefault((parent, after), set()).add(stratum)
    assert not any(by_stratum.values())
    slow_named: dict[tuple[int, ...], set[object]] = {}
    for _, parent, after, _, way, _ in expected:
        slow_named.setdefault((parent, after), set()).add(way)
    assert {key: len(strata) for key, strata in named.items()} == {k: len(s) for k, s in slow_named.items()}


@given(traces())
def test_each_caller_starts_once_and_stops_once(spans: list[Span]) -> None:
    """Per operation and block there are as many starts as spans that are no answered client's."""
    linked = linked_of(spans)
    rows = structure(linked).steps
    stops = rows.filter(rows["next"] == STOP)["count"].sum()
    answered = rows.filter(rows["after"] == START)["count"].sum() - stops
    callee = callees(linked)
    inside = {t for t in range(len(linked.trace_ids)) if _block_of_trace(linked, t) >= 0}
    mine = [i for i in range(linked.trace.size) if linked.whole[linked.request[i]] and linked.trace[i] in inside]
    assert stops == sum(callee[i] < 0 for i in mine)
    assert answered == sum(callee[i] >= 0 for i in mine)


def _block_of_trace(linked: Linked, trace: int) -> int:
    begun = np.array([linked.start[linked.trace == trace].min()], dtype=np.int64)
    return int(blocks_of(begun, BASELINE, CANDIDATE)[0])


@given(traces())
def test_partitions_merge_to_the_whole(spans: list[Span]) -> None:
    """The counts of single traces add up to those of all, in any order."""
    names = names_of(spans)
    whole = structure(linked_of(spans, names))
    parts = [structure(linked_of([s for s in spans if s.trace == t], names)) for t in {s.trace for s in spans}]
    for order in (parts, parts[::-1]):
        merged = sum(order, start=no_structure())
        assert merged.steps.equals(whole.steps)
        assert merged.requests.equals(whole.requests)


@given(st.lists(st.integers(-10, 100), max_size=40))
def test_blocks_lie_in_their_period(starts: list[int]) -> None:
    """What begins outside of both periods has no block; those of the candidate come after those of the baseline."""
    blocks = blocks_of(np.array(starts, dtype=np.int64), BASELINE, CANDIDATE)
    for start, block in zip(starts, blocks.tolist(), strict=True):
        if 0 <= start < 40:
            assert 0 <= block < BLOCKS
        elif 50 <= start < 90:
            assert BLOCKS <= block < 2 * BLOCKS
        else:
            assert block == -1
