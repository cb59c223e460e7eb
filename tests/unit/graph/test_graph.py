"""The dependency graph against hand-made stores whose edges are known."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from builders.graphs import TRACE, Row, append, make_row

from traceguard.errors import UsageError
from traceguard.graph import build, edges_of, nodes_of
from traceguard.store import Store, open_store
from traceguard.units import Period


@pytest.fixture
def store() -> Iterator[Store]:
    """Give an empty store in memory."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


def graph_of(store: Store, rows: list[Row], period: Period | None = None, environment: str | None = None) -> Any:
    """Append the rows and build the graph."""
    append(store, rows)
    with store.cursor() as cursor:
        return build(cursor, period or Period(), environment)


def test_call_between_services_is_an_edge_whatever_lies_between(store: Store) -> None:
    """The caller's own client span does not come between it and the callee."""
    rows = [
        make_row("01", None, "frontend"),
        make_row("02", "01", "frontend", kind="client"),
        make_row("03", "02", "pricing", status="error", dur_ns=4_000_000),
    ]
    edge = {"calls": 1, "errors": 1, "kind": "sync", "p50_ms": 4.0, "p95_ms": 4.0}
    assert edges_of(graph_of(store, rows)) == [{"source": "frontend", "target": "pricing", **edge}]


def test_retried_spans_count_once_and_orphans_count(store: Store) -> None:
    """The spans of all nodes sum to the distinct spans of the window."""
    rows = [make_row("01", None, "frontend"), make_row("02", "01", "cart"), make_row("03", "99", "orphaned")]
    nodes = {node["id"]: node for node in nodes_of(graph_of(store, rows + rows))}
    assert {name: node["spans"] for name, node in nodes.items()} == {"cart": 1, "frontend": 1, "orphaned": 1}
    assert nodes["cart"]["calls"] == 1
    assert not nodes["cart"]["inferred"]


def test_messages_are_asynchronous(store: Store) -> None:
    """A consumer, and whatever a producer span is the parent of, is reached asynchronously."""
    rows = [
        make_row("01", None, "checkout"),
        make_row("02", "01", "checkout", kind="producer"),
        make_row("03", "02", "mailer", kind="consumer"),
        make_row("04", "02", "audit", kind="server"),
    ]
    edges = edges_of(graph_of(store, rows))
    assert {(e["target"], e["kind"]) for e in edges} == {("mailer", "async"), ("audit", "async")}


def test_span_link_is_an_asynchronous_edge_even_from_another_trace(store: Store) -> None:
    """A consumer that starts its own trace and links to the producer is tied to it once."""
    link = json.dumps([{"trace_id": TRACE, "span_id": "02"}, {"trace_id": TRACE, "span_id": "02"}])
    rows = [
        make_row("01", None, "checkout"),
        make_row("02", "01", "checkout", kind="producer"),
        make_row("03", None, "mailer", kind="consumer", trace_id="b" * 32, start_ns=5_000, links=link),
    ]
    append(store, rows)
    with store.cursor() as cursor:
        graph = build(cursor, Period(4_000, None))
    edges = edges_of(graph)
    assert [(e["source"], e["target"], e["kind"], e["calls"]) for e in edges] == [("checkout", "mailer", "async", 1)]
    assert graph.nodes["mailer"]["calls"] == 1


def test_one_pair_may_have_an_edge_of_each_kind(store: Store) -> None:
    """A pair joined both ways shows its synchronous numbers and lists two edges."""
    rows = [
        make_row("01", None, "a"),
        make_row("02", "01", "b"),
        make_row("03", "01", "b", kind="consumer"),
        make_row("04", "01", "b", kind="consumer"),
    ]
    graph = graph_of(store, rows)
    assert graph.edges["a", "b"]["kind"] == "sync"
    assert [(e["kind"], e["calls"]) for e in edges_of(graph)] == [("sync", 1), ("async", 2)]


