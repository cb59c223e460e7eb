"""What each trace of a window ran under, and whose it was, read from the store.

Flags with more levels than `MAX_LEVELS` are set aside: a level per request or user is an identifier, not an assignment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.engine.local import Window, fetch
from traceguard.errors import UsageError
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, MIXED, Circumstances, Factor, choose_reference

if TYPE_CHECKING:
    import duckdb

MAX_LEVELS = 12
_EARLY = 1 / 10  # the part of a window that counts as its start


@dataclass(frozen=True, slots=True)
class Read:
    """Circumstances with the factors they are coded in and what was set aside."""

    factors: tuple[Factor, ...]
    circumstances: Circumstances
    unbounded_flags: tuple[str, ...]
    traces_with_unit: int
    evaluations_without_level: int


def read_circumstances(
    cursor: "duckdb.DuckDBPyConnection", window: Window, unit: str | None, unit_keys: Sequence[str]
) -> Read:
    """Levels and units of the window's traces.

    `unit` names the attribute that identifies the unit instead of the defaults.
    """
    flags, unbounded = _flag_factors(cursor)
    versions = _version_factors(cursor, window.environment)
    levels = np.full((window.trace_hash.size, len(flags) + len(versions)), ABSENT, dtype=np.int16)
    for table, query, first, found in (
        ("flag_codes", "trace_flags", 0, flags),
        ("version_codes", "trace_versions", len(flags), versions),
    ):
        if found:
            _fill(cursor, window, levels, table, query, first, found)
    factors = tuple(
        f if f.kind == "version" else _with_reference(f, levels[:, i], window.begun)
        for i, f in enumerate((*flags, *versions))
    )
    units, known = _units(cursor, window, unit, unit_keys)
    without = int(fetch(cursor, "flags_without_level")["evaluations"][0])
    return Read(factors, Circumstances(window.trace_hash, levels, units), unbounded, known, without)


def _flag_factors(cursor: "duckdb.DuckDBPyConnection") -> tuple[list[Factor], tuple[str, ...]]:
    found = fetch(cursor, "flag_levels")
    kept, unbounded = [], []
    for (key,), rows in found.group_by(["flag_key"], maintain_order=True):
        if rows.height > MAX_LEVELS:
            unbounded.append(str(key))
        else:
            kept.append(Factor("flag", str(key), None, ("", "", *rows["variant"]), FIRST_LEVEL))
    return kept, tuple(unbounded)


def _version_factors(cursor: "duckdb.DuckDBPyConnection", environment: str | None) -> list[Factor]:
    found = fetch(cursor, "version_levels", environment=environment)
    return [
        Factor("version", "service.version", str(service), ("", "", *rows["version"]), FIRST_LEVEL)
        for (service,), rows in found.group_by(["service"], maintain_order=True)
        if rows.height > 1
    ]


def _fill(
    cursor: "duckdb.DuckDBPyConnection", window: Window, levels: NDArray[np.int16], table: str, query: str, first: int,
    factors: Sequence[Factor],
) -> None:  # fmt: skip
    """Write the level codes of one kind of factor into their columns of `levels`."""
    codes = pl.DataFrame(
        [
            (f.key if f.service is None else f.service, level, first + i, code)
            for i, f in enumerate(factors)
            for code, level in enumerate(f.levels)
            if code >= FIRST_LEVEL
        ],
        schema={"key": pl.String, "level": pl.String, "factor": pl.Int32, "code": pl.Int16},
        orient="row",
    )
    cursor.register(table, codes.to_arrow())
    rows = fetch(cursor, query)
    cursor.unregister(table)
    at = np.searchsorted(window.trace_hash, rows["trace"].to_numpy())
    lowest, highest = rows["lowest"].to_numpy(), rows["highest"].to_numpy()
    levels[at, rows["factor"].to_numpy()] = np.where(lowest == highest, lowest, MIXED)


def _with_reference(factor: Factor, codes: NDArray[np.int16], begun: NDArray[np.int64]) -> Factor:
    real = codes >= FIRST_LEVEL
    if not real.any():
        return factor
    early = real & (begun <= np.quantile(begun[real], _EARLY))
    commonest = int(np.bincount(codes[early]).argmax())
    return Factor(factor.kind, factor.key, factor.service, factor.levels, choose_reference(factor.levels, commonest))


def _units(
    cursor: "duckdb.DuckDBPyConnection", window: Window, unit: str | None, unit_keys: Sequence[str]
) -> tuple[NDArray[np.uint64], int]:
    """The unit's hash per trace (the trace's own where none is known), and for how many traces one is known."""
    if unit is None:
        rows = fetch(cursor, "trace_units", keys=list(unit_keys))
    else:
        rows = fetch(cursor, "trace_units_by_attribute", key=unit)
        if rows.is_empty() and window.trace_hash.size:
            raise UsageError(f"No span of the window has the attribute {unit!r}; name another with --unit, or none.")
    units = window.trace_hash.copy()
    units[np.searchsorted(window.trace_hash, rows["trace"].to_numpy())] = rows["unit"].to_numpy()
    return units, rows.height
