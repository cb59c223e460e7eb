"""What-if: delays and errors on requests whose outcome is known, and on a simulated shop that really got worse."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders.requests import Span, linked_of

from traceguard import model
from traceguard.engine.local import linked_partitions, open_window, reduced
from traceguard.errors import UsageError
from traceguard.radius.objective import parse_objective
from traceguard.radius.outlook import QUANTILES
from traceguard.radius.population import Population
from traceguard.radius.retimed import Partitions
from traceguard.radius.scenario import make_scenario
from traceguard.radius.what_if import what_if
from traceguard.simulate.fleet import Plant
from traceguard.simulate.generate import generate
from traceguard.simulate.shop import shop
from traceguard.store import open_store
from traceguard.traces.link import Linked
from traceguard.units import Period

MS = 1_000_000


def request(trace: int = 1, *, parallel: bool = False, failed: str = "") -> list[Span]:
    """Give web > (pricing, then or beside it cart) with a message to mailer; times in milliseconds."""
    start = 10 if parallel else 50
    return [
        Span(1, None, "web", 0, 100 * MS, trace=trace, failed="w" in failed),
        Span(2, 1, "pricing", 10 * MS, 40 * MS, trace=trace, failed="p" in failed),
        Span(3, 1, "cart", start * MS, 90 * MS, trace=trace),
        Span(4, 3, "mailer", 60 * MS, 80 * MS, kind="consumer", trace=trace),
    ]


def over(partitions: list[Linked]) -> Partitions:
    """Give partitions as the engine does."""
    return lambda reduce: map(reduce, partitions)


def predict(spans: list[Span], service: str, **given: Any) -> model.WhatIf:
    """Ask about a service of the spans, delays in milliseconds."""
    if "delay" in given:
        given["delay"] = f"{given['delay']}ms"
    return what_if(over([linked_of(spans)]), make_scenario(service, **given))


def entry(found: model.WhatIf, service: str = "web") -> model.ForecastEntry:
    """Give the entry of a service."""
    return next(e for e in found.entries if e.service == service)


@pytest.mark.parametrize(("parallel", "delay", "mean"), [(False, 30, 130), (True, 30, 100), (True, 70, 120)])
def test_what_follows_shifts_and_what_runs_beside_absorbs(parallel: bool, delay: int, mean: int) -> None:
    """A delay before another call is added whole; beside a longer call only what exceeds its slack is."""
    assert entry(predict(request(parallel=parallel), "pricing", delay=delay)).after.mean == pytest.approx(mean)


def test_asynchronous_work_delays_itself_only() -> None:
    """The request that sent the message stays as it was; the consumer's own entry slows."""
    found = predict(request(), "mailer", delay=30)
    assert entry(found).after == entry(found).before
    assert entry(found, "mailer").after.mean == pytest.approx(50)
    assert [e.service for e in found.entries] == ["mailer", "web"]


def test_exposure_is_a_mixture() -> None:
    """The mean moves by the exposed share; a quantile moves once the exposed part reaches it."""
    spans = [span for trace in range(1, 101) for span in request(trace)]
    found = entry(predict(spans, "pricing", delay=30, exposure=0.04))
    assert found.requests == 100
    assert found.after.mean == pytest.approx(101.2)
    assert (found.after.p50, found.after.p95, found.after.p99) == (100.0, 100.0, 130.0)


def test_nothing_supposed_changes_nothing() -> None:
    """Without delay or errors, or without exposure, after equals before."""
    for given in ({}, {"delay": 30.0, "error_rate": 0.5, "exposure": 0.0}):
        for found in predict(request(), "pricing", **given).entries:
            assert found.after == found.before


def test_errors_climb_and_add_to_those_there() -> None:
    """A request that failed anyway cannot fail again."""
    spans = [*request(1), *request(2), *request(3), *request(4, failed="wp")]
    found = entry(predict(spans, "pricing", error_rate=0.1, exposure=0.5))
    assert found.before.error_rate == pytest.approx(0.25)
    assert found.after.error_rate == pytest.approx(0.25 + 0.75 * 0.05)


