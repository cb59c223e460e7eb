"""The queries that ship: their comments, their parameters, and what they answer on a small shop."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from traceguard.errors import UnknownNameError, UsageError
from traceguard.store import Store, queries


def _run(store: Store, name: str, **params: Any) -> list[dict[str, Any]]:
    with store.cursor() as cursor:
        return queries.run(cursor, name, params).to_pylist()


def test_every_file_is_a_query_and_every_query_has_a_file() -> None:
    """Nothing lies in queries/read that the registry does not offer."""
    files = [file for file in (queries.folder() / "read").rglob("*") if file.is_file()]
    assert sorted(file.relative_to(queries.folder() / "read").as_posix() for file in files) == [
        f"{name}.sql" for name in queries.names()
    ]


@pytest.mark.parametrize("name", queries.names())
def test_query_is_prepared_against_the_real_schema(store: Store, name: str) -> None:
    """A query runs on an empty store with only what it requires, and answers with named columns."""
    query = queries.describe(name)
    with store.cursor() as cursor:
        table = queries.run(cursor, name, {p.name: "1" for p in query.parameters if not p.optional})
    assert table.column_names
    assert table.num_rows == (name == "totals")


@pytest.mark.parametrize("name", queries.names())
def test_query_says_what_a_row_is_and_declares_its_parameters(name: str) -> None:
    """The first line is a sentence, and parameters in the SQL are exactly those in the comment."""
    query = queries.describe(name)
    assert query.description.endswith(".")
    statement = "\n".join(line for line in query.text.splitlines() if not line.startswith("--"))
    assert set(re.findall(r"\$(\w+)", statement)) == {parameter.name for parameter in query.parameters}
    assert query.text == queries.text(name)
    assert statement.rstrip().count(";") == 1


@pytest.mark.parametrize("name", queries.names())
def test_optional_parameters_take_what_a_user_types(shop: Store, name: str) -> None:
    """Every parameter can be given at once, as text, without an error."""
    values = {"text": "'; DROP TABLE spans; --", "integer": "3", "time": "2026-01-01T00:00:00Z"}
    _run(shop, name, **{p.name: values[p.type] for p in queries.describe(name).parameters})
    with shop.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM spans").fetchall() == [(27,)]


def test_unknown_query_offers_the_nearest() -> None:
    """A misspelt name is answered with the names it may have meant."""
    with pytest.raises(UnknownNameError, match="slowest_operations"):
        queries.describe("slowest_operation")


def test_parameters_are_checked(shop: Store) -> None:
    """Unknown and missing parameters and values of the wrong type are named."""
    with pytest.raises(UsageError, match="no parameter 'servce'; it takes service"):
        _run(shop, "slowest_operations", servce="shop")
    with pytest.raises(UsageError, match="needs the parameter value"):
        _run(shop, "requests_of")
    with pytest.raises(UsageError, match=r"limit .* is a whole number, not 'many'"):
        _run(shop, "slowest_operations", limit="many")
    with pytest.raises(UsageError, match="is not a time"):
        _run(shop, "services", since="yesterday")
    for limit in ("-1", str(2**63)):
        with pytest.raises(UsageError, match=rf"limit .*: 0 or more, not {limit}"):
            _run(shop, "slowest_operations", limit=limit)
    assert _run(shop, "slowest_operations", limit="0") == []


@pytest.fixture
def split(store: Store, make_span: Callable[..., dict[str, Any]], make_batch: Callable[..., Any]) -> Store:
    """Two requests and a trace without its root, each with a failed call into a bank that names no environment."""
    for trace, environment in ((1, "prod"), (2, "test"), (3, "prod")):
        root = make_span(trace, 1, operation=f"GET /{trace}", environment=environment)
        middle = make_span(trace, 2, 1, service="orders", environment=environment)
        # An evaluation's extra span without a parent is no root, however early it starts.
        hook = make_span(trace, 0, operation="evaluate", evaluation_only=True, start_ns=1, environment="hooks")
        pay = make_span(trace, 900, 2, service="bank", status="error", environment=None)
        store.append([make_batch([hook, root, middle, pay] if trace < 3 else [middle, pay])])
    return store


def _bank(rows: list[dict[str, Any]], count: str) -> int:
    return sum(row[count] for row in rows if "bank" in (row.get("service"), row.get("target")))


CUT = {
    "dependency_edges": "calls", "error_origins": "errors", "operations": "spans", "services": "spans",
    "slowest_operations": "count",
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_a_request_belongs_whole_to_its_roots_period(
    split: Store, make_span: Callable[..., dict[str, Any]], name: str
) -> None:
    """Bounds between a root and its calls keep or leave out the request with every span of it; they are half-open."""
    first, second, third = (make_span(trace, number)["start_ns"] for trace, number in ((1, 1), (2, 1), (3, 2)))
    assert _bank(_run(split, name), CUT[name]) == 3
    assert _bank(_run(split, name, until=first + 1), CUT[name]) == 1
    assert _bank(_run(split, name, until=first), CUT[name]) == 0
    assert _bank(_run(split, name, since=first + 1), CUT[name]) == 2
    assert _bank(_run(split, name, since=second, until=third), CUT[name]) == 1
    assert _bank(_run(split, name, since=third, until=third + 1), CUT[name]) == 1


@pytest.mark.parametrize("name", CUT)
def test_a_request_belongs_whole_to_its_roots_environment(split: Store, name: str) -> None:
    """A service that states no environment stays in the requests that it served."""
    found = {env: _bank(_run(split, name, environment=env), CUT[name]) for env in ("prod", "test", "hooks", "none")}
    assert found == {"prod": 2, "test": 1, "hooks": 0, "none": 0}


def test_totals_entries_and_incomplete_traces_follow_the_same_rule(
    split: Store, make_span: Callable[..., dict[str, Any]]
) -> None:
    """The queries without a service count whole requests too."""
    root = make_span(2, 1)["start_ns"]
    window = {"since": root, "until": root + 1}
    (totals,) = _run(split, "totals", **window)
    assert (totals["traces"], totals["spans"], totals["services"]) == (1, 4, 3)
    assert [r["operation"] for r in _run(split, "entry_points", **window)] == ["GET /2"]
    assert _run(split, "incomplete_traces", **window) == []
    assert [r["spans"] for r in _run(split, "incomplete_traces", since=root + 1)] == [2]
    assert _bank(_run(split, "versions_seen", environment="prod"), "spans") == 2


def test_flag_evaluations_are_listed_once(shop: Store) -> None:
    """An evaluation that came in two forms and three times is one row with all that is known of it."""
    rows = _run(shop, "flag_evaluations")
    assert [(r["flag_key"], r["variant"], r["context_id"], r["provider"]) for r in rows] == [
        ("new-prices", "on", "u1", "flagd"),
        ("new-prices", "off", "u2", None),
    ]
    assert rows[0]["time"] == "2023-11-14T22:13:20.000000Z"
    assert [r["variant"] for r in _run(shop, "flag_evaluations", variant="off")] == ["off"]


def test_flags_count_traces_and_contexts(shop: Store) -> None:
    """A row per level, duplicates not counted."""
    rows = _run(shop, "flags")
    assert [(r["variant"], r["evaluations"], r["traces"], r["contexts"]) for r in rows] == [
        ("off", 1, 1, 1),
        ("on", 1, 1, 1),
    ]


def test_services_count_distinct_spans(shop: Store) -> None:
    """The sum over services is the number of distinct spans, whatever kind they are."""
    rows = {r["service"]: r for r in _run(shop, "services")}
    assert {name: row["spans"] for name, row in rows.items()} == {"bank": 1, "orders": 1, "prices": 3, "shop": 4}
    assert rows["prices"]["versions"] == "7, 8"
    assert rows["prices"]["environments"] == "prod, test"
    assert [r["service"] for r in _run(shop, "services", environment="test")] == ["prices"]


def test_totals_count_distinct_spans(shop: Store) -> None:
    """One row for the whole store, or for one environment of it."""
    (row,) = _run(shop, "totals")
    assert (row["traces"], row["spans"], row["services"]) == (3, 9, 4)
    assert [r["spans"] for r in _run(shop, "totals", environment="test")] == [1]


def test_slowest_operations_come_slowest_first(shop: Store) -> None:
    """Quantiles are over distinct spans, in milliseconds, and a service narrows them."""
    rows = _run(shop, "slowest_operations")
    assert [r["operation"] for r in rows][:3] == ["GET /", "POST /order", "Quote"]
    quote = _run(shop, "slowest_operations", service="prices")
    assert [(r["count"], r["p50_ms"]) for r in quote] == [(3, 4.0)]
    assert len(_run(shop, "slowest_operations", limit=2)) == 2


def test_operations_leave_out_spans_that_only_record_an_evaluation(shop: Store) -> None:
    """A hook's extra span is no operation of a service."""
    assert "feature_flag.evaluation" not in {r["operation"] for r in _run(shop, "operations")}


