"""The verdicts that a server gave, beside the requests that they are about; a few thousand rows at most.

A verdict that says what the last one of its address said is the same row: from when to when it was said is what people
want to know. The address and the words may name a person (a filter by their id, a cause among their requests), so
`remove_naming` finds those that do; nothing that is too long is cut, because half an id would not be found.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from traceguard.store.hot import Store

MOST = 10_000
ROOM_BYTES = 20_000  # of a store's limit for each row: a row has some hundred bytes, and some thousand at most

_LONGEST_WORDS, _LONGEST_ADDRESS = 2_000, 4_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said: by which report (`address`), of which requests (those that began in [start_ns, end_ns))."""

    asked_by: str
    address: str
    verdict: str
    sentence: str
    cause: str
    start_ns: int | None
    end_ns: int | None
    alpha: float


def say(store: "Store", said: Verdict, now_ns: int, *, patience: float, most: int = MOST) -> str | None:
    """Keep a verdict, and `most` of all; the verdict that its address had before, None for the first one.

    StoreError where it cannot be written within `patience` seconds.
    """
    address = said.address if len(said.address) <= _LONGEST_ADDRESS else said.address.partition("?")[0]
    cause = said.cause if len(said.cause) <= _LONGEST_WORDS else ""
    values = {
        "address": address, "verdict": said.verdict, "cause": cause, "asked_by": said.asked_by, "now": now_ns,
        "sentence": said.sentence if len(said.sentence) <= _LONGEST_WORDS else "", "start_ns": said.start_ns,
        "end_ns": said.end_ns, "alpha": said.alpha,
    }  # fmt: skip
    with store.changing(patience) as cursor:
        last = _last(cursor, address)
        if last is not None and last[1:] == (said.verdict, cause):
            _run(cursor, _AGAIN, {**values, "number": last[0]})
        else:
            _run(cursor, _NEW, values)
            _run(cursor, _BOUND, {"most": most})
    return None if last is None else last[1]


def latest(cursor: "duckdb.DuckDBPyConnection", address: str) -> str | None:
    """The last verdict of an address."""
    last = _last(cursor, address)
    return None if last is None else last[1]


def expire(store: "Store", cut: int, *, patience: float) -> None:
    """Remove those last said before `cut`."""
    with store.cursor() as cursor:
        if not cursor.execute("SELECT 1 FROM verdicts WHERE last_ns < ? LIMIT 1", [cut]).fetchall():
            return
    with store.changing(patience) as cursor:
        cursor.execute("DELETE FROM verdicts WHERE last_ns < ?", [cut])


def remove_naming(cursor: "duckdb.DuckDBPyConnection", ids: "Sequence[str]") -> int:
    """Remove those in whose address or words one of the ids stands, not only as a part of a longer word; how many."""
    found = cursor.execute("SELECT number, address, sentence, cause FROM verdicts").fetchall()
    named = re.compile("|".join(rf"(?<!\w){re.escape(id_)}(?!\w)" for id_ in ids))
    numbers = [
        number
        for number, address, *words in found
        if any(named.search(text) for text in (address, unquote_plus(address), *words))
    ]
    if numbers:
        cursor.execute("DELETE FROM verdicts WHERE list_contains($numbers, number)", {"numbers": numbers})
    return len(numbers)


_NEW = """
INSERT INTO verdicts
SELECT coalesce(max(number), 0) + 1, $now, $now, 1, $asked_by, $address, $verdict, $sentence, $cause,
       $start_ns, $end_ns, $alpha
FROM verdicts
"""
_AGAIN = """
UPDATE verdicts
SET last_ns = greatest(last_ns, $now), times = times + 1, sentence = $sentence, start_ns = $start_ns, end_ns = $end_ns,
    alpha = $alpha
WHERE number = $number
"""
_BOUND = """
DELETE FROM verdicts
WHERE number IN (SELECT number FROM verdicts ORDER BY last_ns DESC, number DESC OFFSET $most)
"""


def _last(cursor: "duckdb.DuckDBPyConnection", address: str) -> tuple[int, str, str] | None:
    found = cursor.execute(
        "SELECT number, verdict, cause FROM verdicts WHERE address = $address ORDER BY number DESC LIMIT 1",
        {"address": address},
    ).fetchall()
    return found[0] if found else None


def _run(cursor: "duckdb.DuckDBPyConnection", statement: str, values: dict[str, object]) -> None:
    """Run a statement with those of the values that it names: DuckDB refuses others."""
    cursor.execute(statement, {name: value for name, value in values.items() if f"${name}" in statement})
