"""The SQL that ships with traceguard, by name: one statement a file under `queries/read`, values bound, never pasted.

A file begins with comments. The first line describes a row; a line `-- $name: type[, optional][; what it does]`
declares a parameter, its type one of text, integer (from 0), time (RFC 3339 or relative, bound as nanoseconds since the
epoch); an optional one that is not given is bound as null, which every query reads as "all". The same files work in
the DuckDB shell and in notebooks.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceguard.errors import UnknownNameError, UsageError
from traceguard.units import parse_time

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_DECLARATION = re.compile(
    r"-- \$(?P<name>\w+): (?P<type>text|integer|time)(?P<optional>, optional)?(?:; (?P<about>.+))?"
)

_LARGEST = 2**63 - 1  # of a BIGINT


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named value that a query takes; `about` says what it does in a few words."""

    name: str
    type: str
    optional: bool
    about: str


@dataclass(frozen=True, slots=True)
class Query:
    """One statement of `queries/read` with what its leading comment says of it."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    text: str


@cache
def folder() -> Path:
    """Where the SQL lies: inside the installed package, in a checkout beside it."""
    packaged = Path(__file__).parents[1] / "queries"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "queries"


def names() -> list[str]:
    """The names of all queries, sorted."""
    return sorted(file.stem for file in (folder() / "read").glob("*.sql"))


def describe(name: str) -> Query:
    """The query `name` with its description and parameters; UnknownNameError offers the nearest names."""
    known = names()
    if name not in known:
        raise UnknownNameError.of("query", name, known)
    return _load(name)


def text(name: str) -> str:
    """The SQL of the query `name`, comments included."""
    return describe(name).text


def run(cursor: "duckdb.DuckDBPyConnection", name: str, params: Mapping[str, Any] | None = None) -> "pa.Table":
    """Run the query `name` on a cursor of a store and return its rows.

    The cursor must have no result that is read only in part: fetch all of it before (DuckDB 2.0 refuses otherwise).
    Values may be text as it comes from a command line or a URL, or already typed. UsageError names a parameter that
    the query does not have, one that is missing, or a value that is not of its type.
    """
    query = describe(name)
    # Not cursor.execute: DuckDB 2.0 copies every row once more on its way from there to Arrow, and warns.
    return cursor.sql(query.text, params=_bind(query, params or {})).to_arrow_table()


@cache
def _load(name: str) -> Query:
    sql = (folder() / "read" / f"{name}.sql").read_text(encoding="utf-8")
    comments = sql.splitlines()
    declared = [match for line in comments if (match := _DECLARATION.fullmatch(line))]
    parameters = tuple(Parameter(m["name"], m["type"], m["optional"] is not None, m["about"] or "") for m in declared)
    return Query(name, comments[0].removeprefix("--").strip(), parameters, sql)


def _bind(query: Query, given: Mapping[str, Any]) -> dict[str, Any]:
    known = [parameter.name for parameter in query.parameters]
    unknown = sorted(set(given) - set(known))
    if unknown:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise UsageError(f"The query {query.name} has no parameter {unknown[0]!r}; {takes}.")
    missing = [p.name for p in query.parameters if not p.optional and given.get(p.name) is None]
    if missing:
        name = missing[0]
        raise UsageError(f"The query {query.name} needs the parameter {name}; give it as --param {name}=VALUE.")
    return {parameter.name: _typed(query, parameter, given.get(parameter.name)) for parameter in query.parameters}


def _typed(query: Query, parameter: Parameter, value: object) -> str | int | None:
    if value is None or parameter.type == "text":
        return None if value is None else str(value)
    if parameter.type == "time" and isinstance(value, str):
        return parse_time(value, time.time_ns())
    try:
        number = int(str(value))
    except ValueError:
        message = f"The parameter {parameter.name} of the query {query.name} is a whole number, not {str(value)!r}."
        raise UsageError(message) from None
    if parameter.type == "integer" and not 0 <= number <= _LARGEST:
        message = f"The parameter {parameter.name} of the query {query.name} counts rows: 0 or more, not {number}."
        raise UsageError(message)
    return number
