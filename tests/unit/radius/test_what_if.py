"""What-if: delays and errors on requests whose outcome is known, and on a simulated shop that really got worse."""

from typing import Any

import numpy as np
import pytest
from builders.requests import Span, linked_of

from traceguard import model
from traceguard.engine.local import linked_partitions, open_window
from traceguard.errors import UsageError
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


def recorded(*plants: Plant) -> list[Linked]:
    """Give 4,000 requests of the simulated shop, the same ones for every plant."""
    made = generate(
        shop(plants=plants), requests=4_000, seed=11, start_ns=1_780_000_000 * 10**9, duration_ns=3_600 * 10**9
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
