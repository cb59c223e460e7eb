"""Forgetting: one person's requests go, everybody else's stay, and the bytes leave the file, whatever interrupts it."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from traceguard.errors import StoreError
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, LOGS, SPANS, Decoded
from traceguard.settings import UNIT_KEYS
from traceguard.store import Store, open_store
from traceguard.store.forget import Person, finish, forget
from traceguard.store.format import log_of
from traceguard.store.removal import Removed

resource = pytest.importorskip("resource", reason="limits of a process are a matter of Unix")

Make = Callable[..., Any]

ID = "person-4f1c"


def _decoded(
    spans: Iterable[dict[str, Any]],
    flags: Iterable[dict[str, Any]] = (),
    logs: Iterable[dict[str, Any]] = (),
    correlations: Iterable[dict[str, Any]] = (),
) -> Decoded:
    return Decoded(
        spans=pa.Table.from_pylist(list(spans), schema=SPANS),
        flag_records=pa.Table.from_pylist(list(flags), schema=FLAG_RECORDS),
        logs=pa.Table.from_pylist(list(logs), schema=LOGS),
        correlations=pa.Table.from_pylist(list(correlations), schema=CORRELATIONS),
    )


def _known(trace: int, value: str, key: str = "user.id") -> dict[str, Any]:
    return {"trace_id": f"{trace:032x}", "span_id": f"{1:016x}", "key": key, "value": value}


def _evaluated(trace: int, context: str) -> dict[str, Any]:
    return {"trace_id": f"{trace:032x}", "flag_key": "f", "variant": "on", "context_id": context, "time_ns": 1}


def _log(trace: int | None, attributes: str | None, **changed: Any) -> dict[str, Any]:
    return {
        "trace_id": None if trace is None else f"{trace:032x}", "time_ns": 1, "service": "shop", "severity": 9,
        "flags": 0, "dropped_attributes": 0, "attributes": attributes,
    } | changed  # fmt: skip


def _person(id_: str = ID, only: str | None = None) -> Person:
    return Person((id_,), UNIT_KEYS, only)


def _forget(store: Store, person: Person, **more: Any) -> Removed:
    return forget(store, person, patience=5, **more)


def _traces(store: Store, table: str = "spans") -> list[int]:
    with store.cursor() as cursor:
        found = cursor.execute(f"SELECT DISTINCT trace_id FROM {table} WHERE trace_id IS NOT NULL").fetchall()  # noqa: S608
    return sorted(int(trace, 16) for (trace,) in found)


def _bytes(path: Path) -> bytes:
    """All bytes of the store as they lie on disk."""
    return b"".join(file.read_bytes() for file in (path, log_of(path)) if file.exists())


def _fill(store: Store, make_span: Make, traces: range, owner: Callable[[int], str]) -> None:
    """Requests of three spans, each with its owner's id in a correlation, a flag record and an attribute."""
    store.append([_decoded(
        (make_span(n, k, attributes=f'{{"user.id": "{owner(n)}"}}') for n in traces for k in (1, 2, 3)),
        (_evaluated(n, owner(n)) for n in traces),
        (_log(n, f'{{"user.id": "{owner(n)}"}}') for n in traces),
        (_known(n, owner(n)) for n in traces),
    )])  # fmt: skip


def test_every_request_of_the_person_goes_whole(store: Store, make_span: Make) -> None:
    """Wherever the id stands, the whole trace goes, and nothing of anyone else."""
    store.append([_decoded(
        (make_span(n, k, attributes='{"user.id": "x"}') for n in range(1, 8) for k in (1, 2)),
        [_evaluated(2, ID), _evaluated(6, f"{ID}0")],
        [
            _log(3, f'{{"user.id": "{ID}"}}'), _log(None, f'{{"user.id": "{ID}"}}'), _log(7, f'{{"note": "{ID}"}}'),
            _log(1, None),
        ],
        [_known(1, ID), _known(4, ID, "session.id"), _known(5, "other"), _known(7, ID.upper())],
    )])  # fmt: skip
    assert _forget(store, _person()) == Removed(requests=4, spans=8, logs=3, other=3)
    assert _traces(store) == [5, 6, 7]
    assert _traces(store, "correlations") == [5, 7]
    assert _traces(store, "flag_records") == [6]
    assert _traces(store, "logs") == [7]


def test_a_key_narrows_it_down(store: Store, make_span: Make) -> None:
    """With a key only that attribute counts, also one that is not kept apart."""
    store.append([_decoded(
        [make_span(1, 1), make_span(2, 1), make_span(3, 1, attributes=f'{{"customer": "{ID}"}}'), make_span(4, 1)],
        [_evaluated(4, ID)],
        [],
        [_known(1, ID), _known(2, ID, "session.id")],
    )])  # fmt: skip
    for key, gone in (("user.id", 1), ("customer", 3), ("feature_flag.context.id", 4)):
        assert _forget(store, _person(only=key)).requests == 1
        assert gone not in _traces(store)
    assert _traces(store) == [2]