@pytest.mark.parametrize(
    ("kind", "attributes", "node", "node_type", "edge_kind"),
    [
        ("client", {"db.system.name": "PostgreSQL", "db.namespace": "orders"}, "postgresql:orders", "database", "sync"),
        ("client", {"db.system": "mysql", "server.address": "db1"}, "mysql:db1", "database", "sync"),
        ("client", {"db.system.name": "redis", "db.namespace": "0", "server.address": "c"}, "redis:c", "cache", "sync"),
        ("producer", {"messaging.system": "kafka", "messaging.destination.name": "m"}, "kafka:m", "queue", "async"),
        ("client", {"service.peer.name": "bank", "server.address": "10.0.0.1"}, "bank", "external", "sync"),
        ("client", {"peer.service": "bank"}, "bank", "external", "sync"),
        ("client", {"server.address": "api.bank.example"}, "api.bank.example", "external", "sync"),
        ("client", {"rpc.service": "Bank"}, "Bank", "external", "sync"),
        ("unspecified", {"db.system": "mysql"}, "mysql", "database", "sync"),
    ],
)  # fmt: skip
def test_unanswered_call_infers_what_it_went_to(
    store: Store, kind: str, attributes: dict[str, str], node: str, node_type: str, edge_kind: str
) -> None:
    """A client span that no service answered names a database, cache, queue or external system, which has no spans."""
    rows = [
        make_row("01", None, "shop"),
        make_row("02", "01", "shop", kind=kind, attributes=json.dumps(attributes), status="error"),
    ]
    graph = graph_of(store, rows)
    found = graph.nodes[node]
    assert (found["type"], found["inferred"], found["spans"], found["errors"]) == (node_type, True, 0, 1)
    assert [(e["target"], e["kind"], e["errors"]) for e in edges_of(graph)] == [(node, edge_kind, 1)]


@pytest.mark.parametrize("attributes", [{}, {"http.request.method": "GET"}])
def test_unanswered_call_without_a_name_infers_nothing(store: Store, attributes: dict[str, str]) -> None:
    """Nobody is invented where the span does not say whom it called."""
    rows = [
        make_row("01", None, "shop"),
        make_row("02", "01", "shop", kind="client", attributes=json.dumps(attributes)),
        make_row("03", "01", "shop", kind="unspecified", attributes='{"server.address": "myself"}'),
    ]
    assert [node["id"] for node in nodes_of(graph_of(store, rows))] == ["shop"]


def test_answered_and_wrapped_calls_infer_nothing_twice(store: Store) -> None:
    """A client span that a service answered, or that wraps another client span, is not a call to something silent."""
    address = '{"server.address": "pricing.svc"}'
    rows = [
        make_row("01", None, "shop"),
        make_row("02", "01", "shop", kind="client", attributes=address),
        make_row("03", "02", "pricing"),
        make_row("04", "01", "shop", kind="client", attributes='{"rpc.service": "S3"}'),
        make_row("05", "04", "shop", kind="client", attributes='{"server.address": "s3.example"}'),
    ]
    assert {e["target"] for e in edges_of(graph_of(store, rows))} == {"pricing", "s3.example"}


def test_peer_that_is_a_known_service_stays_a_service(store: Store) -> None:
    """A call whose server span got lost points at the service that sent others."""
    rows = [
        make_row("01", None, "shop"),
        make_row("02", "01", "shop", kind="client", attributes='{"peer.service": "pricing"}'),
        make_row("03", None, "pricing", trace_id="b" * 32),
    ]
    graph = graph_of(store, rows)
    assert graph.nodes["pricing"]["type"] == "service"
    assert graph.edges["shop", "pricing"]["calls"] == 1
    assert graph.nodes["pricing"]["spans"] == 1