def test_handled_errors_stop_where_they_were_handled() -> None:
    """A caller that was seen to succeed in spite of failed calls does so again, in the share that was seen."""
    never = entry(predict([*request(1), *request(2, failed="p")], "pricing", error_rate=0.5))
    half = entry(predict([*request(1, failed="p"), *request(2, failed="pw")], "pricing", error_rate=0.5))
    assert never.after.error_rate == 0.0
    assert half.after.error_rate == pytest.approx(0.5 + 0.5 * 0.25)


def test_what_two_failures_tell_is_only_roughly_known() -> None:
    """The interval of the error rate holds what the share may be (Wilson: 34% to 100% of 2), and a warning counts."""
    spans = [s for t in range(1, 41) for s in request(t, failed="wp" if t < 3 else "")]
    found = predict(spans, "pricing", error_rate=0.1)
    change = entry(found).change
    assert change is not None
    assert change.error_rate.estimate == pytest.approx(0.1 * 38 / 40)
    assert change.error_rate.low == pytest.approx(0.342 * 0.1 * 38 / 40, abs=0.01)
    thin = next(w for w in found.warnings if w.code == "thin_propagation")
    assert "web op → pricing op (2 seen)" in thin.message
    many = [s for t in range(1, 41) for s in request(t, failed="wp" if t < 25 else "")]
    assert "thin_propagation" not in [w.code for w in predict(many, "pricing", error_rate=0.1).warnings]


def test_unseen_propagation_is_assumed_and_said() -> None:
    """Where no call ever failed, every error is taken to fail the caller, with a warning that names the pair."""
    found = predict(request(), "pricing", error_rate=0.2)
    assert entry(found).after.error_rate == pytest.approx(0.2)
    assert [(w.code, "web op → pricing op" in w.message) for w in found.warnings] == [("assumed_propagation", True)]
    assert predict(request(), "pricing", delay=5).warnings == []


def test_errors_of_several_calls_add_up_independently() -> None:
    """Two calls that each may fail leave the request alive only if both hold."""
    spans = [*request(), Span(9, 1, "pricing", 91 * MS, 92 * MS)]
    assert entry(predict(spans, "pricing", error_rate=0.1)).after.error_rate == pytest.approx(1 - 0.9**2)


def test_unused_target_has_no_entries_but_a_warning() -> None:
    """A known service without usable requests is no data, not an all-clear."""
    found = predict(request(), "ledger", delay=5)
    assert (found.entries, [w.code for w in found.warnings]) == ([], ["no_requests"])
    torn = predict([Span(1, None, "web", 0, 9), Span(2, 77, "pricing", 1, 2)], "pricing", delay=5)
    assert {w.code for w in torn.warnings} == {"no_requests", "incomplete_traces"}


@pytest.mark.parametrize(
    "given", [{"delay": "-1ns"}, {"error_rate": 1.5}, {"exposure": -0.1}, {"exposure": float("nan")}]
)
def test_impossible_scenarios_are_refused(given: dict[str, Any]) -> None:
    """A negative delay or a share outside 0 to 1 is one clear sentence."""
    with pytest.raises(UsageError):
        make_scenario("pricing", **given)


@pytest.mark.parametrize("size", [1, 7, 100, 999])
@pytest.mark.parametrize("exposure", [0.0, 0.3, 1.0])
def test_quantiles_are_those_of_numpy(size: int, exposure: float) -> None:
    """The mixture's quantiles equal numpy's weighted ones, of the type without interpolation."""
    rng = np.random.default_rng(size)
    before = rng.integers(0, 1_000, size)
    after = before + rng.integers(0, 1_000, size)
    both, weights = np.concatenate((before, after)), np.repeat([10 - round(10 * exposure), round(10 * exposure)], size)
    kept = weights > 0
    wanted = np.quantile(both[kept], (0.5, 0.95, 0.99), method="inverted_cdf", weights=weights[kept])
    nobody = np.zeros(size, dtype=np.bool_)
    mixed = Population.mixture(before, after, nobody, np.zeros(size), np.zeros(size, dtype=np.uint8), exposure).order()
    assert [mixed.quantile(share) for share in QUANTILES.values()] == wanted.tolist()


