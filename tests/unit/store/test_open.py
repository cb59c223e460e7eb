"""Opening a store, and everything that can be wrong with a path."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from traceguard.errors import StoreError
from traceguard.store import Store, open_store

Make = Callable[..., Any]


def _count(store: Store) -> int:
    with store.cursor() as cursor:
        return cursor.execute("SELECT count(*) FROM spans").fetchall()[0][0]


def test_written_spans_are_read_after_reopening(path: Path, make_batch: Make, make_span: Make) -> None:
    """What one process appended, another finds after the first one closed the store."""
    with open_store(path, mode="write") as store:
        store.append([make_batch([make_span(1, 1), make_span(1, 2, 1)])])
    with open_store(path) as store:
        assert _count(store) == 2


def test_missing_store_is_refused_with_how_to_make_one(path: Path) -> None:
    """Reading what does not exist names the command that makes it, and makes nothing."""
    with pytest.raises(StoreError, match=r"There is no store at .*traceguard ingest PATH --db"):
        open_store(path)
    assert not path.exists()


def test_missing_folder_is_named(tmp_path: Path) -> None:
    """A store is not made in a folder that does not exist."""
    with pytest.raises(StoreError, match=r"folder .*nowhere does not exist"):
        open_store(tmp_path / "nowhere" / "traces.duckdb", mode="write")


@pytest.mark.parametrize("mode", ["read", "write"])
def test_folder_is_no_store(tmp_path: Path, mode: str) -> None:
    """A folder in the place of a file is called a folder."""
    with pytest.raises(StoreError, match="is a folder"):
        open_store(tmp_path, mode=mode)


@pytest.mark.parametrize("content", [b"", b"hello", b"hello" * 10_000])
@pytest.mark.parametrize("mode", ["read", "write"])
def test_other_file_is_no_store_and_stays_as_it_is(path: Path, content: bytes, mode: str) -> None:
    """A file that DuckDB did not make is refused and never written to."""
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a traceguard store"):
        open_store(path, mode=mode)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", ["read", "write"])
def test_other_peoples_database_is_no_store_and_stays_as_it_is(path: Path, mode: str) -> None:
    """A DuckDB file with other tables is refused and keeps exactly these tables."""
    with duckdb.connect(path) as other:
        other.execute("CREATE TABLE spans AS SELECT 1 AS a")
    with pytest.raises(StoreError, match="not a traceguard store"):
        open_store(path, mode=mode)
    with duckdb.connect(path) as other:
        assert other.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("spans",)]


def test_truncated_store_is_called_damaged(path: Path, make_batch: Make, make_span: Make) -> None:
    """A file cut in the middle is refused in one sentence."""
    with open_store(path, mode="write") as store:
        store.append([make_batch([make_span(1, n) for n in range(1, 1000)])])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StoreError, match="damaged or cut short"):
        open_store(path)


@pytest.mark.parametrize("mode", ["read", "write"])
def test_store_that_once_was_longer_is_whole(path: Path, make_batch: Make, make_span: Make, mode: str) -> None:
    """A large transaction that was taken back leaves free blocks, which DuckDB counts but keeps in no file."""
    with open_store(path, mode="write") as store:
        store.append([make_batch([make_span(1, n) for n in range(1, 1000)])])
        with store.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("CREATE TABLE passing AS SELECT hash(range) AS number FROM range(2000000)")
            cursor.execute("ROLLBACK")
            cursor.execute("CHECKPOINT")
    with duckdb.connect(path, read_only=True) as raw:
        ((blocks,),) = raw.execute("SELECT block_size * total_blocks FROM pragma_database_size()").fetchall()
    assert path.stat().st_size < blocks
    with open_store(path, mode=mode) as store, store.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM distinct_spans").fetchall() == [(999,)]


def test_what_a_killed_process_put_aside_is_removed(path: Path) -> None:
    """Rows that DuckDB spilled beside the store go when it is opened to write; other people's files stay."""
    code = (
        "import os, sys, duckdb\nconnection = duckdb.connect(sys.argv[1])\n"
        "connection.execute(\"SET memory_limit = '60MB'\")\n"
        "cursor = connection.execute('SELECT hash(n.range)::VARCHAR AS secret FROM range(3000000) AS n ORDER BY 1')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    open_store(path, mode="write").close()
    subprocess.run([sys.executable, "-c", code, path], check=False)
    folder = path.with_name(path.name + ".tmp")
    assert list(folder.iterdir())
    open_store(path, mode="write").close()
    assert not folder.exists()
    folder.mkdir()
    (folder / "mine").touch()
    open_store(path, mode="write").close()
    assert [file.name for file in folder.iterdir()] == ["mine"]


def test_newer_store_is_refused_and_stays_as_it_is(path: Path) -> None:
    """A store that a later program made is not touched by this one."""
    open_store(path, mode="write").close()
    with duckdb.connect(path) as newer:
        newer.execute("INSERT INTO schema_version (version, program) VALUES (99, '9.9')")
    for mode in ("read", "write"):
        with pytest.raises(StoreError, match=r"newer than this program.*upgrade traceguard"):
            open_store(path, mode=mode)


def test_store_held_by_another_process_is_refused_with_its_pid(store: Store) -> None:
    """While one process writes, another is told who holds the file and what to do."""
    code = (
        "import sys\nfrom traceguard.errors import StoreError\nfrom traceguard.store import open_store\n"
        "for mode in ('read', 'write'):\n    try:\n        open_store(sys.argv[1], mode=mode)\n"
        "    except StoreError as error:\n        print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, store.path], capture_output=True, text=True, check=True)
    sentences = ran.stdout.splitlines()
    assert len(sentences) == 2
    assert all(f"held by another process (PID {os.getpid()})" in line for line in sentences)
    assert all("--db http://127.0.0.1:4318" in line for line in sentences)


def test_the_owner_reads_its_own_store_beside_writing(store: Store, make_batch: Make, make_span: Make) -> None:
    """Within the process that owns a store it can be opened to read as well; that handle refuses to write."""
    store.append([make_batch([make_span(1, 1)])])
    with open_store(store.path) as reader:
        assert _count(reader) == 1
        with pytest.raises(StoreError, match="open for reading only"):
            reader.append([make_batch([make_span(1, 2)])])


def test_writing_beside_reading_in_one_process_is_refused(path: Path) -> None:
    """A store that this process reads cannot be opened to write until the reader closes it."""
    open_store(path, mode="write").close()
    with open_store(path), pytest.raises(StoreError, match="open for reading in this process"):
        open_store(path, mode="write")


def test_what_a_killed_rewriting_left_goes_when_the_store_is_opened_and_only_then(path: Path) -> None:
    """Whoever opens the store to write removes it; a connection that is made anew leaves a rewriting alone."""
    open_store(path, mode="write").close()
    left = path.with_name(f".{path.name}.rewritten-0123")
    left.write_bytes(b"half done")
    with open_store(path):
        assert left.exists()
    with open_store(path, mode="write") as store:
        assert not left.exists()
        left.write_bytes(b"half done")
        store._connection.close()
        store.revive()
        assert left.exists()


def test_store_in_memory_leaves_no_file(make_batch: Make, make_span: Make) -> None:
    """`:memory:` is a whole store that leaves nothing behind."""
    with open_store(":memory:", mode="write") as store:
        store.append([make_batch([make_span(1, 1)])])
        assert _count(store) == 1
    assert not Path(":memory:").exists()


def test_files_are_made_in_the_format_of_duckdb_1_5(store: Store) -> None:
    """Both supported versions of DuckDB can read a store that either made."""
    with store.cursor() as cursor:
        tags = cursor.execute("SELECT tags FROM duckdb_databases() WHERE database_name = current_database()").fetchall()
    assert tags[0][0]["storage_version"].startswith("v1.5")
