"""Appending: whole transactions, by name, on disk when the call returns."""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from traceguard.errors import StoreError
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, LOGS, SPANS, Decoded
from traceguard.store import Store, open_store
from traceguard.store.rewrite import rewrite

resource = pytest.importorskip("resource", reason="limits of a process are a matter of Unix")

Make = Callable[..., Any]


def _count(store: Store, table: str = "spans") -> int:
    with store.cursor() as cursor:
        return cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]  # noqa: S608


def test_batches_with_different_words_share_a_transaction(store: Store, make_batch: Make, make_span: Make) -> None:
    """Dictionaries of different batches are merged, and every row keeps its own words."""
    store.append([make_batch([make_span(n, 1, service=f"s{n}", operation=f"op{n % 3}")]) for n in range(40)])
    with store.cursor() as cursor:
        rows = cursor.execute("SELECT service, operation FROM spans ORDER BY start_ns").fetchall()
    assert rows == [(f"s{n}", f"op{n % 3}") for n in range(40)]


def test_nothing_to_append_is_fine(store: Store) -> None:
    """An empty request adds nothing and is no error."""
    store.append([])
    store.append([Decoded(), Decoded()])
    assert _count(store) == 0


def test_schema_of_the_decoder_equals_the_tables(store: Store) -> None:
    """Columns of the decoder and of the store have the same names in the same order."""
    for table, schema in {
        "spans": SPANS,
        "flag_records": FLAG_RECORDS,
        "correlations": CORRELATIONS,
        "logs": LOGS,
    }.items():
        with store.cursor() as cursor:
            columns = [name for name, *_ in cursor.execute(f"DESCRIBE {table}").fetchall()]
        assert columns == schema.names


def test_a_bad_batch_leaves_nothing_of_its_companions(store: Store, make_batch: Make, make_span: Make) -> None:
    """A batch that does not fit undoes the whole transaction, and the store goes on."""
    good = make_batch([make_span(1, 1)])
    bad = Decoded(flag_records=pa.table({"trace_id": [None], "flag_key": ["k"]}))
    with pytest.raises(StoreError, match="could not be written"):
        store.append([good, bad])
    assert _count(store) == 0
    store.append([good])
    assert _count(store) == 1


def test_committed_spans_survive_without_closing(
    store: Store, tmp_path: Path, make_batch: Make, make_span: Make
) -> None:
    """The files as they lie after `append`, copied while the store is open, hold what was appended."""
    store.append([make_batch([make_span(1, n) for n in range(1, 101)])])
    copy = tmp_path / "copy.duckdb"
    shutil.copy(store.path, copy)
    shutil.copy(f"{store.path}.wal", f"{copy}.wal")
    with open_store(copy) as reopened:
        assert _count(reopened) == 100


