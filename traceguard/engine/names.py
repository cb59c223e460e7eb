"""Names that a question gives, looked up in the whole store, whatever the window."""

from typing import TYPE_CHECKING

from traceguard.errors import UnknownNameError

if TYPE_CHECKING:
    import duckdb


def check_names(
    cursor: "duckdb.DuckDBPyConnection", *, flag: str | None = None, service: str | None = None,
    entry: str | None = None, env: str | None = None,
) -> None:  # fmt: skip
    """UnknownNameError with the nearest names for a name that the store does not have."""
    columns = (
        ("flag", flag, "SELECT DISTINCT flag_key FROM flag_records"),
        ("service", service, "SELECT DISTINCT service FROM spans"),
        ("entry point", entry, "SELECT DISTINCT operation FROM spans"),
        ("environment", env, "SELECT DISTINCT environment FROM spans WHERE environment IS NOT NULL"),
    )
    for noun, name, sql in columns:
        if name is None:
            continue
        known = [row[0] for row in cursor.execute(sql).fetchall()]
        if name not in known:
            raise UnknownNameError.of(noun, name, known)
