"""What callers name and that sent no spans is unknown, not safe; readers of a flag that does not exist; cohorts."""

from collections.abc import Iterator

import pytest

from traceguard import model, pipeline
from traceguard.errors import UnknownNameError, UsageError
from traceguard.graph import build
from traceguard.simulate.generate import generate
from traceguard.simulate.shop import shop
from traceguard.store import Store, open_store
from traceguard.units import Period

_SPANS = """
INSERT INTO spans BY NAME
SELECT printf('%032x', trace) AS trace_id, printf('%016x', id) AS span_id,
       CASE WHEN parent > 0 THEN printf('%016x', parent) END AS parent_span_id, service, operation, kind,
       1000000 * id AS start_ns, 100000000 - 2000000 * id AS dur_ns, 'unset' AS status, 0 AS flags, attributes,
       0 AS dropped_attributes, 0 AS dropped_events, 0 AS dropped_links, false AS evaluation_only,
       0 AS end_before_start_ns
FROM (VALUES
    (1, 1, 0, 'frontend', 'GET /cart', 'server', '{"tenant.id": "acme"}'),
    (1, 2, 1, 'frontend', 'GetCart', 'client', '{"rpc.service": "CartService"}'),
    (1, 3, 2, 'cartservice', 'GetCart', 'server', '{}'),
    (1, 4, 3, 'cartservice', 'HGET', 'client', '{"db.system": "redis", "server.address": "redis-cart"}'),
    (2, 1, 0, 'frontend', 'GET /cart', 'server', '{"tenant.id": "umbrella"}'),
    (2, 2, 1, 'frontend', 'GetCart', 'client', '{"rpc.service": "CartService"}'),
    (2, 3, 2, 'cartservice', 'GetCart', 'server', '{}'),
    (3, 1, 0, 'frontend', 'GET /', 'server', '{"tenant.id": "umbrella"}'),
    (3, 2, 1, 'frontend', 'GetAds', 'client', '{"peer.service": "adservice"}'),
    (4, 1, 0, 'frontend', 'GET /', 'server', '{}')
) t(trace, id, parent, service, operation, kind, attributes)
"""


@pytest.fixture
def boutique() -> Iterator[Store]:
    """Four requests: one cart comes to its store, another does not; the ads' service sends no spans."""
    with open_store(":memory:", mode="write") as store:
        with store.cursor() as cursor:
            cursor.execute(_SPANS)
        yield store


def ask(store: Store, **question: object) -> model.BlastRadius:
    """The document of a blast radius."""
    return pipeline.blast_radius(store, **question).document  # type: ignore[arg-type]


def unknown(found: model.BlastRadius) -> dict[str, tuple[list[str], int, float]]:
    """Who calls it, how often, and from which part of the target's requests."""
    return {u.service: (u.called_by, u.calls, u.fraction) for u in found.unknown}


def test_the_cart_reaches_its_store(boutique: Store) -> None:
    """A Redis that sends no spans is known from its caller; half of the cart's requests come there."""
    found = ask(boutique, service="cartservice")
    assert unknown(found) == {"redis:redis-cart": (["cartservice"], 1, 0.5)}
    message = next(w.message for w in found.warnings if w.code == "unseen_services")
    assert "redis:redis-cart (called by cartservice)" in message
    assert "unknown, not safe" in message


def test_only_what_lies_at_or_below_the_target_is_listed(boutique: Store) -> None:
    """An answered call names nobody unknown; what a caller above calls besides is not reached."""
    assert unknown(ask(boutique, service="frontend")) == {
        "redis:redis-cart": (["cartservice"], 1, 0.25),
        "adservice": (["frontend"], 1, 0.25),
    }
    assert "adservice" not in unknown(ask(boutique, service="cartservice"))


def test_unknown_systems_are_those_of_the_service_graph() -> None:
    """Names and callers of the shop's databases, caches and other systems are the graph's inferred nodes."""
    made = generate(shop(plants=()), requests=300, seed=2, start_ns=1_780_000_000 * 10**9, duration_ns=600 * 10**9)
    with open_store(":memory:", mode="write") as store:
        store.append([made.decoded()])
        found = ask(store, service="frontend").unknown
        with store.cursor() as cursor:
            graph = build(cursor, Period())
    inferred = {name for name, attributes in graph.nodes(data=True) if attributes["inferred"]}
    assert {u.service for u in found} == inferred
    assert {(c, u.service) for u in found for c in u.called_by} == {(a, b) for a, b in graph.edges if b in inferred}
    assert {u.service: u.calls for u in found} == {name: graph.nodes[name]["calls"] for name in inferred}


def test_a_flag_that_does_not_exist_reaches_by_its_readers(boutique: Store) -> None:
    """Every request with a call of a reader, and everything that those requests touch."""
    found = ask(boutique, flag="new-cart", read_by=["cartservice"])
    assert found.target == model.Target(service=None, operation=None, flag="new-cart", read_by=["cartservice"])
    assert {(e.operation, e.requests, e.fraction) for e in found.entries} == {("GET /cart", 2, 1.0)}
    assert [n.service for n in found.upstream] == ["frontend"]
    assert {n.service: n.depth for n in found.downstream}["cartservice"] == 1
    assert unknown(found) == {"redis:redis-cart": (["cartservice"], 1, 0.5)}
    both = ask(boutique, flag="new-cart=on", read_by=("cartservice", "frontend", "cartservice"))
    assert both.target.read_by == ["cartservice", "frontend"]
    assert both.reach.requests_fraction == 1.0


