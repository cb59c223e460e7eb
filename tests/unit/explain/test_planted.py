"""A planted cause is found at rank 1, and nothing is found where nothing was planted."""

from dataclasses import replace

import pyarrow.compute as pc
import pytest
from builders.scenes import DURATION_NS, START_NS, recorded, reported

import traceguard
from traceguard.errors import UsageError
from traceguard.simulate import Flag, Fleet, Plant, Variant, Version, generate, shop
from traceguard.store import open_store
from traceguard.units import Period, parse_time

FLAG = ("new-pricing", "on")
HALF = START_NS + DURATION_NS // 2
HALVES = {"baseline": Period(START_NS, HALF), "candidate": Period(HALF, START_NS + DURATION_NS)}


def payment_versions(fleet: Fleet, *versions: Version) -> Fleet:
    """The fleet with these versions of its payment service."""
    services = tuple(replace(s, versions=versions) if s.name == "payment" else s for s in fleet.services)
    return replace(fleet, services=services)


@pytest.mark.parametrize(
    ("plant", "locus", "metric"),
    [
        (Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=30), "self", "latency"),
        (Plant("pricing", "ComputeQuote", flags=(FLAG,), inbound_ms=30), "inbound", "latency"),
        (Plant("pricing", "ComputeQuote", flags=(FLAG,), error_rate=0.08), "self", "error"),
        (Plant("pricing", "ComputeQuote", flags=(FLAG,), share=0.05, self_ms=400), "self", "latency"),
    ],
    ids=["slow", "network", "errors", "tail"],
)
def test_the_planted_cause_is_first(plant: Plant, locus: str, metric: str) -> None:
    """Flag, level, service, operation, locus and metric of rank 1 are those planted."""
    analysis = reported(recorded(shop(plants=(plant,)), requests=6_000))
    assert analysis.verdict == "regression"
    first = analysis.causes[0]
    assert [(f.kind, f.key, f.level, f.reference) for f in first.factors] == [("flag", "new-pricing", "on", "off")]
    assert (first.service, first.operation, first.locus, first.metric) == ("pricing", "ComputeQuote", locus, metric)


def test_the_interval_holds_the_planted_milliseconds() -> None:
    """The effect of a constant delay on the service's own time is that delay."""
    plant = Plant("checkout", "PlaceOrder", flags=(("one-click-checkout", "on"),), self_ms=40)
    first = reported(recorded(shop(plants=(plant,)), requests=6_000)).causes[0]
    assert first.effect.low <= 40 <= first.effect.high
    assert first.effect.high - first.effect.low < 10


@pytest.mark.parametrize("seed", range(5))
def test_silence_when_nothing_happened(seed: int) -> None:
    """A healthy shop with five flags and two rollouts gives no regression and no cause."""
    analysis = reported(recorded(shop(plants=()), seed=seed))
    assert analysis.verdict == "no_regression"
    assert analysis.causes == []


def test_an_improvement_is_no_cause() -> None:
    """What got faster is listed apart and regresses nothing."""
    plant = Plant("pricing", "ComputeQuote", flags=(("new-pricing", "off"),), self_ms=40)
    analysis = reported(recorded(shop(plants=(plant,))))
    assert (analysis.verdict, analysis.causes) == ("no_regression", [])
    first = analysis.improvements[0]
    assert (first.service, first.effect.estimate < 0, first.effect.low < first.effect.high) == ("pricing", True, True)


def test_a_version_beside_another_is_found() -> None:
    """A version that serves part of the requests is compared with the older one at the same time."""
    plant = Plant("shipping", "ShipOrder", versions=(("shipping", "2.4.0"),), self_ms=40)
    first = reported(recorded(shop(plants=(plant,)))).causes[0]
    assert [(f.kind, f.service, f.level, f.reference) for f in first.factors] == [
        ("version", "shipping", "2.4.0", "2.3.0")
    ]
    assert (first.service, first.operation) == ("shipping", "ShipOrder")


