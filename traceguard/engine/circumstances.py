"""What each trace of a window ran under, and whose it was, read from the store.

Flags with more levels than `MAX_LEVELS` are set aside, unless they are common: a level per request or user is an
identifier, not an assignment.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.engine.local import Window, fetch, stream
from traceguard.engine.lookup import I16, I32, U64, Numbers, number_of, row_of
from traceguard.errors import UsageError
from traceguard.kernels import kernel
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, MIXED, Attribute, Circumstances, Factor, choose_reference

if TYPE_CHECKING:
    import duckdb

MAX_LEVELS = 12
MAX_COMMON_LEVELS = 32  # more are set aside, however common: every level costs a column in every sum
COMMON_TRACES = 20  # that at least half of the levels must have, for a flag with more than `MAX_LEVELS`
CONTEXT_ID = "feature_flag.context.id"  # stands on events and log records, not on spans
_FIRST_MOMENTS_NS = 60_000_000_000
_NUMBERED = re.compile(r"[vV]?(\d+(?:\.\d+)*)(?![0-9A-Za-z])")
_EARLY = 1 / 10  # the part of a window that counts as its start


@dataclass(frozen=True, slots=True)
class Deploy:
    """A version of a service, the one that it is compared with, and when it was first seen in the whole store, ns."""

    service: str
    version: str
    reference: str
    first_seen: int


@dataclass(frozen=True, slots=True)
class Read:
    """Circumstances with the factors they are coded in and what was set aside."""

    factors: tuple[Factor, ...]
    circumstances: Circumstances
    unbounded_flags: tuple[str, ...]
    traces_with_unit: int
    evaluations_without_level: int
    unclear_versions: tuple[str, ...]  # services whose versions were there together from the store's first moments
    unbounded_levels: tuple[int, ...] = ()  # how many levels each of the unbounded flags has
    deploys: tuple[Deploy, ...] = ()
    attributes: tuple[Attribute, ...] = ()


def read_circumstances(
    cursor: "duckdb.DuckDBPyConnection", window: Window, unit: str | None, unit_keys: Sequence[str]
) -> Read:
    """Levels and units of the window's traces.

    `unit` names the attribute that identifies the unit instead of the defaults.
    """
    flags, set_aside = _flag_factors(cursor)
    unbounded, many = tuple(key for key, _ in set_aside), tuple(levels for _, levels in set_aside)
    versions, unclear, deploys = version_factors(cursor)
    levels = np.full((window.trace_hash.size, len(flags) + len(versions)), ABSENT, dtype=np.int16)
    for query, first, found in (("trace_flags", 0, flags), ("trace_versions", len(flags), versions)):
        if found:
            _fill(cursor, window, levels, query, first, found)
    factors = tuple(
        f if f.kind == "version" else with_reference(f, levels[:, i], window.begun)
        for i, f in enumerate((*flags, *versions))
    )
    units, known = _units(cursor, window, unit, unit_keys)
    without = int(fetch(cursor, "flags_without_level")["evaluations"][0])
    circumstances = Circumstances(window.trace_hash, levels, units)
    return Read(factors, circumstances, unbounded, known, without, unclear, many, deploys)


def read_units(cursor: "duckdb.DuckDBPyConnection", window: Window, unit_keys: Sequence[str]) -> NDArray[np.uint64]:
    """The hash of each trace's unit, the trace's own where none is known."""
    return _units(cursor, window, None, unit_keys)[0]


def read_flag(cursor: "duckdb.DuckDBPyConnection", window: Window, key: str) -> tuple[Factor | None, NDArray[np.int16]]:
    """A flag as a factor, None where the window lacks it, and the code of each trace's level.

    UsageError for a flag that is an identifier and no assignment.
    """
    factors, set_aside = _flag_factors(cursor)
    if (many := dict(set_aside).get(key)) is not None:
        raise UsageError(f"The flag {key!r} has {many} levels, as an identifier has; name one that assigns few.")
    levels = np.full((window.trace_hash.size, 1), ABSENT, dtype=np.int16)
    found = [factor for factor in factors if factor.key == key]
    if not found:
        return None, levels[:, 0]
    _fill(cursor, window, levels, "trace_flags", 0, found)
    return with_reference(found[0], levels[:, 0], window.begun), levels[:, 0]


def _flag_factors(cursor: "duckdb.DuckDBPyConnection") -> tuple[list[Factor], list[tuple[str, int]]]:
    """A factor per flag, and the flags that are set aside with their number of levels."""
    found = fetch(cursor, "flag_levels")
    kept, unbounded = [], []
    for (key,), rows in found.group_by(["flag_key"], maintain_order=True):
        if not bounded(rows["traces"].to_numpy()):
            unbounded.append((str(key), rows.height))
        else:
            kept.append(Factor("flag", str(key), None, ("", "", *rows["variant"]), FIRST_LEVEL))
    return kept, unbounded


def bounded(traces: NDArray[np.int64]) -> bool:
    """Whether levels that so many traces ran under are an assignment and no identifier."""
    common = traces.size <= MAX_COMMON_LEVELS and np.median(traces) >= COMMON_TRACES
    return traces.size <= MAX_LEVELS or bool(common)


def version_factors(
    cursor: "duckdb.DuckDBPyConnection",
) -> tuple[tuple[Factor, ...], tuple[str, ...], tuple[Deploy, ...]]:
    """A factor per service with several versions, the services for which it is unclear which came first, and deploys.

    The reference is the version with the earliest span of the whole store. Where the store begins amid a rollout that
    is chance: of versions that appear within its first moments the lowest number is taken, and where there are no
    numbers the commonest.
    """
    found = fetch(cursor, "version_levels")
    factors, unclear, deploys = [], [], []
    for (service,), rows in found.group_by(["service"], maintain_order=True):
        if rows.height < 2:
            continue
        begun = int(rows["first_seen"][0])
        moment = max(_FIRST_MOMENTS_NS, (int(rows["store_end"][0]) - begun) // 100)
        early = rows.filter(pl.col("first_seen") <= begun + moment)
        levels = rows["version"].to_list()
        reference = 0
        if early.height > 1:
            numbers = [_version_number(version) for version in early["version"]]
            known = [n for n in numbers if n is not None]
            numbered = len(known) == len(numbers)
            reference = numbers.index(min(known)) if numbered else int(early["spans"].arg_max() or 0)
            if reference > 0 or not numbered:
                unclear.append(str(service))
        factors.append(Factor("version", "service.version", str(service), ("", "", *levels), FIRST_LEVEL + reference))
        seen = zip(levels, rows["first_seen"].to_list(), strict=True)
        deploys += [Deploy(str(service), v, levels[reference], at) for v, at in seen if v != levels[reference]]
    return tuple(factors), tuple(unclear), tuple(deploys)


def _version_number(version: str) -> tuple[int, ...] | None:
    """The dotted number that a version begins with, `v` aside; None where there is none (a commit's hash, say)."""
    match = _NUMBERED.match(version)
    return tuple(int(part) for part in match[1].split(".")) if match else None


@kernel(f"void({U64}, {U64}, {U64}, {I32}, uint64, {U64}, {I32}, {I32}, {I16}, int16[:, ::1])")
def _note_levels(trace, level, hashes, first, shift, known, numbers, factor, code, levels):  # type: ignore[no-untyped-def]
    for i in range(trace.size):
        number = number_of(level[i], known, numbers)
        row = row_of(trace[i], hashes, first, shift) if number >= 0 else -1
        if row < 0:
            continue
        before = levels[row, factor[number]]
        if before == ABSENT:
            levels[row, factor[number]] = code[number]
        elif before != code[number]:
            levels[row, factor[number]] = MIXED


def _fill(
    cursor: "duckdb.DuckDBPyConnection", window: Window, levels: NDArray[np.int16], query: str, first: int,
    factors: Sequence[Factor],
) -> None:  # fmt: skip
    """Write the level codes of one kind of factor into their columns of `levels`; `query` yields traces with levels."""
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
    cursor.register("level_codes", codes.to_arrow())
    hashed = fetch(cursor, "level_hashes")
    cursor.unregister("level_codes")
    known = Numbers(hashed["hash"].to_numpy())
    factor, code = hashed["factor"].to_numpy(), hashed["code"].to_numpy()
    for batch in stream(cursor, query):
        trace, level = batch.column("trace").to_numpy(), batch.column("level").to_numpy()
        _note_levels(trace, level, *window.lookup.table, *known.table, factor, code, levels)


def with_reference(factor: Factor, codes: NDArray[np.int16], begun: NDArray[np.int64]) -> Factor:
    """The factor held against its reference level, given every trace's level and when it began."""
    real = codes >= FIRST_LEVEL
    if not real.any():
        return factor
    early = real & (begun <= np.quantile(begun[real], _EARLY))
    commonest = int(np.bincount(codes[early]).argmax())
    return Factor(factor.kind, factor.key, factor.service, factor.levels, choose_reference(factor.levels, commonest))


@kernel(f"void({U64}, {I32}, {U64}, {U64}, {I32}, uint64, int32[::1], uint64[::1])")
def _note_units(trace, priority, unit, hashes, first, shift, best, units):  # type: ignore[no-untyped-def]
    for i in range(trace.size):
        row = row_of(trace[i], hashes, first, shift)
        if row < 0:
            continue
        if priority[i] < best[row]:
            best[row], units[row] = priority[i], unit[i]
        elif priority[i] == best[row]:
            units[row] = min(units[row], unit[i])


def _units(
    cursor: "duckdb.DuckDBPyConnection", window: Window, unit: str | None, unit_keys: Sequence[str]
) -> tuple[NDArray[np.uint64], int]:
    """The unit's hash per trace (the trace's own where none is known), and for how many traces one is known.

    Where a trace names several of the same priority it is the one with the lowest hash, in whatever order they came.
    """
    if unit in (None, CONTEXT_ID):
        found = stream(cursor, "trace_units", keys=list(unit_keys) if unit is None else [])
    else:
        found = stream(cursor, "trace_units_by_attribute", key=unit)
    unknown = np.iinfo(np.int32).max
    best, units = np.full(window.trace_hash.size, unknown, dtype=np.int32), window.trace_hash.copy()
    for batch in found:
        column = (batch.column(name).to_numpy() for name in ("trace", "priority", "unit"))
        _note_units(*column, *window.lookup.table, best, units)
    known = int(np.count_nonzero(best < unknown))
    if known == 0 and window.trace_hash.size and unit not in (None, CONTEXT_ID):
        raise UsageError(f"No span of the window has the attribute {unit!r}; name another with --unit, or none.")
    return units, known