@pytest.mark.parametrize("id_", ["O'Brien; --", 'a"b\\c', "ünï ✓", "%", "*", "_", "7"])
def test_ids_are_taken_as_they_are(store: Store, make_span: Make, id_: str) -> None:
    """No character of an id means anything to the database."""
    store.append([_decoded([make_span(1, 1), make_span(2, 1)], (), (), [_known(1, id_), _known(2, "somebody else")])])
    assert _forget(store, _person(id_)).requests == 1
    assert _traces(store) == [2]


def test_ids_in_log_records_are_read_as_json(store: Store) -> None:
    """An id that JSON writes otherwise than it reads is found in a log record, too."""
    store.append([_decoded([], (), [_log(None, r'{"user.id": "a\"b\\c"}'), _log(None, '{"user.id": 77}')])])
    assert _forget(store, _person('a"b\\c')) == Removed(logs=1)
    assert _forget(store, _person("77")) == Removed(logs=1)


@pytest.mark.parametrize("id_", [ID, "a~b", "zz-last", "long " + "x" * 5_000])
def test_no_byte_of_the_id_is_left(path: Path, make_span: Make, id_: str) -> None:
    """Neither the file nor its log holds the id afterwards: no row, no statistics, no free block."""
    with open_store(path, mode="write") as store:
        _fill(store, make_span, range(4_000), lambda n: id_ if n % 100 == 0 else f"user_{n % 97}")
        with store.alone(1) as cursor:
            cursor.execute("CHECKPOINT")
        _fill(store, make_span, range(4_000, 4_100), lambda n: id_ if n == 4_050 else "user_5")
        assert id_.encode()[:8] in _bytes(path)
        assert _forget(store, _person(id_)).requests == 41
        assert id_.encode() not in _bytes(path)
        assert id_.encode()[:8] not in _bytes(path)
        _fill(store, make_span, range(9_000, 9_100), lambda _: "user_6")
        assert len(_traces(store)) == 4_159
    assert id_.encode()[:8] not in _bytes(path)
    assert b"user_5" in _bytes(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_unknown_id_changes_nothing(store: Store, path: Path, make_span: Make) -> None:
    """Nobody's requests go, and the file is not written anew."""
    _fill(store, make_span, range(10), lambda _: "somebody")
    inode = path.stat().st_ino
    assert _forget(store, _person()) == Removed()
    assert path.stat().st_ino == inode


def test_a_rehearsal_tells_and_changes_nothing(store: Store, path: Path, make_span: Make) -> None:
    """What would go is counted, and everything is still there."""
    _fill(store, make_span, range(10), lambda n: ID if n < 4 else "somebody")
    inode = path.stat().st_ino
    told = _forget(store, _person(), rehearse=True)
    assert len(_traces(store)) == 10
    assert path.stat().st_ino == inode
    assert told == _forget(store, _person()) == Removed(requests=4, spans=12, logs=4, other=8)


def test_the_rest_of_the_file_is_as_it_was(store: Store, path: Path, make_span: Make) -> None:
    """Views, macros, the schema's version, tables of other people and the file's mode come along."""
    _fill(store, make_span, range(10), lambda n: ID if n < 4 else "somebody")
    with store.cursor() as cursor:
        cursor.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.notes AS SELECT 'hello' AS note")
    path.chmod(0o640)
    _forget(store, _person())
    with store.cursor() as cursor:
        assert cursor.execute("SELECT note FROM theirs.notes").fetchall() == [("hello",)]
        assert cursor.execute("SELECT DISTINCT attr('user.id') FROM distinct_spans").fetchall() == [("somebody",)]
        assert cursor.execute("SELECT count(*) FROM flag_evaluations").fetchall() == [(6,)]
    assert path.stat().st_mode & 0o777 == 0o640
    store.close()
    with open_store(path, mode="write") as again:
        assert len(_traces(again)) == 6


def test_a_store_behind_a_link_stays_behind_it(path: Path, tmp_path: Path, make_span: Make) -> None:
    """The file that the link names is written anew, and the link stays a link."""
    link = tmp_path / "link.duckdb"
    with open_store(path, mode="write"):
        pass
    link.symlink_to(path)
    with open_store(link, mode="write") as store:
        _fill(store, make_span, range(10), lambda n: ID if n < 4 else "somebody")
        _forget(store, _person())
        assert len(_traces(store)) == 6
    assert link.is_symlink()
    assert ID.encode() not in _bytes(path)


def test_spans_that_arrive_meanwhile_are_kept(store: Store, make_span: Make) -> None:
    """What is appended while the file is written anew is there afterwards, once, whatever is checkpointed meanwhile."""
    store.bound_log(500_000)
    _fill(store, make_span, range(20_000), lambda n: ID if n % 10 == 0 else "somebody")
    stop = threading.Event()
    sent: list[int] = []

    def send() -> None:
        first = 100_000
        while not stop.is_set():
            _fill(store, make_span, range(first, first + 50), lambda _: "somebody")
            sent.extend(range(first, first + 50))
            first += 50

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert _forget(store, _person()).requests == 2_000
    finally:
        stop.set()
        sender.join()
    assert _traces(store) == [*(n for n in range(20_000) if n % 10), *sent]
    with store.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM spans").fetchall() == [(3 * (18_000 + len(sent)),)]


def test_readers_finish_first_and_what_is_left_is_made_up_for(store: Store, path: Path, make_span: Make) -> None:
    """A reader that stays makes the second half fail in words; the requests are gone, the bytes go with `finish`."""
    _fill(store, make_span, range(50), lambda n: ID if n < 4 else "somebody")
    with store.cursor() as reader:
        with pytest.raises(StoreError, match=r"removed, but their bytes are still in the file.*tries again"):
            forget(store, _person(), patience=0.05)
        assert reader.execute("SELECT count(DISTINCT trace_id) FROM spans").fetchall() == [(46,)]
    assert ID.encode() in _bytes(path)
    assert finish(store, patience=1)
    assert ID.encode() not in _bytes(path)
    assert not finish(store, patience=1)


def test_a_full_disk_leaves_everything_as_it_was(store: Store, path: Path, make_span: Make) -> None:
    """Without room for a second file the store goes on as it is, and the next attempt takes the bytes out."""
    _fill(store, make_span, range(20_000), lambda n: ID if n % 10 == 0 else f"somebody-{n}")
    with store.alone(1) as cursor:
        cursor.execute("CHECKPOINT")
    _, hard = soft_hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StoreError, match="could not be written anew"):
            _forget(store, _person())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, soft_hard)
    assert {file.name for file in path.parent.iterdir()} <= {path.name, log_of(path).name}
    assert len(_traces(store)) == 18_000
    _fill(store, make_span, range(30_000, 30_010), lambda _: "somebody")
    assert _forget(store, _person()) == Removed()
    assert ID.encode() not in _bytes(path)
    assert len(_traces(store)) == 18_010


