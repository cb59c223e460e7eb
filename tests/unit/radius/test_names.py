"""Finding what the user named, in a store."""

from collections.abc import Iterator

import duckdb
import pytest

from traceguard.errors import UnknownNameError, UsageError
from traceguard.radius.evaluators import read_evaluators
from traceguard.radius.names import Target, check_objectives, find_target
from traceguard.radius.objective import parse_objective
from traceguard.store import open_store

_SPANS = """
INSERT INTO spans BY NAME
SELECT 'aa' AS trace_id, span AS span_id, service, operation, 'server' AS kind, 0 AS start_ns, 1 AS dur_ns,
       'unset' AS status, 0 AS flags, 0 AS dropped_attributes, 0 AS dropped_events, 0 AS dropped_links,
       false AS evaluation_only, 0 AS end_before_start_ns
FROM (VALUES ('01', 'frontend', 'GET /'), ('02', 'pricing', 'Quote'), ('03', 'pricing', 'Refresh'))
     t(span, service, operation)
"""
_FLAGS = """
INSERT INTO flag_records BY NAME
SELECT 'aa' AS trace_id, span AS span_id, key AS flag_key, level AS variant
FROM (VALUES ('01', 'new', 'on'), ('01', 'a=b', 'x'), ('02', 'a', 'b'), ('09', 'new', 'off')) t(span, key, level)
"""


@pytest.fixture
def cursor() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a cursor on a store with two services and three flags."""
    with open_store(":memory:", mode="write") as store, store.cursor() as found:
        found.execute(_SPANS)
        found.execute(_FLAGS)
        yield found


def test_known_names_are_found(cursor: duckdb.DuckDBPyConnection) -> None:
    """Services, operations, flags and variants come back as the target."""
    assert find_target(cursor, service="pricing") == Target(service="pricing")
    assert find_target(cursor, service="pricing", operation="Quote") == Target(service="pricing", operation="Quote")
    assert find_target(cursor, flag="new") == Target(flag="new")
    assert find_target(cursor, flag="new=on") == Target(flag="new", variant="on")


def test_whole_key_wins_over_key_and_variant(cursor: duckdb.DuckDBPyConnection) -> None:
    """A flag key may contain an equals sign, also before a variant."""
    assert find_target(cursor, flag="a=b") == Target(flag="a=b")
    assert find_target(cursor, flag="a=b=x") == Target(flag="a=b", variant="x")
    assert find_target(cursor, flag="a=b").flag_text == "a=b"


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ({"service": "pricin"}, "pricing"),
        ({"service": "pricing", "operation": "Quot"}, "Quote"),
        ({"service": "frontend", "operation": "Quote"}, "GET /"),
        ({"flag": "nwe"}, "new"),
        ({"flag": "new=of"}, "off"),
        ({"flag": "new="}, "off"),
    ],
)
def test_unknown_name_offers_the_nearest(
    cursor: duckdb.DuckDBPyConnection, given: dict[str, str], nearest: str
) -> None:
    """A typing mistake costs one look at the message."""
    with pytest.raises(UnknownNameError, match=nearest) as caught:
        find_target(cursor, **given)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", [{}, {"service": "pricing", "flag": "new"}, {"flag": "new", "operation": "Quote"}])
def test_target_is_a_service_or_a_flag(cursor: duckdb.DuckDBPyConnection, given: dict[str, str]) -> None:
    """Neither, both, or an operation of a flag make no question."""
    with pytest.raises(UsageError):
        find_target(cursor, **given)


def test_evaluators_are_the_services_of_the_evaluating_spans(cursor: duckdb.DuckDBPyConnection) -> None:
    """A variant narrows them; an evaluation whose span is missing has no service; a service target has none at all."""
    every = read_evaluators(cursor, Target(flag="new"))
    on = read_evaluators(cursor, Target(flag="new", variant="on"))
    assert every is not None
    assert on is not None
    assert (every.services, sorted(every.service.tolist())) == (("frontend",), [-1, 0])
    assert (on.services, on.service.tolist()) == (("frontend",), [0])
    assert read_evaluators(cursor, Target(service="pricing")) is None


def test_objectives_are_about_entry_points(cursor: duckdb.DuckDBPyConnection) -> None:
    """An operation inside a request has no objective of its own; what is offered instead begins requests."""
    cursor.execute("UPDATE spans SET parent_span_id = '01' WHERE service = 'pricing'")
    check_objectives(cursor, [parse_objective("GET /: p99<1s"), parse_objective("frontend: p99<1s")])
    with pytest.raises(UnknownNameError, match=r"no entry point named 'Quote'; known are GET /\."):
        check_objectives(cursor, [parse_objective("Quote: p99<1s")])


def test_only_what_is_near_is_called_so(cursor: duckdb.DuckDBPyConnection) -> None:
    """Nobody meant a name that has nothing in common with theirs."""
    with pytest.raises(UnknownNameError, match=r"named 'zzz'; known are frontend, pricing\."):
        find_target(cursor, service="zzz")
