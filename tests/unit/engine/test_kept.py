"""What was gathered once is given again until the window changes, and never after."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from builders.scenes import START_NS

from traceguard.engine.kept import MOST, MOST_BYTES, Shelf
from traceguard.engine.local import Window, open_window
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, SPANS, Decoded
from traceguard.store import Store, open_store
from traceguard.units import Period

SECOND = 1_000_000_000
FIRST_TEN = Period(START_NS, START_NS + 10 * SECOND)


@pytest.fixture
def store() -> Iterator[Store]:
    """A store in memory with a request in each of the first ten seconds."""
    with open_store(":memory:", mode="write") as opened:
        for second in range(10):
            add(opened, trace=second + 1, second=second)
        yield opened


def add(
    store: Store, trace: int, second: float, *, span: int = 1, flag: str | None = None, version: str | None = None
) -> None:
    """Append a span, or a flag evaluation of the trace."""
    named = {"trace_id": f"{trace:032x}", "span_id": f"{span:016x}"}
    spans = [
        {
            **named, "service": "shop", "operation": "GET /", "kind": "server", "dur_ns": 1_000, "status": "unset",
            "flags": 0, "dropped_attributes": 0, "dropped_events": 0, "dropped_links": 0, "evaluation_only": False,
            "end_before_start_ns": 0, "version": version, "start_ns": START_NS + int(second * SECOND),
        }
    ]  # fmt: skip
    flags = [{**named, "flag_key": flag, "variant": "on"}] if flag else []
    store.append([
        Decoded(
            spans=pa.Table.from_pylist([] if flag else spans, schema=SPANS),
            flag_records=pa.Table.from_pylist(flags, schema=FLAG_RECORDS),
            correlations=pa.Table.from_pylist([], schema=CORRELATIONS),
        )
    ])  # fmt: skip


class Asker:
    """Asks a shelf, and counts how often it had to gather."""

    def __init__(self, store: Store) -> None:
        self.store, self.shelf, self.gathered, self.size = store, Shelf[int](), 0, 1

    def ask(self, period: Period = FIRST_TEN) -> int:
        """The number of traces in the period."""
        with self.store.cursor() as cursor:

            def gather() -> tuple[Window, int, int]:
                self.gathered += 1
                window = open_window(cursor, period, None)
                return window, window.rows, self.size

            return self.shelf.get(self.store, cursor, period, period, gather)


def test_a_second_question_does_not_pay_again(store: Store) -> None:
    """Nothing came, or only what began later: the first answer stands."""
    asker = Asker(store)
    assert [asker.ask(), asker.ask()] == [10, 10]
    add(store, trace=11, second=10)
    add(store, trace=11, second=11, flag="f")
    assert asker.ask() == 10
    assert asker.gathered == 1


@pytest.mark.parametrize(
    ("trace", "second", "flag"), [(12, 9.5, None), (3, 60, None), (3, 0, "f")], ids=["begins", "late", "evaluates"]
)
def test_what_belongs_to_the_window_is_gathered_anew(store: Store, trace: int, second: float, flag: str | None) -> None:
    """A request that begins in the window, a late span of a known one, a flag that one evaluated."""
    asker = Asker(store)
    asker.ask()
    add(store, trace=trace, second=second, span=2, flag=flag)
    asker.ask()
    asker.ask()
    assert asker.gathered == 2


def test_removed_rows_are_noticed(store: Store) -> None:
    """Also when as many came since."""
    asker = Asker(store)
    asker.ask()
    with store.cursor() as cursor:
        cursor.execute("DELETE FROM spans WHERE trace_id = ?", [f"{3:032x}"])
    add(store, trace=30, second=30)
    assert asker.ask() == 9
    assert asker.gathered == 2


def test_a_version_that_was_there_before_the_window_is_noticed(store: Store) -> None:
    """The reference changes with it, although nothing of the window did."""
    for second in range(10):
        add(store, trace=second + 1, second=second, version="2.0" if second < 5 else "1.0", span=2)
    asker = Asker(store)
    asker.ask()
    add(store, trace=50, second=600, version="1.0")
    asker.ask()
    assert asker.gathered == 1
    add(store, trace=51, second=-6_000, version="2.0")
    asker.ask()
    asker.ask()
    assert asker.gathered == 2


def test_the_whole_store_changes_with_every_span(store: Store) -> None:
    """Without bounds whatever comes belongs to it."""
    asker = Asker(store)
    asker.ask(Period())
    add(store, trace=40, second=40)
    assert asker.ask(Period()) == 11


def test_only_the_latest_questions_are_kept(store: Store) -> None:
    """Memory is bounded by a number of answers."""
    asker = Asker(store)
    for second in range(MOST + 1):
        asker.ask(Period(START_NS + second * SECOND, START_NS + 20 * SECOND))
    asker.ask(Period(START_NS + MOST * SECOND, START_NS + 20 * SECOND))
    assert asker.gathered == MOST + 1
    asker.ask(Period(START_NS, START_NS + 20 * SECOND))
    assert asker.gathered == MOST + 2


def test_what_takes_too_much_memory_is_not_kept(store: Store) -> None:
    """Neither alone nor beside others."""
    asker = Asker(store)
    asker.size = MOST_BYTES
    assert [asker.ask(), asker.ask()] == [10, 10]
    assert asker.gathered == 1
    asker.size = MOST_BYTES + 1
    later = Period(START_NS + SECOND, START_NS + 20 * SECOND)
    assert [asker.ask(later), asker.ask(later)] == [9, 9]
    assert asker.gathered == 3
