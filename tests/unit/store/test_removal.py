"""Removing requests: what is found and what goes are of one moment."""

from collections.abc import Callable
from typing import Any

from traceguard.store import Store
from traceguard.store.removal import Removed, remove_gone

Make = Callable[..., Any]

_ALL = "CREATE OR REPLACE TEMP TABLE gone AS SELECT DISTINCT trace_id FROM spans"


def test_a_span_that_comes_between_finding_and_deleting_stays(store: Store, make_batch: Make, make_span: Make) -> None:
    """Nobody judged it: it was acknowledged after the looking, and does not go with the old rest of its trace."""
    store.append([make_batch([make_span(1, 1), make_span(2, 1)])])

    def late() -> bool:
        store.append([make_batch([make_span(1, 2)])])
        return True

    with store.upkeep() as cursor:
        cursor.create_function("late", late, [], "BOOLEAN", side_effects=True)
        removed = remove_gone(cursor, [(_ALL, {}), ("SELECT late()", {})])
    assert removed == Removed(requests=2, spans=2)
    with store.cursor() as reader:
        assert reader.execute("SELECT span_id FROM spans").fetchall() == [(f"{2:016x}",)]


def test_a_rehearsal_finds_and_keeps(store: Store, make_batch: Make, make_span: Make) -> None:
    """It tells what would go, twice the same, and nothing of it is left, not even the list of traces."""
    store.append([make_batch([make_span(1, 1), make_span(2, 1)])])
    with store.upkeep() as cursor:
        for _ in range(2):
            assert remove_gone(cursor, [(_ALL, {})], rehearse=True) == Removed(requests=2, spans=2)
        assert cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'gone'").fetchall() == [(0,)]
        assert remove_gone(cursor, [(_ALL, {})]) == Removed(requests=2, spans=2)