def test_versions_seen_by_service(shop: Store) -> None:
    """A row per service, version and environment."""
    rows = _run(shop, "versions_seen", service="prices")
    assert sorted((r["version"] or "", r["environment"], r["spans"]) for r in rows) == [
        ("", "test", 1), ("7", "prod", 1), ("8", "prod", 1),
    ]  # fmt: skip


def test_dependency_edges_know_queues(shop: Store) -> None:
    """Calls between services are counted once; what goes through a queue is asynchronous."""
    rows = _run(shop, "dependency_edges")
    assert [(r["source"], r["target"], r["kind"], r["calls"], r["errors"]) for r in rows] == [
        ("orders", "bank", "sync", 1, 1), ("shop", "orders", "async", 1, 1), ("shop", "prices", "sync", 2, 0),
    ]  # fmt: skip


def test_error_origins_are_the_deepest_failures(shop: Store) -> None:
    """An error is charged where it began, and to nobody who only passed it on."""
    rows = _run(shop, "error_origins")
    assert [(r["service"], r["operation"], r["errors"], r["usual_message"]) for r in rows] == [
        ("bank", "Pay", 1, "no money"), ("shop", "POST /order", 1, None),
    ]  # fmt: skip


def test_requests_of_a_user(shop: Store) -> None:
    """One person's traces are found by an attribute and by a flag's context alike, each once."""
    rows = _run(shop, "requests_of", value="u2")
    assert [(r["operation"], r["found_in"], r["spans"], r["status"]) for r in rows] == [
        ("POST /order", "feature_flag.context.id, user.id", 5, "error"),
    ]  # fmt: skip
    assert _run(shop, "requests_of", value="u2", key="session.id") == []
    assert [r["operation"] for r in _run(shop, "requests_of", value="u1")] == ["GET /"]


