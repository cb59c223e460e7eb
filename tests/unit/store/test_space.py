"""Room on disk: what counts, what is freed, and how large the log may grow."""

import threading
from pathlib import Path

from traceguard.store import Store, open_store
from traceguard.store.format import log_of
from traceguard.store.space import measure, on_disk, settled

MB = 10**6


def _insert(store: Store, rows: int) -> None:
    """Rows of text that does not compress."""
    with store.cursor() as cursor:
        cursor.execute(
            "INSERT INTO correlations SELECT md5(n::VARCHAR), left(md5(n::VARCHAR || 's'), 16), 'user.id',"
            " md5(n::VARCHAR || 'u') FROM range(?) AS numbers(n)",
            [rows],
        )


def test_room_is_measured_with_the_log(store: Store) -> None:
    """What lies in the log counts as on disk, and as used once it is settled."""
    _insert(store, 20_000)
    with store.cursor() as cursor:
        fresh = measure(cursor, store.path)
    assert fresh.log > MB > fresh.file
    assert fresh.on_disk == on_disk(store.path) == fresh.file + fresh.log
    after = settled(store, 1)
    assert (after.log, after.on_disk) == (0, store.path.stat().st_size)
    assert 0 < after.used <= after.file


def test_a_log_that_goes_meanwhile_is_no_error(tmp_path: Path) -> None:
    """A checkpoint removes the log between two looks at any time; the size is that with it or without."""
    path = tmp_path / "some.duckdb"
    path.write_bytes(b"12345")
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            log_of(path).write_bytes(b"1")
            log_of(path).unlink()

    checkpoints = threading.Thread(target=come_and_go)
    checkpoints.start()
    try:
        assert {on_disk(path) for _ in range(20_000)} <= {5, 6}
    finally:
        over.set()
        checkpoints.join()


def test_settling_frees_what_a_reader_kept_from_being_freed(store: Store) -> None:
    """Blocks of deleted rows come free once readers are gone, though nothing else has changed since."""
    _insert(store, 300_000)
    before = settled(store, 1)
    with store.cursor() as reader, store.cursor() as cursor:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM correlations").fetchall() == [(300_000,)]
        cursor.execute("DELETE FROM correlations")
        cursor.execute("CHECKPOINT")
        assert measure(cursor, store.path).used >= before.used
    assert settled(store, 1).used < 0.1 * before.used
    with store.cursor() as cursor:
        tables = cursor.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
    assert [name for (name,) in tables] == [
        "correlations",
        "flag_records",
        "logs",
        "schema_version",
        "spans",
        "verdicts",
    ]


def test_the_log_can_be_bounded(path: Path) -> None:
    """A store that is told so writes its log into the file earlier, also after it was opened anew."""
    with open_store(path, mode="write") as store:
        store.bound_log(MB)
        _insert(store, 200_000)
        _insert(store, 5_000)
        assert not log_of(path).exists() or log_of(path).stat().st_size < 2 * MB
        store._connection.close()
        store.revive()
        with store.cursor() as cursor:
            ((threshold,),) = cursor.execute("SELECT current_setting('checkpoint_threshold')").fetchall()
        assert threshold == "976.5 KiB"