def recorded(*plants: Plant, requests: int = 4_000) -> list[Linked]:
    """Give requests of the simulated shop, the same ones for every plant."""
    made = generate(
        shop(plants=plants), requests=requests, seed=11, start_ns=1_780_000_000 * 10**9, duration_ns=3_600 * 10**9
    )
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        store.append([made.decoded()])
        return list(linked_partitions(cursor, open_window(cursor, Period(), None)))


@pytest.fixture(scope="module")
def healthy() -> list[Linked]:
    """Give the shop without any plant."""
    return recorded()


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("pricing", "ComputeQuote"), ("catalog", "GetProduct"), ("recommendation", "ListRecommendations"),
        ("inventory", "CheckStock"), ("notifications", "process orders"),
    ],
)  # fmt: skip
def test_prediction_equals_what_then_happens(healthy: list[Linked], service: str, operation: str) -> None:
    """A constant delay planted into the same requests gives the predicted mean and percentiles of every entry point."""
    found = what_if(over(healthy), make_scenario(service, operation, delay="50ms"))
    slower = recorded(Plant(service, operation, self_ms=50.0))
    truth = what_if(over(slower), make_scenario(service, operation))
    really = {(e.service, e.operation): e.before for e in truth.entries}
    assert len(really) == len(found.entries) == 5
    for predicted in found.entries:
        happened = really[predicted.service, predicted.operation]
        for metric in ("mean", "p50", "p95", "p99"):
            assert getattr(predicted.after, metric) == pytest.approx(getattr(happened, metric), rel=0.001)


@pytest.mark.parametrize(
    ("service", "operation"),
    [("payment", "Charge"), ("recommendation", "ListRecommendations"), ("catalog", "GetProduct")],
)
def test_predicted_errors_are_near_what_then_happens(healthy: list[Linked], service: str, operation: str) -> None:
    """Planted failures reach the entry points at the predicted rate, within the chance of 4,000 requests."""
    found = what_if(over(healthy), make_scenario(service, operation, error_rate=0.1))
    failing = recorded(Plant(service, operation, error_rate=0.1))
    truth = what_if(over(failing), make_scenario(service, operation))
    really = {(e.service, e.operation): e.before.error_rate for e in truth.entries}
    for predicted in found.entries:
        happened = really[predicted.service, predicted.operation]
        assert abs(predicted.after.error_rate - happened) < 4 * np.sqrt(0.1 * 0.9 / predicted.requests)


MANY = 40_000  # where chance decides who is hit, few requests differ by more than the prediction errs


@pytest.fixture(scope="module")
def large() -> list[Linked]:
    """Give many requests of the shop without any plant."""
    return recorded(requests=MANY)


def truth_of(*plants: Plant, requests: int = 4_000) -> dict[tuple[str, str], model.Outlook]:
    """Give how the shop's entry points really fare with these plants."""
    found = what_if(over(recorded(*plants, requests=requests)), make_scenario("pricing"))
    return {(e.service, e.operation): e.before for e in found.entries}


@pytest.mark.parametrize("service", ["pricing", "payment"])
def test_a_part_of_the_requests_is_hit_as_predicted(large: list[Linked], service: str) -> None:
    """Where three in ten requests really are slowed, latency is within 3% of the mixture."""
    operation = {"pricing": "ComputeQuote", "payment": "Charge"}[service]
    found = what_if(over(large), make_scenario(service, operation, delay="50ms", exposure=0.3))
    really = truth_of(Plant(service, operation, share=0.3, self_ms=50.0), requests=MANY)
    for predicted in found.entries:
        happened = really[predicted.service, predicted.operation]
        for metric in ("mean", "p50", "p95", "p99"):
            assert getattr(predicted.after, metric) == pytest.approx(getattr(happened, metric), rel=0.03)


