"""Tending a live store: when passes run, what is counted and said, what happens when they fail or must stop."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from traceguard.errors import StoreError
from traceguard.otlp.columns import CORRELATIONS, SPANS, Decoded
from traceguard.server.intake.refusal import Busy
from traceguard.server.upkeep.keeper import Keeper
from traceguard.server.watch.counters import Counters
from traceguard.settings import UNIT_KEYS
from traceguard.store import Store, open_store
from traceguard.store.forget import Person
from traceguard.store.removal import Removed
from traceguard.store.retention import Rules

resource = pytest.importorskip("resource", reason="limits of a process are a matter of Unix")

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
SOMEBODY = Person(("u1",), UNIT_KEYS)


def _append(store: Store, *traces: int, age: int = 0, user: str = "u1") -> None:
    span = {
        "service": "s", "operation": "o", "kind": "server", "dur_ns": 1, "status": "unset", "flags": 0,
        "dropped_attributes": 0, "dropped_events": 0, "dropped_links": 0, "evaluation_only": False,
        "end_before_start_ns": 0, "span_id": f"{1:016x}",
    }  # fmt: skip
    ids = [f"{trace:032x}" for trace in traces]
    spans = [span | {"trace_id": id_, "start_ns": NOW - age * SECOND} for id_ in ids]
    known = [{"trace_id": id_, "span_id": span["span_id"], "key": "user.id", "value": user} for id_ in ids]
    store.append([Decoded(
        spans=pa.Table.from_pylist(spans, schema=SPANS), correlations=pa.Table.from_pylist(known, schema=CORRELATIONS)
    )])  # fmt: skip


def _count(store: Store) -> int:
    with store.cursor() as cursor:
        return int(cursor.execute("SELECT count(*) FROM spans").fetchall()[0][0])


def _until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_store(tmp_path / "live.duckdb", mode="write") as opened:
        yield opened


def test_passes_follow_the_clock(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """What gets too old while the server runs goes, is counted by reason, and is said once."""
    caplog.set_level(logging.INFO, "traceguard")
    now = [NOW]
    counters = Counters()
    _append(store, 1, 2, age=8)
    _append(store, 3, age=0)
    keeper = Keeper(store, Rules.of("10s", None), counters, clock=lambda: now[0])
    told: list[int] = []
    keeper.after_removal = lambda: told.append(_count(store))
    keeper.start()
    _until(lambda: counters.value("retention_passes") >= 1)
    assert _count(store) == 3
    assert told == []
    now[0] = NOW + 5 * SECOND
    _until(lambda: counters.value("spans_removed", "age") == 2)
    now[0] = NOW + 11 * SECOND
    _until(lambda: _count(store) == 0)
    keeper.close(10)
    assert counters.value("spans_removed", "age") == 3
    assert counters.value("spans_removed", "size") == counters.value("retention_failures") == 0
    assert told == [1, 0]  # whoever holds rows hears of it when they are gone
    assert "Removed 2 requests, older than what is kept." in caplog.text
    assert f"traceguard_store_bytes {store.path.stat().st_size}" in counters.text() or "wal" in str(
        [file.name for file in store.path.parent.iterdir()]
    )


def test_without_rules_nothing_goes(store: Store) -> None:
    """A server that keeps everything makes no pass."""
    counters = Counters()
    _append(store, 1, age=10**6)
    keeper = Keeper(store, Rules(), counters, clock=lambda: NOW)
    keeper.start()
    assert keeper.forget(Person(("nobody",), UNIT_KEYS)).result(30) == Removed()
    keeper.close(10)
    assert counters.value("retention_passes") == 0
    assert _count(store) == 1


def test_forgetting_waits_for_its_turn_and_is_counted(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A person's requests go on demand, and neither the log nor the metrics name the person."""
    caplog.set_level(logging.DEBUG, "traceguard")
    counters = Counters()
    _append(store, 1, 2)
    _append(store, 3, user="u2")
    keeper = Keeper(store, Rules(), counters)
    keeper.start()
    assert keeper.forget(SOMEBODY, rehearse=True).result(30) == Removed(requests=2, spans=2, other=2)
    assert counters.value("spans_removed", "forget") == 0
    assert keeper.forget(SOMEBODY).result(30) == Removed(requests=2, spans=2, other=2)
    keeper.close(10)
    assert counters.value("spans_removed", "forget") == 2
    assert _count(store) == 1
    assert "Removed 2 requests, to forget someone." in caplog.text
    assert "u1" not in caplog.text
    assert "u1" not in counters.text()


