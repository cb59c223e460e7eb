"""Fan-out: the compiled loop against its definition, and sums that merge."""

import numpy as np
from builders.requests import Span, linked_of, names_of
from hypothesis import given
from hypothesis import strategies as st

from traceguard.traces.critical_path import callees
from traceguard.traces.fan_out import MANY, FanOut, fan_out, no_fan_out
from traceguard.traces.link import Linked
from traceguard.traces.retries import calls

MIDDLE = 30


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Up to three traces of many calls below few parents, some in parallel, some in a row."""
    spans = []
    for trace in range(1, draw(st.integers(1, 3)) + 1):
        spans.append(Span(1, None, "a", draw(st.integers(0, 60)), 100, "r", trace=trace))
        for number in range(2, draw(st.integers(2, 30)) + 1):
            start = draw(st.integers(0, 60))
            parent = draw(st.sampled_from([1, 1, 1, 1, 2, 3, 99]))
            spans.append(
                Span(number, parent, draw(st.sampled_from("ab")), start, start + draw(st.integers(0, 5)),
                     draw(st.sampled_from(["x", "y"])), draw(st.sampled_from(["client", "server", "internal"])),
                     trace=trace)
            )  # fmt: skip
    return spans


def fan_out_of(linked: Linked) -> FanOut:
    """The fan-out with what it needs."""
    callee = callees(linked)
    return fan_out(linked, callee, calls(linked, callee), MIDDLE)


def slow_chains(linked: Linked) -> dict[int, list[tuple[int, int, bool]]]:
    """The definition: per pair number, time and half of each chain; calls are taken from the last to finish back."""
    callee = callees(linked)
    call = calls(linked, callee)
    chains: dict[int, list[tuple[int, int, bool]]] = {}
    for p in range(linked.parent.size):
        groups: dict[int, list[int]] = {}
        for c in range(linked.parent.size):
            if linked.parent[c] == p and call[c]:
                groups.setdefault(int(linked.operation[callee[c] if callee[c] >= 0 else c]), []).append(c)
        if linked.fragment[linked.request[p]]:
            continue
        for operation, group in groups.items():
            chain: list[int] = []
            for c in sorted(group, key=lambda c: (linked.end[c], c), reverse=True):
                if not chain or linked.end[c] <= linked.start[chain[-1]]:
                    chain.append(c)
            if len(chain) > 1:
                pair = int(linked.operation[p]) * len(linked.names.operations) + operation
                time = int(sum(linked.end[c] - linked.start[c] for c in chain))
                late = bool(linked.start[linked.root[linked.request[p]]] >= MIDDLE)
                chains.setdefault(pair, []).append((len(chain), time, late))
    return chains


@given(traces())
def test_chains_agree_with_the_definition(spans: list[Span]) -> None:
    """Every sum per pair is that of the chains found by sorting."""
    linked = linked_of(spans)
    found, expected = fan_out_of(linked), slow_chains(linked)
    assert found.pair.tolist() == sorted(expected)
    for k, pair in enumerate(found.pair.tolist()):
        chains = expected[pair]
        for half in (0, 1):
            mine = [number for number, _, late in chains if late == bool(half)]
            assert (found.parents[half, k], found.calls[half, k]) == (len(mine), sum(mine))
        assert found.many[k] == sum(number >= MANY for number, _, _ in chains)
        assert found.most[k] == max(number for number, _, _ in chains)
        assert found.time[k] == sum(time for _, time, _ in chains)


@given(traces())
def test_partitions_merge_to_the_whole(spans: list[Span]) -> None:
    """The sums of single traces add up to those of all, in any order."""
    names = names_of(spans)
    whole = fan_out_of(linked_of(spans, names))
    parts = [fan_out_of(linked_of([s for s in spans if s.trace == t], names)) for t in {s.trace for s in spans}]
    for order in (parts, parts[::-1]):
        merged = sum(order, start=no_fan_out())
        for name in ("pair", "parents", "calls", "many", "most", "time", "trace"):
            np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