def test_a_delay_of_a_whole_service_hits_each_of_its_calls(healthy: list[Linked]) -> None:
    """A service with several operations is slower in all of them, also where one request calls it repeatedly."""
    found = what_if(over(healthy), make_scenario("inventory", delay="20ms"))
    really = truth_of(Plant("inventory", "CheckStock", self_ms=20.0), Plant("inventory", "Reserve", self_ms=20.0))
    for predicted in found.entries:
        happened = really[predicted.service, predicted.operation]
        for metric in ("mean", "p50", "p95", "p99"):
            assert getattr(predicted.after, metric) == pytest.approx(getattr(happened, metric), rel=0.001)


def test_a_distribution_is_predicted_like_what_then_happens(large: list[Linked]) -> None:
    """Other draws of the same distribution: means within 2%, percentiles within 4%."""
    found = what_if(over(large), make_scenario("pricing", "ComputeQuote", delay="lognormal(40ms,0.5)"))
    mean = 40.0 * np.exp(0.125)
    really = truth_of(Plant("pricing", "ComputeQuote", self_ms=float(mean), self_sigma=0.5), requests=MANY)
    assert found.scenario.delay_ms == pytest.approx(mean)
    for predicted in found.entries:
        happened = really[predicted.service, predicted.operation]
        assert predicted.after.mean == pytest.approx(happened.mean, rel=0.02)
        for metric in ("p50", "p95", "p99"):
            assert getattr(predicted.after, metric) == pytest.approx(getattr(happened, metric), rel=0.04)


@pytest.mark.parametrize(("service", "operation"), [("payment", "Charge"), ("pricing", "ComputeQuote")])
def test_predicted_errors_are_within_two_points(large: list[Linked], service: str, operation: str) -> None:
    """A tenth of the calls of four in ten requests fail, here and there."""
    found = what_if(over(large), make_scenario(service, operation, error_rate=0.1, exposure=0.4))
    really = truth_of(Plant(service, operation, share=0.4, error_rate=0.1), requests=MANY)
    assert max(entry.after.error_rate - entry.before.error_rate for entry in found.entries) > 0.03
    for predicted in found.entries:
        happened = really[predicted.service, predicted.operation].error_rate
        assert predicted.after.error_rate == pytest.approx(happened, abs=0.02)


def test_partitions_change_nothing() -> None:
    """One partition or many, kept in memory or not: the same answer to the last digit."""
    made = generate(shop(plants=()), requests=600, seed=5, start_ns=1_780_000_000 * 10**9, duration_ns=10**12)
    scenario = make_scenario("payment", delay="exponential(9ms)", error_rate=0.1, exposure=0.4)
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        store.append([made.decoded()])
        window = open_window(cursor, Period(), None)
        answers = [
            what_if(lambda reduce, size=size: reduced(cursor, window, reduce, size), scenario).to_dict()  # type: ignore[misc]
            for size in (1_000_000, 500)
        ]
    assert answers[0] == answers[1]


def test_the_largest_delay_keeps_the_objectives_and_more_does_not(healthy: list[Linked]) -> None:
    """At the answer every objective of latency is kept; above its precision one is broken, the one that it names."""
    slos = [parse_objective(text) for text in ("POST /checkout: p99<400ms", "mean<200ms", "error_rate<50%")]
    for given in ({}, {"delay": "lognormal(1ms,0.5)", "exposure": 0.5}):
        asked = make_scenario("pricing", **given, largest="delay", objectives=True)
        found = what_if(over(healthy), asked, slos)
        largest = found.largest
        assert largest is not None
        assert largest.value is not None
        assert largest.limited_by is not None
        assert found.scenario.delay_ms == pytest.approx(largest.value)
        assert all(budget.kept_after for budget in found.budgets)
        more = asked.delay.scaled((largest.value + largest.precision) * MS)
        broken = what_if(over(healthy), replace(asked, delay=more, search=None), slos)
        assert largest.limited_by.slo in [b.slo for b in broken.budgets if not b.kept_after]