def test_what_a_killed_server_left_to_forget_is_made_up_for(store: Store) -> None:
    """A forgetting that could not write the file anew is finished by whoever tends the store next."""
    from traceguard.store.forget import forget

    _append(store, 1, 2)
    with store.cursor(), pytest.raises(StoreError, match="bytes are still in the file"):
        forget(store, SOMEBODY, patience=0.01)
    inode = store.path.stat().st_ino
    keeper = Keeper(store, Rules(), Counters())
    keeper.start()
    _until(lambda: store.path.stat().st_ino != inode)
    keeper.close(10)
    assert b"u1" not in store.path.read_bytes()


def test_a_failing_pass_is_said_and_tried_again(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full stops no appending for good; the pass comes again and succeeds when there is room."""
    monkeypatch.setattr("traceguard.server.upkeep.keeper._FIRST_WAIT", 0.1)
    counters = Counters()
    _append(store, *range(2_000), age=100)
    _, hard = soft_hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    keeper = Keeper(store, Rules.of("10s", None), counters, clock=lambda: NOW)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        keeper.start()
        _until(lambda: counters.value("retention_failures") >= 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, soft_hard)
    _append(store, 5_000)
    _until(lambda: _count(store) == 1)
    keeper.close(10)
    assert "Retention failed; it is tried again in" in caplog.text


def test_readers_put_a_pass_off(store: Store) -> None:
    """While a reader stays, nothing fails; afterwards the pass is carried through."""
    counters = Counters()
    _append(store, 1, age=100)
    keeper = Keeper(store, Rules.of("10s", None), counters, clock=lambda: NOW)
    keeper._patience = 0.01
    with store.cursor():
        keeper.start()
        _until(lambda: counters.value("spans_removed", "age") == 1)
        time.sleep(0.2)
        assert counters.value("retention_passes") == counters.value("retention_failures") == 0
    _until(lambda: counters.value("retention_passes") >= 1)
    keeper.close(10)


def test_a_stop_ends_what_runs_and_turns_the_rest_away(store: Store) -> None:
    """Closing takes no longer than a statement's interruption, and every future ends."""
    _append(store, *range(3_000))
    keeper = Keeper(store, Rules.of("10s", "8MB"), Counters(), clock=lambda: NOW + 1_000 * SECOND)
    with store.cursor():
        # The reader makes the first one wait at the gate.
        futures = [keeper.forget(SOMEBODY) for _ in range(3)]
        keeper.start()
        time.sleep(0.2)
        stopper = threading.Timer(0.1, keeper.stop)
        stopper.start()
    began = time.monotonic()
    keeper.close(10)
    assert time.monotonic() - began < 5
    assert all(future.done() for future in futures)
    with pytest.raises(Busy, match="stopping"):
        keeper.forget(SOMEBODY).result(1)


def test_a_stop_does_not_wait_for_readers(store: Store) -> None:
    """A forgetting that waits for a reader to leave, and those behind it, are answered before the reader leaves."""
    _append(store, 1)
    keeper = Keeper(store, Rules(), Counters())
    keeper.start()
    with store.cursor():
        futures = [keeper.forget(SOMEBODY) for _ in range(3)]
        time.sleep(0.5)
        assert not futures[0].done()
        keeper.stop()
        for future in futures:
            with pytest.raises(Busy, match="stopping"):
                future.result(5)
        keeper.close(10)
    assert not keeper._thread.is_alive()
