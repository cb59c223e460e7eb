"""Retention: which requests go by age and by size, and the room they took given back.

A request goes whole, with its spans, flag records, correlations and logs, and its time is its latest span's end. What
belongs to no span (logs mostly) goes by its own time. By age goes what is older than the rule says by the wall clock,
also what was old when it arrived. By size the oldest goes first until the file is small enough again; what claims to be
from the far future goes before the oldest, because a clock that is wrong must not push out good data. By age nothing
goes for being from the future: the wrong clock may be our own. A verdict goes by when it was last said.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from traceguard.errors import UsageError
from traceguard.store import verdicts
from traceguard.store.hot import TABLES
from traceguard.store.removal import Removed, remove_gone
from traceguard.store.rewrite import rewrite
from traceguard.store.space import Space, measure, settled
from traceguard.units import format_duration, format_size, parse_duration, parse_size

if TYPE_CHECKING:
    import duckdb

    from traceguard.store.hot import Store

# A store has some hundred KiB before its first span; below this a limit would be about DuckDB and not about data.
SMALLEST = 8_000_000

# The size rule leaves room below the limit: for what arrives during a pass, for the log, and for the row groups that a
# checkpoint merges and so writes a second time; but at most half. A pass removes so much more at once.
_ARRIVING, _LOG, _MERGED, _MOST_FREE, _AT_ONCE = 0.1, 1 / 16, 3, 0.5, 0.1

# The log may always grow to so many bytes, for speed.
_LEAST_LOG = 4 * 2**20

# What may lie unused in the file before it is written anew, as a part of what is kept, and at least so many bytes;
# below a limit it may be more, because what the size rule frees in a pass, what comes next uses again.
SPARE, SPARE_BELOW_LIMIT, SPARE_BYTES = 0.3, 1.0, 4 * 2**20

# How long the few rows of verdicts wait for those who write.
_PATIENCE = 10.0

# Spans that one transaction deletes.
_SLICE = 4_000_000

# The size rule removes at least so much of the rows at once.
_LEAST_SHARE = 0.02

_DAY = 86_400_000_000_000

# The latest end that a span can claim, so that adding never overflows.
_HALF = 2**62 - 1
_NEVER = 2**63 - 1

# What each row is judged by. Beyond the horizon time begins again before everything else.
_END = f"least(start_ns, {_HALF}) + least(dur_ns, {_HALF})"
_EVALUATED = "coalesce(nullif(time_ns, 0), $undated)"
_LOGGED = "coalesce(nullif(time_ns, 0), nullif(observed_ns, 0), $undated)"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a store keeps: requests younger than `keep_ns`, and at most `max_bytes` on disk; None is without end."""

    keep_ns: int | None = None
    max_bytes: int | None = None

    @property
    def most_verdicts(self) -> int:
        """How many verdicts are kept: they must not push requests out of a small store."""
        return verdicts.MOST if self.max_bytes is None else min(verdicts.MOST, self.max_bytes // verdicts.ROOM_BYTES)

    @classmethod
    def of(cls, keep: str | None, max_size: str | None) -> Self:
        """Rules from text such as `7d` and `50GB`; UsageError for what nothing could be kept under."""
        keep_ns = None if keep is None else parse_duration(keep)
        max_bytes = None if max_size is None else parse_size(max_size)
        if keep_ns is not None and keep_ns <= 0:
            raise UsageError(f"Keeping {keep!r} would keep nothing; write how long, such as 7d.")
        if max_bytes is not None and max_bytes < SMALLEST:
            raise UsageError(f"A store does not fit into {max_size}; allow it at least {format_size(SMALLEST)}.")
        return cls(keep_ns, max_bytes)

    def __str__(self) -> str:
        """What is kept, as a sentence."""
        parts = []
        if self.keep_ns is not None:
            parts.append(format_duration(self.keep_ns))
        if self.max_bytes is not None:
            parts.append(f"at most {format_size(self.max_bytes)}")
        return f"Keeps {', '.join(parts) or 'everything'}."


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one pass over a file removed, by age and by size, and the bytes that the file took before and after."""

    age: Removed
    size: Removed
    before: int
    after: int

    def to_dict(self) -> dict[str, object]:
        """The numbers as a dictionary."""
        return {
            "age": self.age.to_dict(), "size": self.size.to_dict(), "bytes_before": self.before, "bytes": self.after
        }  # fmt: skip


Tell = Callable[[str, Removed], None]


def log_bound(limit: int) -> int:
    """The bytes that the log of a store may grow to."""
    return max(int(_LOG * limit), _LEAST_LOG)


def begin(limit: int, space: Space) -> float:
    """The bytes in use beyond which the size rule begins to remove."""
    free = _ARRIVING * limit + log_bound(limit) + _MERGED * space.row_group
    return limit - min(free, _MOST_FREE * limit)


def end(limit: int, space: Space) -> float:
    """The bytes in use at which it ends."""
    return begin(limit, space) - _AT_ONCE * limit


def due(space: Space, rules: Rules) -> bool:
    """Whether the size rule has something to do."""
    limit = rules.max_bytes
    return limit is not None and (space.used + space.log > begin(limit, space) or space.on_disk > limit)


def tend(
    store: "Store",
    rules: Rules,
    now_ns: int,
    *,
    patience: float,
    tell: Tell = lambda _reason, _removed: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Space:
    """One pass: remove what the rules say as of `now_ns`, and give the room back; the room that the store takes then.

    `tell` hears of each transaction, by `age` or `size`; after each, `stopped` is asked. Reading and appending go on,
    and wait for a moment where blocks are freed or the file is exchanged. CrowdedError where readers stay longer than
    `patience` seconds: what was removed is removed, its room comes back in a later pass.
    """
    with store.upkeep() as cursor:
        unsettled = False
        if rules.keep_ns is not None:
            verdicts.expire(store, now_ns - rules.keep_ns, patience=_PATIENCE)
            for removed in _expire(cursor, now_ns - rules.keep_ns):
                tell("age", removed)
                unsettled = unsettled or removed.any
                if stopped():
                    return measure(cursor, store.path)
        space = measure(cursor, store.path)
        if unsettled or due(space, rules) or _too_large(space, cursor, rules):
            space = settled(store, patience)
        if rules.max_bytes is not None and due(space, rules):
            for removed in _shorten(store, cursor, space, rules.max_bytes, now_ns, patience):
                tell("size", removed)
                if stopped():
                    return measure(cursor, store.path)
            space = settled(store, patience)
        if not _too_large(space, cursor, rules):
            return space
        rewrite(store, cursor, patience=patience)
    with store.cursor() as reader:
        return measure(reader, store.path)


def _too_large(space: Space, cursor: "duckdb.DuckDBPyConnection", rules: Rules) -> bool:
    """Whether more of the file lies unused than may."""
    kept = space.used * _kept(cursor)
    spare = SPARE if rules.max_bytes is None else SPARE_BELOW_LIMIT
    allowed = kept + max(spare * kept, SPARE_BYTES, min(space.row_group, kept))
    return space.file > (allowed if rules.max_bytes is None else min(allowed, rules.max_bytes))


def _expire(cursor: "duckdb.DuckDBPyConnection", cut: int) -> Iterator[Removed]:
    """Remove what ended before `cut`; a row without any time is left alone."""
    for part in _slices(cursor, cut, _NEVER):
        yield _remove(cursor, part, _NEVER, undated=None)


def _shorten(
    store: "Store", cursor: "duckdb.DuckDBPyConnection", space: Space, limit: int, now_ns: int, patience: float
) -> Iterator[Removed]:
    """Remove the oldest until what is left takes no more than its part of `limit`; what has no time goes first."""
    horizon = now_ns + _DAY
    least = _LEAST_SHARE
    enough = end(limit, space)
    while (kept := space.used * _kept(cursor)) > enough:
        share = max(1.0 - enough / kept, least)
        removed = Removed()
        for part in _slices(cursor, _cut(cursor, share, horizon), horizon):
            slice_ = _remove(cursor, part, horizon, undated=0)
            yield slice_
            removed += slice_
        if not removed.any:
            if share >= 1.0:
                return
            # A request goes with its last span, so a cut may remove less than its share, even nothing.
            least = 2 * share
        space = settled(store, patience)


def _kept(cursor: "duckdb.DuckDBPyConnection") -> float:
    """The part of the stored rows that is not deleted; what is deleted may lie in the file for a while."""
    rows, stored = 0, 0
    for table in TABLES:
        ((count, end),) = cursor.execute(f"SELECT count(*), coalesce(max(rowid) + 1, 0) FROM {table}").fetchall()  # noqa: S608
        rows, stored = rows + count, stored + end
    return rows / max(stored, 1)


def _rank(end: str) -> str:
    """The order of leaving: by time, but first of all what lies beyond the horizon."""
    return f"CASE WHEN {end} > $horizon THEN {end} - {_NEVER} ELSE {end} END"


def _cut(cursor: "duckdb.DuckDBPyConnection", share: float, horizon: int) -> int:
    """The rank below which about `share` of the spans and logs lie."""
    if share >= 1.0:
        return _NEVER
    ranks = f"SELECT {_rank(_END)} AS rank FROM spans UNION ALL SELECT {_rank(_LOGGED)} FROM logs"  # noqa: S608
    ((cut,),) = cursor.execute(
        f"SELECT approx_quantile(rank, {share!r}) FROM ({ranks})",  # noqa: S608
        {"horizon": horizon, "undated": 0},
    ).fetchall()
    return _NEVER if cut is None else int(cut) + 1


def _slices(cursor: "duckdb.DuckDBPyConnection", cut: int, horizon: int) -> list[int]:
    """Rising ranks up to `cut`, with at most about `_SLICE` spans between them."""
    below = f"FROM (SELECT {_rank(_END)} AS rank FROM spans) WHERE rank < $cut"  # noqa: S608
    values = {"cut": cut, "horizon": horizon}
    ((spans,),) = cursor.execute(f"SELECT count(*) {below}", values).fetchall()
    parts = -(-spans // _SLICE)
    if parts < 2:
        return [cut]
    shares = [n / parts for n in range(1, parts)]
    ((found,),) = cursor.execute(f"SELECT approx_quantile(rank, {shares!r}) {below}", values).fetchall()
    return [*(rank for rank in dict.fromkeys(found) if rank < cut), cut]


def _remove(cursor: "duckdb.DuckDBPyConnection", cut: int, horizon: int, undated: int | None) -> Removed:
    """Remove the traces whose latest span ranks below `cut`, and what belongs to no span and ranks there itself."""
    judged: dict[str, object] = {"cut": cut, "horizon": horizon}
    gone = f"""
        CREATE OR REPLACE TEMP TABLE gone AS
        SELECT trace_id FROM spans
        WHERE trace_id IN (SELECT trace_id FROM spans WHERE {_rank(_END)} < $cut)
        GROUP BY trace_id HAVING {_rank(f"max({_END})")} < $cut
        """  # noqa: S608
    flags, logs = f"{_rank(_EVALUATED)} < $cut", f"{_rank(_LOGGED)} < $cut"
    values: dict[str, object] = {**judged, "undated": undated}
    strays = f"""
        CREATE OR REPLACE TEMP TABLE strays AS
        WITH old AS (
            SELECT trace_id FROM flag_records WHERE {flags} UNION SELECT trace_id FROM logs WHERE {logs}
        )
        SELECT trace_id FROM old WHERE trace_id IS NOT NULL
        EXCEPT SELECT trace_id FROM spans WHERE trace_id IN (SELECT trace_id FROM old)
        """  # noqa: S608
    stray = "trace_id IN (SELECT trace_id FROM strays)"
    return remove_gone(
        cursor,
        [(gone, judged), (strays, values)],
        [
            ("flag_records", f"{flags} AND {stray}", values),
            ("logs", f"{logs} AND (trace_id IS NULL OR {stray})", values),
        ],
    )