def test_the_largest_exposure_keeps_the_objectives_and_more_does_not(healthy: list[Linked]) -> None:
    """As with delays; it is known to a millionth."""
    slos = [parse_objective("POST /checkout: p99<330ms"), parse_objective("POST /cart: mean<120ms")]
    found = what_if(over(healthy), make_scenario("pricing", delay="100ms", largest="exposure", objectives=True), slos)
    assert found.largest is not None
    assert found.largest.value is not None
    assert 0 < found.largest.value < 0.9
    assert all(budget.kept_after for budget in found.budgets)
    more = what_if(over(healthy), make_scenario("pricing", delay="100ms", exposure=found.largest.value + 2e-6), slos)
    assert [b.slo for b in more.budgets if not b.kept_after] == [found.largest.limited_by.slo]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("service", "given", "slo", "reason"),
    [
        ("pricing", {"largest": "delay"}, "p50<1ms", "without any delay already"),
        ("notifications", {"largest": "delay"}, "GET /: p99<10s", "No delay up to 10 minutes"),
        ("pricing", {"largest": "delay"}, "error_rate<1%", "No objective is about latency"),
        ("pricing", {"largest": "exposure", "delay": "5ms"}, "p50<1ms", "No exposure from 0% to 100%"),
    ],
)
def test_where_there_is_no_largest_the_reason_is_told(
    healthy: list[Linked], service: str, given: dict[str, Any], slo: str, reason: str
) -> None:
    """Null is no zero: what nothing keeps, and what nothing breaks, has no largest."""
    found = what_if(over(healthy), make_scenario(service, **given, objectives=True), [parse_objective(slo)])
    assert found.largest is not None
    assert found.largest.value is None
    assert reason in (found.largest.reason or "")


def test_budgets_say_how_long_they_last() -> None:
    """Three of a hundred slow requests spend a budget of one in a hundred three times as fast as planned."""
    spans = [span for trace in range(1, 101) for span in request(trace)]
    slo = parse_objective("web: latency<110ms for 99% in 30d")
    linked = linked_of(spans)
    found = what_if(over([linked]), make_scenario("pricing", delay="30ms", exposure=0.03), [slo])
    (budget,) = found.budgets
    assert (budget.before, budget.after, budget.kept_before, budget.kept_after) == (100.0, 130.0, True, False)
    assert (budget.bad_fraction_before, budget.budget) == (0.0, pytest.approx(0.01))
    assert budget.burn_rate_after == pytest.approx(3.0)
    assert (budget.window_hours, budget.exhausted_in_hours) == (720.0, pytest.approx(240.0))
    bound = what_if(over([linked]), make_scenario("pricing", delay="30ms"), [parse_objective("p99<=130ms")])
    assert [b.kept_after for b in bound.budgets if b.entry.service == "web"] == [True]
    bound = what_if(over([linked]), make_scenario("pricing", delay="30ms"), [parse_objective("p99<130ms")])
    assert [b.kept_after for b in bound.budgets if b.entry.service == "web"] == [False]


def test_an_objective_of_an_idle_entry_point_is_named() -> None:
    """Nothing is said about what no request enters."""
    slo = parse_objective("pricing: p99<1s")
    found = what_if(over([linked_of(request())]), make_scenario("pricing", delay="5ms"), [slo])
    assert (found.budgets, [w.code for w in found.warnings]) == ([], ["objective_without_requests"])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "What changes"), ({"service": "a", "flag": "f"}, "Suppose one thing"),
        ({"flag": "f", "delay": "5ms"}, "leave them out"), ({"flag": "f", "operation": "o"}, "leave them out"),
        ({"service": "a", "largest": "delay"}, "Add an objective"),
        ({"service": "a", "largest": "error", "objectives": True}, "largest delay or exposure"),
        ({"service": "a", "largest": "exposure", "objectives": True}, "exposure to what"),
        ({"service": "a", "largest": "exposure", "objectives": True, "exposure": 0.5}, "give none"),
        ({"service": "a", "largest": "delay", "objectives": True, "delay": "5ms"}, "give none, or a distribution"),
        ({"flag": "f", "largest": "delay", "objectives": True}, "no delay to look for"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(given: dict[str, Any], sentence: str) -> None:
    """One sentence says what to leave out or to add."""
    with pytest.raises(UsageError, match=sentence):
        make_scenario(**given)