def test_incomplete_traces_are_those_without_a_root(shop: Store) -> None:
    """A trace whose parent never came is listed with what is missing."""
    rows = _run(shop, "incomplete_traces")
    assert [(r["spans"], r["roots"], r["missing_parents"]) for r in rows] == [(1, 0, 1)]


def test_entry_points_are_roots_orphans_and_consumers(shop: Store) -> None:
    """Requests begin at roots, at spans whose parent is missing, and where a message is consumed."""
    rows = _run(shop, "entry_points")
    assert {(r["service"], r["operation"], r["requests"]) for r in rows} == {
        ("shop", "GET /", 1), ("shop", "POST /order", 1), ("orders", "take order", 1), ("prices", "Quote", 1),
    }  # fmt: skip
    assert [r["service"] for r in _run(shop, "entry_points", environment="test")] == ["prices"]


def test_caused_requests_tell_what_caused_them(
    store: Store, make_span: Callable[..., dict[str, Any]], make_batch: Callable[..., Any]
) -> None:
    """A message, a link and late work are told apart, each is listed once, and a service or a trace narrows them."""
    sent = make_span(1, 2, 1, kind="producer", operation="send")
    link = f'[{{"trace_id":"{1:032x}","span_id":"{2:016x}"}}]'
    rows = [
        make_span(1, 1), sent, sent,
        make_span(1, 3, 2, kind="consumer", service="mailer", operation="process", links=link),
        make_span(1, 9, 1, kind="internal", operation="flush"),
        make_span(2, 1, kind="consumer", service="audit", operation="record", links=link),
    ]  # fmt: skip
    store.append([make_batch(rows)])
    found = [
        (r["operation"], r["joined_by"], r["cause_operation"], r["wait_ms"]) for r in _run(store, "caused_requests")
    ]
    assert found == [
        ("process", "message", "send", 1.0),
        ("flush", "late", "GET /", 8.0),
        ("record", "link", "send", 999.0),
    ]
    assert [r["operation"] for r in _run(store, "caused_requests", service="audit")] == ["record"]
    assert [r["operation"] for r in _run(store, "caused_requests", trace_id=f"{2:032x}")] == ["record"]
    assert len(_run(store, "caused_requests", trace_id=f"{1:032x}", limit=2)) == 2
