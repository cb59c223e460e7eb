"""The schema over time."""

from pathlib import Path

import duckdb
import pytest

from traceguard.errors import StoreError
from traceguard.store import migrations, open_store
from traceguard.store.migrations import REMADE, STEPS, Step, migrate
from traceguard.store.queries import folder


def _shape(connection: duckdb.DuckDBPyConnection) -> list[tuple]:
    return connection.execute("SELECT table_name, column_name, data_type FROM duckdb_columns() ORDER BY ALL").fetchall()


def test_every_ddl_file_belongs_to_a_step() -> None:
    """No file of queries/ddl is left out, and the steps count up from one."""
    named = {file for step in STEPS for file in step.files} | set(REMADE)
    assert named == {file.name for file in (folder() / "ddl").glob("*.sql")}
    assert [step.version for step in STEPS] == list(range(1, len(STEPS) + 1))


def test_version_1_becomes_the_current_version_with_its_rows(path: Path) -> None:
    """A store as the first release made it opens, to read as well, with the current schema and all its rows."""
    with duckdb.connect(path) as old:
        old.execute((folder() / "ddl" / "001_tables.sql").read_text())
        old.execute("INSERT INTO schema_version (version, program) VALUES (1, '0.1.0')")
        for file in REMADE:
            old.execute((folder() / "ddl" / file).read_text())
        old.execute("INSERT INTO correlations VALUES ('t', 's', 'user.id', 'u1')")
    with (
        open_store(path) as store,
        open_store(":memory:", mode="write") as fresh,
        store.cursor() as cursor,
        fresh.cursor() as expected,
    ):
        assert _shape(cursor) == _shape(expected)
        assert migrations.version_of(cursor) == STEPS[-1].version
        assert cursor.execute("SELECT value FROM correlations").fetchall() == [("u1",)]


def _with_a_next_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sql: str) -> tuple[Step, ...]:
    later = tmp_path / "queries"
    (later / "ddl").mkdir(parents=True)
    for file in (folder() / "ddl").glob("*.sql"):
        (later / "ddl" / file.name).write_text(file.read_text())
    (later / "ddl" / "next.sql").write_text(sql)
    monkeypatch.setattr(migrations, "folder", lambda: later)
    return (*STEPS, Step(STEPS[-1].version + 1, "a later release", ("next.sql",)))


def test_a_later_step_applies_once(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with one more step adds it to an existing store, and opening again changes nothing."""
    open_store(path, mode="write").close()
    steps = _with_a_next_step(monkeypatch, tmp_path, "ALTER TABLE spans ADD COLUMN colour VARCHAR;")
    with duckdb.connect(path) as connection:
        migrate(connection, "store", steps)
        migrate(connection, "store", steps)
        assert ("spans", "colour", "VARCHAR") in _shape(connection)
        assert connection.execute("SELECT version FROM schema_version ORDER BY 1").fetchall() == [
            (step.version,) for step in steps
        ]
    with pytest.raises(StoreError, match="newer than this program"):
        open_store(path)


def test_a_failing_step_changes_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that breaks half way leaves the store as it was, usable by the older program."""
    open_store(path, mode="write").close()
    steps = _with_a_next_step(monkeypatch, tmp_path, "CREATE TABLE half (a INTEGER); SELECT broken;")
    with duckdb.connect(path) as connection:
        before = _shape(connection)
        with pytest.raises(duckdb.Error):
            migrate(connection, "store", steps)
        assert _shape(connection) == before
    open_store(path).close()
