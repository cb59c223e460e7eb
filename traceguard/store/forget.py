"""Forgetting a person: every request in which their id stands goes, and its bytes leave the file.

The id stands in `correlations.value` (a user, session or request id of a span), in `flag_records.context_id` (whom a
flag was evaluated for), or in a log record under one of the same keys. Text that merely contains it, such as an address
or a message of somebody else's request, is not looked for.

Verdicts that name the id go, too. Rows go first, in one transaction, and verdicts in a second one, for a question that
began before the first may end after it. Then the file is written anew. A store remembers by a table that this is still
to be done, so that it is made up for when the first attempt is cut short.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traceguard.errors import StoreError
from traceguard.store import verdicts
from traceguard.store.removal import Removed, remove_gone
from traceguard.store.rewrite import rewrite

if TYPE_CHECKING:
    import duckdb

    from traceguard.store.hot import Store

# The key under which `flag_records.context_id` stands in a span.
CONTEXT_KEY = "feature_flag.context.id"

_PENDING = "traceguard_forgetting"
_MARK = f"CREATE TABLE IF NOT EXISTS {_PENDING} (nothing INTEGER)"

# Ids of such letters stand in JSON as they are.
_PLAIN = re.compile(r"[\w.@:+/-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to forget: the ids that stand for them, and the attributes that hold ids of people.

    With `only` just that attribute counts, whichever it is; else all of `keys` and the context of flag evaluations.
    """

    ids: tuple[str, ...]
    keys: tuple[str, ...]
    only: str | None = None


def forget(
    store: "Store", person: Person, *, patience: float, rehearse: bool = False, gone: Callable[[], None] = lambda: None
) -> Removed:
    """Remove every request of `person`; what went, or with `rehearse` what would go.

    `gone` is called when the requests are removed, before the verdicts and the bytes: whoever holds what they read
    before lets go of it then, and adds no verdict from it any more.
    StoreError where the rows are gone but the file could not be written anew, for want of room or because readers
    stayed longer than `patience` seconds; then the next attempt, or `finish`, makes up for it.
    """
    with store.upkeep() as cursor:
        matching, values = _records_of(person)
        removed = remove_gone(
            cursor,
            [(_GONE.format(records=matching), {**values, "only": person.only, "context": CONTEXT_KEY})],
            [("logs", matching, values)],
            mark=_MARK,
            rehearse=rehearse,
        )
        if not rehearse:
            gone()
            removed += Removed(verdicts=_forget_verdicts(store, person, patience))
            _finish(store, cursor, patience)
    return removed


def finish(store: "Store", *, patience: float) -> bool:
    """Write the file anew if a forgetting was cut short before it did; whether there was something to do."""
    with store.upkeep() as cursor:
        return _finish(store, cursor, patience)


def _forget_verdicts(store: "Store", person: Person, patience: float) -> int:
    with store.changing(patience) as cursor:
        removed = verdicts.remove_naming(cursor, person.ids)
        if removed:
            cursor.execute(_MARK)
    return removed


_GONE = """
CREATE OR REPLACE TEMP TABLE gone AS
SELECT trace_id FROM correlations WHERE list_contains($ids, value) AND ($only IS NULL OR key = $only)
UNION
SELECT trace_id FROM flag_records WHERE list_contains($ids, context_id) AND ($only IS NULL OR $only = $context)
UNION
SELECT trace_id FROM spans WHERE $only IS NOT NULL AND {records}
UNION
SELECT trace_id FROM logs WHERE trace_id IS NOT NULL AND {records}
"""


def _records_of(person: Person) -> tuple[str, dict[str, object]]:
    """The condition on a span or log record that one of the person's ids stands in its attributes, and its values."""
    keys = (person.only,) if person.only is not None else (*person.keys, CONTEXT_KEY)
    named = {f"key_{n}": key for n, key in enumerate(keys)}
    matching = " OR ".join(f"list_contains($ids, attr(${name}))" for name in named)
    values: dict[str, object] = {"ids": list(person.ids), **named}
    if not all(_PLAIN.fullmatch(id_) for id_ in person.ids):
        return f"({matching})", values
    # Looking for the id as text is some ten times quicker than reading every attribute.
    text = "concat_ws(' ', attributes, resource, scope)"
    near = " OR ".join(f"contains({text}, $id_{n})" for n in range(len(person.ids)))
    return f"(({near}) AND ({matching}))", values | {f"id_{n}": id_ for n, id_ in enumerate(person.ids)}


def _finish(store: "Store", cursor: "duckdb.DuckDBPyConnection", patience: float) -> bool:
    pending = cursor.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND table_name = ?", [_PENDING]
    ).fetchall()
    if not pending:
        return False
    if not Path(store.path).exists():  # in memory
        cursor.execute(f"DROP TABLE {_PENDING}")
        return True
    try:
        rewrite(store, cursor, patience=patience, without=(_PENDING,))
    except StoreError as error:
        raise StoreError(
            f"The requests are removed, but their bytes are still in the file, because {error} The next `forget` or the"
            " running server tries again."
        ) from error
    return True
