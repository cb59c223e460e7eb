"""Reach against what is known: a simulated shop's routing probabilities, a real shop's topology."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from traceguard import model
from traceguard.engine.local import linked_partitions, open_window
from traceguard.radius.names import Target
from traceguard.radius.reach import reach
from traceguard.simulate.fleet import Fleet
from traceguard.simulate.generate import generate
from traceguard.simulate.random_fleet import random_fleet
from traceguard.simulate.shop import shop
from traceguard.store import Store, open_store
from traceguard.units import Period


def ask(store: Store, **target: str) -> model.BlastRadius:
    """Ask a store for a reach over all of its requests."""
    with store.cursor() as cursor:
        window = open_window(cursor, Period(), None)
        return reach(linked_partitions(cursor, window), Target(**target), Period())


@pytest.fixture(scope="module")
def simulated() -> Iterator[Store]:
    """Give 4,000 requests of the healthy simulated shop."""
    made = generate(shop(plants=()), requests=4_000, seed=5, start_ns=1_780_000_000 * 10**9, duration_ns=3_600 * 10**9)
    with open_store(":memory:", mode="write") as store:
        store.append([made.decoded()])
        yield store


@pytest.mark.parametrize(
    ("target", "entry", "probability"),
    [
        ({"service": "recommendation"}, "GET /", 0.8),
        ({"service": "recommendation"}, "GET /product/{id}", 0.5),
        ({"service": "cart"}, "GET /", 0.6),
        ({"service": "catalog", "operation": "SELECT products"}, "POST /cart", 0.25),
        ({"service": "payment"}, "POST /checkout", 1.0),
        ({"service": "notifications"}, "POST /checkout", 1.0),
    ],
)
def test_fraction_is_the_routing_probability(
    simulated: Store, target: dict[str, str], entry: str, probability: float
) -> None:
    """The part of an entry's requests that reach a service is the probability of calling it, within chance."""
    found = next(e for e in ask(simulated, **target).entries if e.operation == entry)
    within = 4 * math.sqrt(probability * (1 - probability) / found.requests)
    assert abs(found.fraction - probability) <= within


def probability(fleet: Fleet, at: tuple[str, str], target: str) -> float:
    """The chance that a run of an operation calls a service, by the fleet's own structure: calls are independent."""
    if at[0] == target:
        return 1.0
    operation = next(o for o in fleet.operations if (o.service, o.name) == at)
    missed = 1.0
    for call in (call for stage in operation.stages for call in stage):
        below = 1 - (1 - probability(fleet, (call.service, call.operation), target)) ** call.repetitions
        missed *= 1 - call.probability * below
    return 1 - missed


def test_intervals_hold_the_routing_probabilities_and_are_narrow() -> None:
    """Of all pairs of service and entry point of eight fleets about 95% of intervals hold the fleet's own number.

    Which calls a request makes has nothing to do with its user here: intervals are little wider than chance makes them.
    """
    held: Counter[bool] = Counter()
    widths = []
    for seed in range(8):
        fleet = shop(plants=()) if seed < 3 else random_fleet(seed, services=12, family=None)
        made = generate(fleet, requests=1_500, seed=seed, start_ns=1_780_000_000 * 10**9, duration_ns=3_600 * 10**9)
        with open_store(":memory:", mode="write") as store:
            store.append([made.decoded()])
            for service in (s.name for s in fleet.services):
                entries = ask(store, service=service).entries
                for seen in (e for e in entries if e.operation in {each.operation for each in fleet.entries}):
                    truth = probability(fleet, (seen.service, seen.operation), service)
                    if math.isclose(truth, 1):
                        assert seen.fraction == seen.high == 1.0
                        continue
                    held[seen.low <= truth <= seen.high] += 1
                    chance = 2 * 1.96 * math.sqrt(truth * (1 - truth) / seen.requests) + 4 / seen.requests
                    widths.append((seen.high - seen.low) / chance)
    assert held.total() >= 60
    assert held[True] / held.total() >= 0.9
    assert max(widths) < 1.2
    assert sum(widths) / len(widths) < 1.0


def test_reach_of_neighbours_is_the_routing_probability(simulated: Store) -> None:
    """Upward the part of a service's visits, downward that of the target's calls."""
    found = {n.service: n for n in ask(simulated, service="recommendation").downstream}
    assert found["catalog"].low <= 0.4 <= found["catalog"].high
    above = {n.service: n for n in ask(simulated, service="recommendation").upstream}["frontend"]
    truth = 0.34 * 0.8 + 0.36 * 0.5
    assert above.low <= truth <= above.high
    assert above.high - above.low < 0.04


def test_a_tolerated_call_is_a_gate_and_others_are_not(simulated: Store) -> None:
    """The shop's frontend goes on without recommendations; a failed charge fails the order."""
    found = ask(simulated, service="recommendation")
    gate = next(g for g in found.gates if (g.source, g.target) == ("frontend", "recommendation"))
    assert gate.kind == "fallback"
    assert gate.errors_seen >= 3
    assert gate.stopped == gate.errors_seen
    charge = ask(simulated, service="payment")
    assert [g for g in charge.gates if g.kind != "async"] == []
    step = next(e for e in charge.edges if (e.source, e.target) == ("checkout", "payment"))
    assert step.errors_seen >= 1
    assert step.stopped == 0
    message = next(g for g in ask(simulated, service="notifications").gates if g.kind == "async")
    assert (message.source, message.target) == ("checkout", "notifications")
    assert message.stopped == message.errors_seen


def test_real_topology_is_found(shared_data: Path) -> None:
    """On Online Boutique the frontend is above every service, and the cart serves the frontend and the checkout."""
    recording = shared_data / "nezha" / "onlineboutique_2022-08-23.parquet"
    if not recording.exists():
        pytest.skip(f"{recording.name} is not among the shared recordings")
    with open_store(":memory:", mode="write") as store:
        with store.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO spans BY NAME
                SELECT TraceID AS trace_id, SpanID AS span_id, nullif(ParentID, 'root') AS parent_span_id,
                       regexp_replace(PodName, '-[0-9a-f]+-[0-9a-z]+$', '') AS service, OperationName AS operation,
                       'unspecified' AS kind, StartTimeUnixNano AS start_ns,
                       EndTimeUnixNano - StartTimeUnixNano AS dur_ns, 'unset' AS status, 0 AS flags,
                       0 AS dropped_attributes, 0 AS dropped_events, 0 AS dropped_links, false AS evaluation_only,
                       0 AS end_before_start_ns
                FROM read_parquet($recording) WHERE hash(TraceID) % 10 = 0
                """,
                {"recording": str(recording)},
            )
            services = [row[0] for row in cursor.execute("SELECT DISTINCT service FROM spans").fetchall()]
        answers = {s: ask(store, service=s) for s in services}
    above = {s: {n.service for n in found.upstream} for s, found in answers.items()}
    assert all("frontend" in found for service, found in above.items() if service != "frontend")
    assert above["cartservice"] == {"frontend", "checkoutservice"}
    assert above["frontend"] == set()
    assert {n.service for n in answers["frontend"].downstream} == set(services) - {"frontend"}
    assert all(e.low <= e.fraction <= e.high for found in answers.values() for e in found.entries)
    # Nothing in this recording names the carts' Redis, and the answer must not pretend that there is none.
    assert "nothing_seen_below" in [w.code for w in answers["cartservice"].warnings]