def test_a_version_for_everybody_at_once_is_compared_across_time() -> None:
    """Before and after a deploy are compared by blocks of time, and the report says so."""
    healthy = shop(plants=())
    plant = Plant("payment", "Charge", versions=(("payment", "1.10.0"),), self_ms=60)
    before = recorded(payment_versions(healthy, Version("1.9.0")), part=(0, 2))
    after = recorded(replace(payment_versions(healthy, Version("1.10.0")), plants=(plant,)), seed=2, part=(1, 2))
    analysis = reported([before, after])
    first = analysis.causes[0]
    assert (first.factors[0].level, first.service, first.operation) == ("1.10.0", "payment", "Charge")
    assert "rolled_out_at_once" in [w.code for w in analysis.warnings]
    (deploy,) = (d for d in analysis.document.deploys if d.service == "payment")
    assert (deploy.version, deploy.reference, deploy.at_once) == ("1.10.0", "1.9.0", True)
    assert HALF <= parse_time(deploy.first_seen, 0) < HALF + 60_000_000_000


def test_periods_are_compared() -> None:
    """Without flags the candidate period is the factor."""
    plant = Plant("pricing", "ComputeQuote", window=(0.5, 1.0), self_ms=40)
    analysis = reported(recorded(shop(plants=(plant,))), **HALVES)
    assert analysis.verdict == "regression"
    first = analysis.causes[0]
    assert (first.factors[0].kind, first.factors[0].level, first.service) == ("period", "candidate", "pricing")


def test_calls_that_a_period_lost_are_a_cause() -> None:
    """Code that returns early gets no slower: the caller that stops is named, and nothing regressed."""
    healthy = shop(plants=())
    cut = tuple(
        replace(o, stages=o.stages[:3]) if (o.service, o.name) == ("checkout", "PlaceOrder") else o
        for o in healthy.operations
    )
    before, after = recorded(healthy, part=(0, 2)), recorded(replace(healthy, operations=cut), seed=2, part=(1, 2))
    analysis = reported([before, after], **HALVES)
    first = analysis.causes[0]
    assert analysis.verdict == "no_regression"
    assert (first.metric, first.service, first.operation, first.effect.unit) == (
        "calls", "checkout", "PlaceOrder", "calls",
    )  # fmt: skip
    assert first.effect.high < 0
    assert first.q_value <= analysis.document.alpha
    assert [(e.entry.operation, e.effect.estimate) for e in first.entries] == [
        ("POST /checkout", first.effect.estimate)
    ]
    (step,) = (s for s in analysis.document.structure.steps if s.caller.service == "checkout")
    assert (step.caller.operation, step.after.operation) == ("PlaceOrder", "Reserve")
    assert step.reference < 0.1
    assert step.observed > 0.9
    assert "calls per request are lost" in first.summary


def test_what_explains_a_regression_comes_before_lost_calls() -> None:
    """Lost calls fail no gate, so they do not lead where something that does was found."""
    healthy = shop(plants=())
    cut = tuple(
        replace(o, stages=o.stages[:1]) if (o.service, o.name) == ("frontend", "POST /cart") else o
        for o in healthy.operations
    )
    slow = replace(healthy, operations=cut, plants=(Plant("catalog", "ListProducts", self_ms=30),))
    analysis = reported([recorded(healthy, part=(0, 2)), recorded(slow, seed=2, part=(1, 2))], **HALVES)
    assert analysis.verdict == "regression"
    assert (analysis.causes[0].service, analysis.causes[0].metric) == ("catalog", "latency")
    assert any((c.service, c.metric) == ("frontend", "calls") for c in analysis.causes)


def test_guesses_at_one_service_do_not_fill_the_list() -> None:
    """Of what does not hold each service's best comes before any one's second."""
    causes = reported(recorded(shop(plants=())), **HALVES).causes
    first = [c.service for c in causes[: len({c.service for c in causes})]]
    assert len(first) == len(set(first))


def test_periods_without_a_change_stay_silent_but_ranked() -> None:
    """Weak period causes are listed with their q-values, and the verdict stays."""
    analysis = reported(recorded(shop(plants=())), **HALVES)
    assert analysis.verdict == "no_regression"
    assert all(cause.q_value > analysis.document.alpha for cause in analysis.causes)
    assert "weak_evidence" in [w.code for w in analysis.warnings]


def test_growing_traffic_is_no_regression() -> None:
    """Three times the requests at the end are the same requests."""
    analysis = reported(recorded(replace(shop(plants=()), growth=2.0)), **HALVES)
    assert analysis.verdict == "no_regression"


