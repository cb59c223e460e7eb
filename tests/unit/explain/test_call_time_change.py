"""Time per call: which calls got slower, whose ways out did, and what only calls something else."""

import numpy as np
from builders.requests import Span, linked_of

from traceguard.explain.call_time_change import CallTimeChange, call_time_changes
from traceguard.traces.call_time import call_times_of
from traceguard.traces.critical_path import callees
from traceguard.traces.link import Linked
from traceguard.traces.structure import blocks_of, shapes_and_ways
from traceguard.units import Period

MS = 1_000_000
BASELINE, CANDIDATE = Period(0, 10**12), Period(10**12, 2 * 10**12)
CALLEES = ("ads", "cart", "price", "stock")


def shop(
    *, way: float = 1.0, ways: float = 1.0, own: float = 1.0, more: float = 0.0, requests: int = 60
) -> tuple[Linked, list[CallTimeChange]]:
    """A front that calls four services; in the candidate ways and times are longer by factors.

    `way`: into cart; `ways`: into all; `own`: cart's own time; `more`: share of requests in which cart queries as well.
    """
    random, spans = np.random.default_rng(3), []
    for trace in range(1, 2 * requests + 1):
        late = trace > requests
        now = begun = int(random.integers(10**12)) + late * 10**12
        ids = iter(range(2, 100))
        for name in CALLEES:
            gap = random.lognormal(0.0, 0.2) * MS * ((ways * (way if name == "cart" else 1.0)) if late else 1.0)
            time = 5 * random.lognormal(0.0, 0.2) * MS * (own if late and name == "cart" else 1.0)
            client, server, query = next(ids), next(ids), next(ids)
            length = int(time)
            if late and name == "cart" and random.random() < more:
                spans.append(Span(query, server, name, now + int(gap), now + int(gap) + 3 * MS, "q", trace=trace))
                length = 40 * MS
            spans.append(Span(server, client, name, now + int(gap), now + int(gap) + length, name, trace=trace))
            spans.append(
                Span(client, 1, "front", now, now + 2 * int(gap) + length, f"call {name}", "client", trace=trace)
            )
            now += 2 * int(gap) + length
        spans.append(Span(1, None, "front", begun, now + MS, "page", trace=trace))
    linked = linked_of(spans)
    callee = callees(linked)
    block = blocks_of(linked.start[linked.root], BASELINE, CANDIDATE)
    times = call_times_of(linked, callee, block, shapes_and_ways(linked, callee))
    return linked, call_time_changes(times, linked.names, 0.05)


def first(found: tuple[Linked, list[CallTimeChange]]) -> tuple[str, str, bool]:
    """Service and locus of the highest score, and whether it stands for all ways out."""
    linked, changes = found
    service, _, locus = linked.names.component(changes[0].component)
    return service, locus, changes[0].outgoing


def test_a_slower_callee_comes_first() -> None:
    """Its own time, by the factor it grew."""
    found = shop(own=4.0)
    assert first(found) == ("cart", "self", False)
    assert 3.3 < found[1][0].factor < 4.8


def test_a_slower_way_into_one_callee_is_the_callees() -> None:
    """The other ways of the same caller are as before."""
    assert first(shop(way=5.0)) == ("cart", "inbound", False)


def test_slower_ways_into_all_callees_are_the_callers() -> None:
    """What they have in common counts once, for the service that calls."""
    assert first(shop(ways=5.0)) == ("front", "self", True)


def test_nothing_new_scores_next_to_nothing() -> None:
    """The lower bound of no change lies below the baseline's spread by far."""
    assert shop()[1][0].score < 0.3


def test_spans_that_call_something_else_are_not_compared() -> None:
    """Those that now query take long; those that do not are as fast as ever."""
    linked, changes = shop(more=0.6)
    cart = next(c for c in changes if linked.names.component(c.component) == ("cart", "cart", "self"))
    assert cart.score < 0.3
    assert cart.calls < 40


def test_a_rare_call_needs_a_large_change() -> None:
    """Of six requests a side only what stands out scores."""
    assert first(shop(own=6.0, requests=6)) == ("cart", "self", False)
    assert shop(requests=6)[1][0].score < 1.0
