"""A change is taken apart into mix, count, cost and origins, which add up to it; time that only moved is no cause."""

from dataclasses import replace

import pytest
from builders.scenes import DURATION_NS, START_NS, recorded, reported

from traceguard import model
from traceguard.report import Analysis
from traceguard.simulate import EntryPoint, Fleet, Plant, shop
from traceguard.units import Period

HALF = START_NS + DURATION_NS // 2
HALVES = {"baseline": Period(START_NS, HALF), "candidate": Period(HALF, START_NS + DURATION_NS)}
FLAG = ("new-pricing", "on")


def mean_of(analysis: Analysis, operation: str) -> model.Regression:
    """The entry point's regression of the mean."""
    return next(
        r for r in analysis.document.regressions
        if r.metric == "latency_mean" and r.entry.operation == operation
    )  # fmt: skip


def part_of(found: model.Regression, service: str, operation: str) -> model.Part:
    """A component's own part."""
    return next(p for p in found.parts if (p.service, p.operation, p.locus) == (service, operation, "self"))


def halves(before: Fleet, after: Fleet) -> Analysis:
    """The comparison of two fleets, half an hour of which each serves a half."""
    return reported([recorded(before, part=(0, 2)), recorded(after, seed=2, part=(1, 2))], **HALVES)


def test_more_calls_are_count_and_slower_ones_cost() -> None:
    """Two more calls of the same length change the count, a longer one the cost, and all parts add up."""
    more = Plant("frontend", "GET /product/{id}", extra_calls=2, extra_call=("catalog", "GetProduct"), flags=(FLAG,))
    slow = Plant("pricing", "ComputeQuote", self_ms=30, flags=(FLAG,))
    found = mean_of(reported(recorded(shop(plants=(more, slow)))), "GET /product/{id}")
    assert sum(p.delta_ms for p in found.parts) == pytest.approx(found.delta, abs=1e-6)
    for p in found.parts:
        assert p.count_ms + p.cost_ms == pytest.approx(p.delta_ms, abs=1e-9)
    called, slowed = part_of(found, "catalog", "GetProduct"), part_of(found, "pricing", "ComputeQuote")
    assert called.count_ms > 5 * abs(called.cost_ms)
    assert slowed.cost_ms > 5 * abs(slowed.count_ms)


def test_error_parts_add_up_and_handled_failures_stay_apart() -> None:
    """Each failed request has one origin; failures that callers tolerate fail no request."""
    wrong = Plant("pricing", "ComputeQuote", error_rate=0.1, flags=(FLAG,))
    analysis = reported(recorded(shop(plants=(wrong,))))
    found = next(r for r in analysis.document.regressions if r.metric == "error_rate")
    assert sum(p.delta for p in found.error_parts) == pytest.approx(found.delta, abs=1e-9)
    assert (found.error_parts[0].service, found.error_parts[0].operation) == ("pricing", "ComputeQuote")
    tolerated = Plant("recommendation", "ListRecommendations", error_rate=0.3, window=(0.5, 1.0))
    both = replace(shop(plants=()), plants=(tolerated, replace(wrong, flags=(), window=(0.5, 1.0))))
    found = next(
        r for r in reported(recorded(both), **HALVES).document.regressions
        if r.metric == "error_rate" and r.entry.operation == "GET /product/{id}"
    )  # fmt: skip
    assert found.handled.observed > found.handled.reference + 0.08
    assert all(p.service != "recommendation" or abs(p.delta) < 0.02 for p in found.error_parts)


def test_another_mix_of_entry_points_is_told_from_slower_ones() -> None:
    """Twice the checkouts raise the mean of all requests and regress no entry point."""
    fleet = shop(plants=())
    busy = tuple(
        EntryPoint(e.service, e.operation, 0.6 if e.operation == "POST /checkout" else e.weight) for e in fleet.entries
    )
    analysis = halves(fleet, replace(fleet, entries=busy))
    mix = analysis.document.mix
    assert analysis.verdict == "no_regression"
    assert mix.mix_ms + mix.within_ms == pytest.approx(mix.delta_ms, abs=1e-9)
    assert mix.observed_ms - mix.reference_ms == pytest.approx(mix.delta_ms, abs=1e-9)
    assert mix.mix_ms > 5 * abs(mix.within_ms)
    assert sum(e.mix_ms for e in mix.entries) == pytest.approx(mix.mix_ms, abs=1e-9)
    assert sum(e.within_ms for e in mix.entries) == pytest.approx(mix.within_ms, abs=1e-9)
    assert (mix.entries[0].entry.operation, mix.entries[0].mix_ms > 0) == ("POST /checkout", True)


def moved(fleet: Fleet) -> Fleet:
    """The fleet after work moved from checkout's own code into payment's."""

    def own(service: str, name: str, ms: float) -> float:
        return {("checkout", "PlaceOrder"): ms - 12, ("payment", "Charge"): ms + 12}.get((service, name), ms)

    return replace(
        fleet, operations=tuple(replace(o, own_ms=own(o.service, o.name, o.own_ms)) for o in fleet.operations)
    )


def test_time_that_moved_is_no_cause() -> None:
    """What payment takes more checkout takes less: nobody waits longer, and payment is not blamed."""
    fleet = shop(plants=())
    only_checkouts = replace(fleet, entries=tuple(e for e in fleet.entries if e.operation == "POST /checkout"))
    analysis = halves(only_checkouts, moved(only_checkouts))
    assert analysis.verdict == "no_regression"
    latency = [c for c in analysis.causes if c.metric == "latency"]
    assert ("payment", "Charge", "self") not in [(c.service, c.operation, c.locus) for c in latency]
    assert all(c.q_value > analysis.document.alpha for c in latency)


def test_time_that_moved_under_a_flag_is_no_cause() -> None:
    """Components of an entry point that did not regress under a level are never its causes."""
    slow = Plant("pricing", "ComputeQuote", self_ms=12, flags=(FLAG,))
    fast = Plant("catalog", "GetProduct", self_ms=12, flags=(("new-pricing", "off"),))
    analysis = reported(recorded(shop(plants=(slow, fast))))
    assert (analysis.verdict, analysis.causes) == ("no_regression", [])