def test_short_periods_are_inconclusive() -> None:
    """With less than six blocks a side the ranking is shown and the verdict withheld."""
    plant = Plant("pricing", "ComputeQuote", window=(0.5, 1.0), self_ms=40)
    minute = 60_000_000_000
    analysis = reported(
        recorded(shop(plants=(plant,))), baseline=Period(HALF - minute, HALF), candidate=Period(HALF, HALF + minute)
    )
    assert analysis.verdict == "inconclusive"
    assert analysis.causes[0].service == "pricing"
    assert "few_blocks" in [w.code for w in analysis.warnings]


def test_flags_that_always_come_together_are_named_as_inseparable() -> None:
    """The data cannot tell them apart, and the answer says so instead of guessing."""
    fleet = shop(plants=(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=40),))
    twin = Flag(
        "twin",
        (Variant("off", 0.5), Variant("on", 0.5)),
        (("pricing", "ComputeQuote"),),
        follows="new-pricing",
        agreement=1.0,
    )
    analysis = reported(recorded(replace(fleet, flags=(*fleet.flags, twin))))
    named = {analysis.causes[0].factors[0].key, analysis.causes[0].inseparable_from[0][0].key}
    assert named == {"new-pricing", "twin"}
    assert "collinear_factors" in [w.code for w in analysis.warnings]
    apart = analysis.causes[0].separation
    assert apart is not None
    assert (apart.shared, apart.units <= apart.requests) == (1.0, True)
    assert 40 <= apart.requests < 400


def test_parts_sum_to_the_regression() -> None:
    """The components' changes add up to the entry point's change of the mean."""
    analysis = reported(recorded(shop()))
    mean = next(r for r in analysis.regressions if r.metric == "latency_mean")
    assert sum(part.delta_ms for part in mean.parts) == pytest.approx(mean.delta, rel=1e-6)


def test_the_same_input_gives_the_same_answer() -> None:
    """Two runs, one with its rows doubled by a retry, agree to the last digit."""
    recording = recorded(shop(), requests=1_500)
    assert reported(recording).to_dict() == reported([recording, recording]).to_dict()


def test_an_empty_window_is_no_data() -> None:
    """No request is an answer of its own, not a pass."""
    analysis = reported(recorded(shop(), requests=300), since="2001-01-01T00:00:00Z", until="2001-01-02T00:00:00Z")
    assert (analysis.verdict, analysis.document.window.traces) == ("no_data", 0)


def test_a_level_that_looks_worse_but_cannot_be_judged_is_no_pass() -> None:
    """A deploy for everybody at once with too little time after it leaves the verdict open."""
    healthy = shop(plants=())
    plant = Plant("payment", "Charge", versions=(("payment", "1.10.0"),), self_ms=60)
    before = recorded(payment_versions(healthy, Version("1.9.0")), part=(0, 16), requests=2_000)
    after = recorded(
        replace(payment_versions(healthy, Version("1.10.0")), plants=(plant,)), seed=2, part=(1, 16), requests=2_000
    )
    analysis = reported([before, after])
    assert analysis.verdict == "inconclusive"
    assert "few_blocks" in [w.code for w in analysis.warnings]


def test_a_flag_switched_off_for_everybody_is_held_against_what_came_before() -> None:
    """A kill switch that makes things slower is a regression of the level that came later."""
    healthy = shop(plants=())
    plant = Plant("pricing", "ComputeQuote", self_ms=40)

    def flipped(level: str) -> Fleet:
        flag = Flag("fast-path", (Variant(level, 1.0),), (("frontend", None),))
        return replace(healthy, flags=(*healthy.flags, flag))

    before = recorded(flipped("on"), part=(0, 2))
    after = recorded(replace(flipped("off"), plants=(plant,)), seed=2, part=(1, 2))
    for question in ({}, HALVES):
        analysis = reported([before, after], **question)
        assert analysis.verdict == "regression"
        factor = analysis.causes[0].factors[0]
        assert (factor.key, factor.level, factor.reference) == ("fast-path", "off", "on")
        assert analysis.causes[0].service == "pricing"


def test_flags_that_mirror_each_other_are_named_as_such() -> None:
    """One on exactly where the other is off: the rarer level speaks, the other is named at the level beside it."""
    mirrored = Flag("legacy", (Variant("on", 0.6), Variant("off", 0.4)), (("frontend", None),))
    rollout = Flag(
        "rollout", (Variant("off", 0.6), Variant("on", 0.4)), (("frontend", None),), follows="legacy", agreement=1.0
    )
    healthy = shop(plants=())
    fleet = replace(
        healthy,
        flags=(mirrored, rollout),
        plants=(Plant("pricing", "ComputeQuote", flags=(("rollout", "on"),), self_ms=40),),
    )
    first = reported(recorded(fleet)).causes[0]
    named = {(f.key, f.level) for f in (*first.factors, *first.inseparable_from[0])}
    assert named == {("rollout", "on"), ("legacy", "off")}