def test_readers_join_who_evaluates_the_flag_today(boutique: Store) -> None:
    """A flag that exists keeps its evaluations; readers come on top."""
    with boutique.cursor() as cursor:
        cursor.execute(
            "INSERT INTO flag_records BY NAME SELECT printf('%032x', 4) AS trace_id, printf('%016x', 1) AS span_id,"
            " 'theme' AS flag_key, 'dark' AS variant"
        )
    assert ask(boutique, flag="theme").reach.traces == 1
    assert ask(boutique, flag="theme=dark", read_by="cartservice").reach.traces == 3


def test_bad_readers_are_refused(boutique: Store) -> None:
    """An unknown flag says how to ask for one to come; an unknown reader gets the nearest names."""
    with pytest.raises(UnknownNameError, match=r"no flag named 'new-cart'.*--read-by SERVICE"):
        ask(boutique, flag="new-cart")
    with pytest.raises(UnknownNameError, match=r"'cartservce'; did you mean cartservice"):
        ask(boutique, flag="new-cart", read_by=["cartservce"])
    with pytest.raises(UsageError, match="--flag"):
        ask(boutique, service="frontend", read_by=["cartservice"])


def test_tenants_are_told_apart(boutique: Store) -> None:
    """By default where they occur; requests without a value are a row of their own."""
    (cohort,) = ask(boutique, service="cartservice").cohorts
    assert cohort.key == "tenant.id"
    rows = {v.value: (v.requests, v.reached, v.fraction, v.units) for v in cohort.values}
    assert rows == {"acme": (1, 1, 1.0, 1), "umbrella": (2, 1, 0.5, 1), None: (1, 0, 0.0, 0)}
    assert (cohort.more, cohort.total, cohort.reached) == (0, 2, 2)
    assert all(v.low <= v.fraction <= v.high for v in cohort.values)


def test_requests_of_nobody_known_are_pointed_out(boutique: Store) -> None:
    """Without users every trace counts as one, which the answer says."""
    assert "no_units" in [w.code for w in ask(boutique, service="cartservice").warnings]
    with boutique.cursor() as cursor:
        cursor.execute(
            "INSERT INTO correlations SELECT DISTINCT trace_id, span_id, 'user.id', 'u1' FROM spans"
            " WHERE parent_span_id IS NULL"
        )
    found = ask(boutique, service="cartservice")
    assert "no_units" not in [w.code for w in found.warnings]
    assert (found.reach.units, found.reach.units_fraction) == (1, 1.0)


def test_attributes_can_be_named(boutique: Store) -> None:
    """A key that no span has is a mistake; a named one takes the place of the default."""
    (cohort,) = ask(boutique, service="cartservice", attributes="peer.service").cohorts
    assert [(v.value, v.requests) for v in cohort.values] == [(None, 3), ("adservice", 1)]
    with pytest.raises(UsageError, match=r"'tenant.name'.*--attribute"):
        ask(boutique, service="cartservice", attributes=["tenant.name"])


def test_many_values_are_cut(boutique: Store) -> None:
    """The values with most reached requests are listed, the others counted."""
    with boutique.cursor() as cursor:
        cursor.execute("""
            INSERT INTO spans BY NAME
            SELECT printf('%032x', 100 + n) AS trace_id, printf('%016x', 1) AS span_id, 'cartservice' AS service,
                   'GetCart' AS operation, 'server' AS kind, n AS start_ns, 5 AS dur_ns, 'unset' AS status, 0 AS flags,
                   '{"tenant.id": "t' || n // 2 || '"}' AS attributes, 0 AS dropped_attributes, 0 AS dropped_events,
                   0 AS dropped_links, false AS evaluation_only, 0 AS end_before_start_ns
            FROM range(60) r(n)
        """)
    (cohort,) = ask(boutique, service="cartservice").cohorts
    assert len(cohort.values) == 20
    assert {v.reached for v in cohort.values} == {2}
    assert (cohort.more, cohort.total, cohort.reached) == (13, 32, 32)


def test_a_system_without_spans_is_asked_about_by_its_callers(boutique: Store) -> None:
    """A database is hit through the cart of one request in four; its caller is above it, and a warning says so."""
    found = ask(boutique, service="redis:redis-cart")
    assert [(e.operation, e.requests, e.fraction) for e in found.entries if e.fraction] == [("GET /cart", 2, 0.5)]
    assert [(n.service, n.depth) for n in found.upstream] == [("cartservice", 1), ("frontend", 2)]
    assert found.reach.traces == 1
    assert found.warnings[0].code == "inferred_system"
    assert "redis:redis-cart" not in unknown(found)


def test_a_slower_database_slows_its_callers(boutique: Store) -> None:
    """The delay is added to the calls that name it; the request that never comes there stays as it was."""
    found = pipeline.what_if(boutique, service="redis:redis-cart", delay="40ms").document
    (moved,) = (e for e in found.entries if e.before != e.after)
    assert moved.operation == "GET /cart"
    assert moved.after.mean - moved.before.mean == pytest.approx(20.0)
    assert found.warnings[0].code == "inferred_system"


def test_operations_of_a_system_are_not_known(boutique: Store) -> None:
    """It sent no spans, so there are none to name; a name that is nobody's stays unknown."""
    with pytest.raises(UsageError, match="sent no spans, so its operations"):
        ask(boutique, service="redis:redis-cart", operation="HGET")
    with pytest.raises(UnknownNameError, match=r"did you mean redis:redis-cart"):
        ask(boutique, service="redis:redis-crt")