def test_evaluation_spans_count_but_are_no_calls(store: Store) -> None:
    """A span that only records a flag evaluation makes no edge, also when another service's library sent it."""
    rows = [make_row("01", None, "shop"), make_row("02", "01", "flags", evaluation_only=True)]
    graph = graph_of(store, rows)
    assert graph.nodes["flags"]["spans"] == 1
    assert graph.nodes["flags"]["calls"] == 0
    assert edges_of(graph) == []


def test_request_belongs_to_the_period_in_which_its_root_started(store: Store) -> None:
    """All spans of a trace follow its root, half-open."""
    rows = [
        make_row("01", None, "in", start_ns=100),
        make_row("02", "01", "in-later", start_ns=900),
        make_row("01", None, "out", start_ns=200, trace_id="b" * 32),
        make_row("02", "01", "out-earlier", start_ns=150, trace_id="b" * 32),
    ]
    assert [n["id"] for n in nodes_of(graph_of(store, rows, Period(100, 200)))] == ["in", "in-later"]


def test_environments_are_kept_apart(store: Store) -> None:
    """Naming an environment leaves the other's requests out."""
    rows = [
        make_row("01", None, "shop", environment="prod"),
        make_row("01", None, "shop", environment="staging", trace_id="b" * 32),
        make_row("02", "01", "cart", environment="staging", trace_id="b" * 32),
    ]
    assert {n["id"]: n["spans"] for n in nodes_of(graph_of(store, rows, environment="prod"))} == {"shop": 1}


def test_empty_store_has_an_empty_graph(store: Store) -> None:
    """No spans, no nodes, no error."""
    assert nodes_of(graph_of(store, [])) == []


def test_temporary_tables_do_not_outlive_the_call(store: Store) -> None:
    """A cursor can be used for a second graph and for anything else."""
    with store.cursor() as cursor:
        build(cursor, Period())
        build(cursor, Period())
        left = cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'graph_%'").fetchone()
    assert left == (0,)


def test_nodes_can_be_operations(store: Store) -> None:
    """At the level of operations nodes carry both names, and steps within a service are edges; inferred nodes stay."""
    rows = [
        make_row("01", None, "shop", operation="GET /cart"),
        make_row("02", "01", "shop", operation="SELECT", kind="client", attributes='{"db.system": "mysql"}'),
        make_row("03", "01", "pricing", operation="GET /price"),
        make_row("04", "01", "pricing", operation="GET /tax"),
    ]
    append(store, rows)
    with store.cursor() as cursor:
        graph = build(cursor, Period(), level="operation")
    assert {(e["source"], e["target"]) for e in edges_of(graph)} == {
        ("shop / GET /cart", "shop / SELECT"),
        ("shop / SELECT", "mysql"),
        ("shop / GET /cart", "pricing / GET /price"),
        ("shop / GET /cart", "pricing / GET /tax"),
    }
    found = {name: (a["service"], a["operation"], a["inferred"]) for name, a in graph.nodes(data=True)}
    assert found["pricing / GET /tax"] == ("pricing", "GET /tax", False)
    assert found["mysql"] == ("mysql", None, True)


def test_link_leads_to_the_operation_that_sent_the_message(store: Store) -> None:
    """A span link joins operations, also across requests."""
    link = json.dumps([{"trace_id": TRACE, "span_id": "01"}])
    rows = [
        make_row("01", None, "shop", operation="send", kind="producer"),
        make_row("02", None, "mailer", operation="mail", kind="consumer", trace_id="b" * 32, links=link),
    ]
    append(store, rows)
    with store.cursor() as cursor:
        graph = build(cursor, Period(), level="operation")
    assert [(e["source"], e["target"], e["kind"]) for e in edges_of(graph)] == [
        ("shop / send", "mailer / mail", "async")
    ]


def test_unknown_level_is_refused(store: Store) -> None:
    """Another level is answered with those that there are."""
    with store.cursor() as cursor, pytest.raises(UsageError, match="choose one of service, operation"):
        build(cursor, Period(), level="host")
