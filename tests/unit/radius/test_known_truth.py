"""Reach against what is known: a simulated shop's routing probabilities, a real shop's topology."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from traceguard import model
from traceguard.engine.local import linked_partitions, open_window
from traceguard.radius.names import Target
from traceguard.radius.reach import reach
from traceguard.simulate.generate import generate
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
        above = {s: {n.service for n in ask(store, service=s).upstream} for s in services}
    assert all("frontend" in found for service, found in above.items() if service != "frontend")
    assert above["cartservice"] == {"frontend", "checkoutservice"}
    assert above["frontend"] == set()