def test_a_flag_asked_for_is_found_behind_another_that_always_came_with_it() -> None:
    """`--flag` looks through what cannot be told apart."""
    fleet = shop(plants=(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=40),))
    twin = Flag(
        "twin",
        (Variant("off", 0.5), Variant("on", 0.5)),
        (("pricing", "ComputeQuote"),),
        follows="new-pricing",
        agreement=1.0,
    )
    recording = recorded(replace(fleet, flags=(*fleet.flags, twin)))
    assert {reported(recording, flag=key).verdict for key in ("new-pricing", "twin")} == {"regression"}


def test_periods_a_day_apart_are_compared() -> None:
    """The night between two periods costs no blocks."""
    plant = Plant("pricing", "ComputeQuote", self_ms=40)
    day = 86_400_000_000_000
    before = recorded(shop(plants=()))
    after = generate(shop(plants=(plant,)), requests=4_000, seed=2, start_ns=START_NS + day, duration_ns=DURATION_NS)
    analysis = reported(
        [before, after],
        baseline=Period(START_NS, START_NS + DURATION_NS),
        candidate=Period(START_NS + day, START_NS + day + DURATION_NS),
    )
    assert (analysis.verdict, analysis.causes[0].service) == ("regression", "pricing")


def test_the_window_of_a_comparison_holds_the_compared_requests_only() -> None:
    """What started between two periods is neither read nor counted."""
    tenth = DURATION_NS // 10
    first, last = Period(START_NS, START_NS + tenth), Period(START_NS + 9 * tenth, START_NS + DURATION_NS)
    recording = recorded(shop(plants=()))
    apart = [reported(recording, since=p.start_ns, until=p.end_ns).document.window.traces for p in (first, last)]
    assert reported(recording, baseline=first, candidate=last).document.window.traces == sum(apart)


def test_an_entry_point_without_requests_is_no_data() -> None:
    """An operation that is no entry point has nothing to say."""
    analysis = reported(recorded(shop(), requests=500), entry="ComputeQuote")
    assert analysis.verdict == "no_data"
    assert "no_requests_of_entry" in [w.code for w in analysis.warnings]


def test_an_unknown_unit_is_refused() -> None:
    """A misspelt attribute must not make every request its own unit."""
    with pytest.raises(UsageError, match=r"usr\.id"):
        reported(recorded(shop(), requests=300), unit="usr.id")


def test_shares_of_one_regression_add_up_to_one_at_most() -> None:
    """Where parts offset each other a part is held against all that got worse."""
    analysis = reported(recorded(shop()))
    by_entry: dict[str, float] = {}
    for cause in analysis.causes:
        for entry in cause.entries:
            by_entry[entry.entry.operation] = by_entry.get(entry.entry.operation, 0.0) + cause.share
    assert max(by_entry.values()) <= 1.0 + 1e-9


def test_clocks_that_differ_are_warned_of() -> None:
    """Calls that lie outside their callers' spans although they are shorter mix up self and inbound time."""
    recording = recorded(shop(), requests=500).decoded()
    late = pc.if_else(pc.equal(recording.spans["service"].cast("string"), "pricing"), 5_000_000_000, 0)
    spans = recording.spans
    spans = spans.set_column(spans.schema.get_field_index("start_ns"), "start_ns", pc.add(spans["start_ns"], late))
    with open_store(":memory:", mode="write") as store:
        store.append([replace(recording, spans=spans)])
        warnings = {w.code: w.message for w in traceguard.report(store).warnings}
    assert "pricing (100% of calls)" in warnings["clock_skew"]


def test_a_flag_at_one_level_only_is_named() -> None:
    """Requests that never evaluated a flag are no control group, and the report says why nothing is compared."""
    fleet = shop(plants=())
    only_on = Flag("tagged", (Variant("on", 1.0),), (("catalog", "GetProduct"),))
    analysis = reported(recorded(replace(fleet, flags=(only_on,)), requests=500))
    assert "one_level" in [w.code for w in analysis.warnings]
