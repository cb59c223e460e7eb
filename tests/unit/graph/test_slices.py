"""The graph by slices of time."""

from collections.abc import Iterator

import pytest
from builders.graphs import append, make_row

from traceguard.errors import UsageError
from traceguard.graph import Sketch, build_slices, edges_of
from traceguard.store import Store, open_store
from traceguard.units import Period

MINUTE = 60_000_000_000


@pytest.fixture
def store() -> Iterator[Store]:
    """Give a store with a request in the minutes 10 and 12, the first of which calls in the minute 11."""
    with open_store(":memory:", mode="write") as opened:
        rows = [
            make_row("01", None, "shop", start_ns=10 * MINUTE + 5),
            make_row("02", "01", "cart", start_ns=11 * MINUTE + 1, dur_ns=1 << 20),
            make_row("01", None, "shop", trace_id="b" * 32, start_ns=12 * MINUTE),
            make_row("02", "01", "bank", trace_id="b" * 32, start_ns=12 * MINUTE + 1, status="error"),
        ]
        append(opened, rows)
        yield opened


def test_a_request_lies_in_the_slice_of_its_root(store: Store) -> None:
    """Slices begin at multiples of their length; the one without requests in between is empty."""
    with store.cursor() as cursor:
        found = build_slices(cursor, Period(), every_ns=MINUTE)
    assert [(p.start_ns, p.end_ns, n) for p, n, _ in found] == [
        (10 * MINUTE, 11 * MINUTE, 1), (11 * MINUTE, 12 * MINUTE, 0), (12 * MINUTE, 13 * MINUTE, 1),
    ]  # fmt: skip
    assert [[e["target"] for e in edges_of(graph)] for _, _, graph in found] == [["cart"], [], ["bank"]]


def test_first_and_last_slice_are_cut_to_the_window(store: Store) -> None:
    """A slice never claims time that was not asked for."""
    window = Period(10 * MINUTE + 2, 12 * MINUTE + 7)
    with store.cursor() as cursor:
        periods = [period for period, _, _ in build_slices(cursor, window, every_ns=2 * MINUTE)]
    assert periods == [Period(10 * MINUTE + 2, 12 * MINUTE), Period(12 * MINUTE, 12 * MINUTE + 7)]


def test_edges_carry_their_sketch_where_asked(store: Store) -> None:
    """The bins are 16 an octave: 2^20 ns opens bin 320."""
    with store.cursor() as cursor:
        (_, _, graph), *_ = build_slices(cursor, Period(), every_ns=MINUTE, sketches=True)
    assert graph.edges["shop", "cart"]["sketch"] == Sketch(320, (1,))


def test_slices_too_short_are_refused(store: Store) -> None:
    """Thousands of graphs help nobody, and a length of nothing is none."""
    with store.cursor() as cursor:
        with pytest.raises(UsageError, match="more than 2,000"):
            build_slices(cursor, Period(), every_ns=1_000_000)
        with pytest.raises(UsageError, match="must have a length"):
            build_slices(cursor, Period(), every_ns=0)
        left = cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'graph_%'").fetchone()
    assert left == (0,)


def test_no_requests_have_no_slices(store: Store) -> None:
    """An empty window is an empty list."""
    with store.cursor() as cursor:
        assert build_slices(cursor, Period(0, 1), every_ns=MINUTE) == []