def test_full_disk_refuses_whole_transactions_and_passes(
    store: Store, tmp_path: Path, make_batch: Make, make_span: Make
) -> None:
    """Where writing fails at COMMIT, nothing is kept and the store recovers, on disk as well, once there is room."""
    many = [make_span(n, k, attributes=f"{n * k:0200d}") for n in range(100) for k in range(1, 21)]
    store.append([make_batch(many)])
    _, hard = soft_hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.stat().st_size + 100_000, hard))
    try:
        for _ in range(3):
            with pytest.raises(StoreError, match="check the disk's space"):
                store.append([make_batch(many * 2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, soft_hard)
    assert _count(store) == 2000
    store.append([make_batch(many)])
    copy = tmp_path / "copy.duckdb"
    shutil.copy(store.path, copy)
    shutil.copy(f"{store.path}.wal", f"{copy}.wal")
    with open_store(copy) as reopened:
        assert _count(reopened) == _count(store) == 4000


def test_reviving_a_lost_connection_keeps_everything(store: Store, make_batch: Make, make_span: Make) -> None:
    """A store whose connection is gone is opened anew with all that was committed."""
    store.append([make_batch([make_span(1, 1)])])
    store._connection.close()
    store.revive()
    store.append([make_batch([make_span(1, 2)])])
    assert _count(store) == 2


def test_a_lost_connection_is_a_store_error_until_it_is_revived(
    store: Store, make_batch: Make, make_span: Make
) -> None:
    """Whoever writes or reads meanwhile is told in words to try again."""
    store.append([make_batch([make_span(1, 1)])])
    store._connection.close()
    for use in (lambda: store.append([make_batch([make_span(1, 2)])]), store.cursor):
        with pytest.raises(StoreError, match="try again"):
            use()
    store.revive()
    store.append([make_batch([make_span(1, 3)])])
    assert _count(store) == 2


def test_bounds_of_threads_and_memory_outlive_a_lost_connection(store: Store) -> None:
    """What the server granted holds for the file opened anew, until it is taken back."""
    before = _setting(store, "memory_limit")
    store.use_threads(1)
    store.bound_memory(200 * 2**20)
    store._connection.close()
    store.revive()
    assert (_setting(store, "threads"), _setting(store, "memory_limit")) == (1, "200.0 MiB")
    store.bound_memory(None)
    assert _setting(store, "memory_limit") == before


def _setting(store: Store, name: str) -> Any:
    with store.cursor() as cursor:
        return cursor.execute("SELECT current_setting(?)", [name]).fetchall()[0][0]


def test_reviving_does_not_fail_on_who_is_amid_a_statement(store: Store, make_batch: Make, make_span: Make) -> None:
    """A busy cursor of the database that was given up neither stops the new one nor is waited for."""
    store.append([make_batch([make_span(1, 1)])])
    with _busy(store):
        with contextlib.suppress(duckdb.Error):
            store._connection.close()
        store.revive()
        store.append([make_batch([make_span(1, 2)])])
    assert _count(store) == 2


def test_an_exchange_leaves_the_store_open_whoever_uses_it(store: Store, make_batch: Make, make_span: Make) -> None:
    """Where a statement does not end, nothing is exchanged and that is said; the store goes on either way."""
    store.append([make_batch([make_span(1, 1)])])
    exchanged, refused = [], []
    with store.alone(1), _busy(store, seconds=2.0):
        try:
            store.exchange(lambda: exchanged.append(True))
        except StoreError as error:
            refused.append(str(error))
    assert len(exchanged) + len(refused) == 1
    assert all("is in use" in sentence for sentence in refused)
    store.append([make_batch([make_span(1, 2)])])
    assert _count(store) == 2


def test_settings_do_not_stand_in_an_exchanges_way(store: Store, make_batch: Make, make_span: Make) -> None:
    """Questions that begin and end change settings at any time, also while the file is exchanged."""
    store.append([make_batch([make_span(1, 1)])])
    over = threading.Event()
    failed: list[Exception] = []

    def change() -> None:
        while not over.is_set():
            try:
                store.use_threads(1)
                store.bound_memory(200 * 2**20)
                store.use_threads(None)
                store.bound_memory(None)
            except Exception as error:  # noqa: BLE001  (whatever it is, the test tells)
                failed.append(error)

    questions = threading.Thread(target=change)
    questions.start()
    try:
        for _ in range(20):
            with store.upkeep() as cursor:
                rewrite(store, cursor, patience=5)
            store.append([make_batch([make_span(1, 2)])])
    finally:
        over.set()
        questions.join()
    assert not failed
    assert _count(store) == 21


def test_a_store_closes_though_someone_reads(path: Path, make_batch: Make, make_span: Make) -> None:
    """The statement is interrupted, nobody waits for its end, and everything is there afterwards."""
    store = open_store(path, mode="write")
    store.append([make_batch([make_span(1, 1)])])
    with _busy(store):
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 3
    store.close()
    with open_store(path) as again:
        assert _count(again) == 1


def test_settling_a_lost_store_is_a_store_error(store: Store, make_batch: Make, make_span: Make) -> None:
    """Whoever settles is told in words, as whoever writes."""
    store.append([make_batch([make_span(1, 1)])])
    # Whoever looks on keeps the log where it is.
    with open_store(store.path, mode="write"):
        store._connection.close()
        with pytest.raises(StoreError, match="try again"):
            store.settle(0)
        store.revive()
        assert store.settle(0)


@contextlib.contextmanager
def _busy(store: Store, seconds: float = 60.0) -> Iterator[None]:
    """Someone amid a statement that takes several seconds, or `seconds` if that is less."""
    cursor = store._cursor()
    query = threading.Thread(target=_run_until_interrupted, args=(cursor,))

    def interrupt() -> None:
        with contextlib.suppress(duckdb.Error):
            cursor.interrupt()

    end = threading.Timer(seconds, interrupt)
    query.start()
    end.start()
    time.sleep(0.3)
    try:
        yield
    finally:
        end.cancel()
        interrupt()
        query.join()
        end.join()


def _run_until_interrupted(cursor: Any) -> None:
    with contextlib.suppress(duckdb.Error):
        cursor.execute("SELECT count(*) FROM range(500000000) AS n WHERE hash(n.range) % 7 = 1").fetchall()


def test_attr_reads_a_span_then_its_resource_then_its_scope(store: Store, make_batch: Make, make_span: Make) -> None:
    """`attr('key')` finds an attribute wherever it stands, with keys that contain dots, quotes and backslashes."""
    row = make_span(
        1, 1, attributes=r'{"a.b": "span", "q\"\\": 7}', resource='{"attributes": {"a.b": "resource", "host": "h1"}}',
        scope='{"attributes": {"only": "scope"}}',
    )  # fmt: skip
    store.append([make_batch([row])])
    with store.cursor() as cursor:
        found = cursor.execute(
            r"""SELECT attr('a.b'), attr('q"\'), attr('host'), attr('only'), attr('missing') FROM distinct_spans"""
        ).fetchall()
    assert found == [("span", "7", "h1", "scope", None)]


def test_duplicates_are_counted_once(store: Store, make_batch: Make, make_span: Make) -> None:
    """A span that a client sent again appears once, also where two sides of a call share its id."""
    both = [make_span(1, 1), make_span(1, 1, kind="client", service="caller")]
    store.append([make_batch(both), make_batch(both)])
    store.append([make_batch(both)])
    assert _count(store) == 6
    assert _count(store, "distinct_spans") == 2
