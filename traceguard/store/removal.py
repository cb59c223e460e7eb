"""Removing requests whole: spans, flag records, correlations and logs of a trace go in one transaction.

Who removes says how the traces come into the temporary table `gone`; all are bound values or computed by SQL, none
pasted. They are looked for in the transaction that deletes, so a span that comes in between stays.
Deleted rows are gone for every reader at once, while their bytes stay in the file until it is settled or rewritten.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from traceguard.store.hot import TABLES, roll_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb


@dataclass(frozen=True, slots=True)
class Removed:
    """What went: requests (distinct traces), rows of spans and logs as stored, a retry's duplicates included.

    `verdicts` are those that named a person who was forgotten.
    """

    requests: int = 0
    spans: int = 0
    logs: int = 0
    other: int = 0
    verdicts: int = 0

    def __add__(self, more: "Removed") -> Self:
        """Both together."""
        return type(self)(
            self.requests + more.requests, self.spans + more.spans, self.logs + more.logs, self.other + more.other,
            self.verdicts + more.verdicts,
        )  # fmt: skip

    def to_dict(self) -> dict[str, int]:
        """What people ask for: requests, spans and log records, and verdicts where some went with a person."""
        named = {"verdicts": self.verdicts} if self.verdicts else {}
        return {"requests": self.requests, "spans": self.spans, "logs": self.logs, **named}

    @property
    def any(self) -> bool:
        """Whether anything went at all."""
        return bool(self.spans or self.logs or self.other or self.verdicts)


def remove_gone(
    cursor: "duckdb.DuckDBPyConnection",
    finding: "Sequence[tuple[str, dict[str, object]]]",
    also: "Sequence[tuple[str, str, dict[str, object]]]" = (),
    *,
    mark: str | None = None,
    rehearse: bool = False,
) -> Removed:
    """Delete all rows of the traces in `gone`, and what `also` names (table, condition, its values).

    `finding` are statements with their values; they make the temporary table `gone`, and more if `also` needs it. One
    transaction: all of it happens or nothing. The statement `mark` belongs to it where anything went. With
    `rehearse` nothing happens, and the answer is what would.
    """
    deleted = dict.fromkeys(TABLES, 0)
    cursor.execute("BEGIN")
    try:
        for statement, bound in finding:
            cursor.execute(statement, bound)
        ((requests,),) = cursor.execute(
            "SELECT count(DISTINCT trace_id) FROM spans WHERE trace_id IN (SELECT trace_id FROM gone)"
        ).fetchall()
        for table in TABLES:
            deleted[table] += _delete(cursor, table, "trace_id IN (SELECT trace_id FROM gone)", {})
        for table, condition, values in also:
            deleted[table] += _delete(cursor, table, condition, values)
        other = deleted["flag_records"] + deleted["correlations"]
        removed = Removed(requests, deleted["spans"], deleted["logs"], other)
        if mark is not None and removed.any:
            cursor.execute(mark)
        cursor.execute("ROLLBACK" if rehearse else "COMMIT")
    except BaseException:
        roll_back(cursor)
        raise
    return removed


def _delete(cursor: "duckdb.DuckDBPyConnection", table: str, condition: str, values: dict[str, object]) -> int:
    # The table and the condition are constants of this room, the values are bound.
    ((rows,),) = cursor.execute(f"DELETE FROM {table} WHERE {condition}", values).fetchall()  # noqa: S608
    return int(rows)