def test_a_file_that_is_open_elsewhere_is_not_replaced(store: Store, path: Path, make_span: Make) -> None:
    """Another connection of this process would go on writing into a file without a name."""
    _fill(store, make_span, range(10), lambda n: ID if n < 4 else "somebody")
    with open_store(path) as elsewhere, pytest.raises(StoreError, match="open elsewhere in this process"):
        _forget(store, _person())
    assert elsewhere.path == path
    _fill(store, make_span, range(20, 30), lambda _: "somebody")
    assert finish(store, patience=1)
    assert len(_traces(store)) == 16


def test_a_store_in_memory_forgets(make_span: Make) -> None:
    """Where there is no file, rows are all there is."""
    with open_store(":memory:", mode="write") as store:
        _fill(store, make_span, range(10), lambda n: ID if n < 4 else "somebody")
        assert _forget(store, _person()).requests == 4
        assert not finish(store, patience=1)
        assert len(_traces(store)) == 6


_KILLED = """
import sys
from traceguard.settings import UNIT_KEYS
from traceguard.store import open_store
from traceguard.store.forget import Person, forget
with open_store(sys.argv[1], mode="write") as store:
    print("go", flush=True)
    forget(store, Person((sys.argv[2],), UNIT_KEYS), patience=5)
    print("done", flush=True)
"""


def test_a_kill_at_any_moment_leaves_one_whole_store(tmp_path: Path, make_span: Make) -> None:
    """Killed anywhere between the first row and the new file, the store opens with all of the others' requests."""
    original = tmp_path / "original.duckdb"
    with open_store(original, mode="write") as store:
        _fill(store, make_span, range(15_000), lambda n: ID if n % 10 == 0 else "somebody")
    path = tmp_path / "killed" / "live.duckdb"

    def attempt(kill_after: float | None) -> float:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(original, path)
        log_of(path).unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", _KILLED, path, ID], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        began = time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            process.send_signal(signal.SIGKILL)
        process.communicate()
        return time.monotonic() - began

    whole = attempt(None)
    halves = set()
    for n in range(10):
        attempt(whole * (n + 0.5) / 10)
        with open_store(path, mode="write") as store:
            left = _traces(store)
            assert [n for n in left if n % 10] == [n for n in range(15_000) if n % 10]
            assert len(left) in {13_500, 15_000}
            halves.add(len(left))
            finish(store, patience=1)
            assert {file.name for file in path.parent.iterdir()} <= {path.name, log_of(path).name}
        if len(left) == 13_500:
            assert ID.encode() not in _bytes(path)
        path.unlink()
    assert 13_500 in halves
