"""The store's schema over time: numbered steps, each applied once, all of them in one transaction.

A step names the files of `queries/ddl` that change tables; such a file never changes once released. Views and macros
hold no data and are made anew by every migration, so a step that only changes those has no files. The version rises
whenever a file of `queries/ddl` changes what an older program would find. A store newer than the program is refused,
never touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from traceguard.errors import StoreError
from traceguard.store.queries import folder

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Step:
    """What turns a store of `version - 1` into one of `version`."""

    version: int
    why: str
    files: tuple[str, ...]


STEPS = (Step(1, "the first schema", ("001_tables.sql",)), Step(2, "verdicts last", ("004_verdicts.sql",)))
REMADE = ("002_macros.sql", "003_views.sql")


def version_of(connection: "duckdb.DuckDBPyConnection") -> int | None:
    """The schema version of the open database: 0 if it holds nothing at all, None if what it holds is not a store."""
    tables = {
        name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary").fetchall()
    }
    if not tables:
        return 0
    if not {"schema_version", "spans"} <= tables:
        return None
    columns = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = 'schema_version'"
    ).fetchall()
    if ("version",) not in columns or ("program",) not in columns:
        return None
    version: int | None = connection.execute("SELECT max(version) FROM schema_version").fetchall()[0][0]
    return version


def migrate(connection: "duckdb.DuckDBPyConnection", name: str, steps: Sequence[Step] = STEPS) -> None:
    """Bring the open database to the newest version; `name` is what errors call it.

    StoreError if it is not a store, or newer than this program. Nothing changes unless everything does.
    """
    version = check(connection, name, steps)
    if version == steps[-1].version:
        return
    connection.execute("BEGIN")
    try:
        for step in steps[version:]:
            for file in step.files:
                connection.execute((folder() / "ddl" / file).read_text(encoding="utf-8"))
            connection.execute(
                "INSERT INTO schema_version (version, program) VALUES (?, ?)", [step.version, _program()]
            )
        for file in REMADE:
            connection.execute((folder() / "ddl" / file).read_text(encoding="utf-8"))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def check(connection: "duckdb.DuckDBPyConnection", name: str, steps: Sequence[Step] = STEPS) -> int:
    """The store's version, 0 for an empty database; StoreError if it is not a store or newer than this program."""
    version = version_of(connection)
    if version is None:
        raise StoreError(f"{name} is a DuckDB file but not a traceguard store; name another file with --db.")
    if version > steps[-1].version:
        known = steps[-1].version
        raise StoreError(f"{name} has schema version {version}, newer than this program's {known}; upgrade traceguard.")
    return version


def _program() -> str:
    """The version of this program, written beside the schema version so that a store tells who made it."""
    try:
        return metadata.version("traceguard")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "checkout"
