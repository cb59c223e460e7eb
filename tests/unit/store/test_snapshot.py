"""Snapshots: consistent, complete, never over something else."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traceguard.errors import UsageError
from traceguard.store import Store, open_store, queries

Make = Callable[..., Any]


def test_snapshot_is_a_store(shop: Store, tmp_path: Path) -> None:
    """A snapshot opens like any store, with views, macros and version, and appends as well."""
    out = tmp_path / "copy.duckdb"
    shop.snapshot(out)
    with open_store(out, mode="write") as copy, copy.cursor() as theirs, shop.cursor() as ours:
        for name in queries.names():
            params = {p.name: "u2" for p in queries.describe(name).parameters if not p.optional}
            assert queries.run(theirs, name, params).equals(queries.run(ours, name, params)), name
        assert theirs.execute("SELECT count(attr('x')) FROM spans").fetchall() == [(0,)]


def test_snapshot_of_a_store_open_to_read(shop: Store, tmp_path: Path) -> None:
    """A store that is only read can be copied, too, and is not changed by it."""
    shop.close()
    before = shop.path.read_bytes()
    with open_store(shop.path) as reader:
        reader.snapshot(tmp_path / "copy.duckdb")
    with open_store(tmp_path / "copy.duckdb") as copy, copy.cursor() as cursor:
        assert queries.run(cursor, "services").num_rows == 4
    assert shop.path.read_bytes() == before


def test_snapshot_refuses_to_replace_a_file(shop: Store, tmp_path: Path) -> None:
    """What lies at the target stays, and so does the target's folder."""
    out = tmp_path / "copy.duckdb"
    out.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        shop.snapshot(out)
    assert out.read_text() == "mine"
    with pytest.raises(UsageError, match="does not exist; make it first"):
        shop.snapshot(tmp_path / "nowhere" / "copy.duckdb")
    assert {file.name for file in tmp_path.iterdir()} <= {out.name, shop.path.name, f"{shop.path.name}.wal"}


def test_snapshot_while_writing_holds_whole_transactions(
    store: Store, tmp_path: Path, make_batch: Make, make_span: Make
) -> None:
    """Copies made while another thread appends hold every transaction whole or not at all."""
    pairs = [make_batch([make_span(n, 1), make_span(n, 2, 1)]) for n in range(200)]
    stop = threading.Event()

    def write() -> None:
        for pair in pairs:
            store.append([pair])
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(3):
            store.snapshot(tmp_path / f"{n}.duckdb")
    finally:
        stop.set()
        writer.join()
    for n in range(3):
        with open_store(tmp_path / f"{n}.duckdb") as copy, copy.cursor() as cursor:
            broken = "SELECT trace_id FROM spans GROUP BY trace_id HAVING count(*) <> 2"
            assert cursor.execute(broken).fetchall() == []
