"""Group commit: one transaction for what arrives together, no acknowledgement without one."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from traceguard.otlp.columns import FLAG_RECORDS, LOGS, Decoded
from traceguard.server.intake import commit
from traceguard.server.intake.commit import PENALTY_SECONDS, Committer
from traceguard.server.intake.refusal import Busy, NotCommitted
from traceguard.server.watch.counters import Counters
from traceguard.store import Store, open_store
from traceguard.store.hot import log_bytes

_RECORD = {"service": "shop", "severity": 9, "flags": 0, "dropped_attributes": 0}


def _batch(text: str) -> Decoded:
    return Decoded(logs=pa.Table.from_pylist([_RECORD | {"body": text}], schema=LOGS), received=1)


# A flag record without its key: the store refuses the transaction that holds it.
_BAD = Decoded(flag_records=pa.Table.from_pylist([{"trace_id": "t"}], schema=FLAG_RECORDS), received=1)


@pytest.fixture
def store() -> Iterator[Store]:
    """A store in memory."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


def _bodies(store: Store) -> list[str]:
    with store.cursor() as cursor:
        return [row[0] for row in cursor.execute("SELECT body FROM logs ORDER BY body").fetchall()]


def test_what_waits_shares_one_transaction(store: Store) -> None:
    """Requests queued before the writer looks are committed together, and each is answered."""
    counters = Counters()
    committer = Committer(store, counters)
    futures = [committer.submit(_batch(str(n))) for n in range(9)]
    assert not any(future.done() for future in futures)
    committer.start()
    assert [future.result(10) for future in futures] == [None] * 9
    committer.close()
    assert counters.value("commits") == 1
    assert counters.value("log_records_committed") == 9
    assert _bodies(store) == [str(n) for n in range(9)]


def test_a_bad_request_does_not_spoil_its_companions(store: Store) -> None:
    """Where a shared transaction fails, each request gets its own try and its own answer."""
    committer = Committer(store, Counters())
    good, bad, also = committer.submit(_batch("a")), committer.submit(_BAD), committer.submit(_batch("b"))
    committer.start()
    assert (good.result(10), also.result(10)) == (None, None)
    with pytest.raises(NotCommitted, match="nothing of it is kept"):
        bad.result(10)
    committer.close()
    assert _bodies(store) == ["a", "b"]


def test_a_failure_makes_the_server_unready_for_a_while(store: Store) -> None:
    """Readiness goes with a failed commit, and returns with a good one or when the penalty has passed."""
    now = [0.0]
    committer = Committer(store, Counters(), clock=lambda: now[0])
    committer.start()
    assert committer.ready
    assert committer.submit(_BAD).exception(10) is not None
    assert not committer.ready
    now[0] = PENALTY_SECONDS + 0.1
    assert committer.ready
    assert committer.submit(_BAD).exception(10) is not None
    assert not committer.ready
    committer.submit(_batch("a")).result(10)
    assert committer.ready
    committer.close()
    assert not committer.ready


def test_closing_writes_what_is_queued_and_takes_no_more(store: Store) -> None:
    """A stop loses nothing that was taken; what comes later is told to come again."""
    committer = Committer(store, Counters())
    futures = [committer.submit(_batch(str(n))) for n in range(5)]
    committer.start()
    committer.close()
    committer.close()
    assert all(future.done() for future in futures)
    assert len(_bodies(store)) == 5
    with pytest.raises(Busy, match="stopping"):
        committer.submit(_batch("late"))


def test_an_empty_request_needs_no_transaction(store: Store) -> None:
    """Nothing to write is done at once."""
    assert Committer(store, Counters()).submit(Decoded()).done()


def test_a_caller_that_gives_up_changes_nothing(store: Store) -> None:
    """What was taken is committed whoever still waits for it."""
    committer = Committer(store, Counters())
    future = committer.submit(_batch("a"))
    assert not future.cancel()
    committer.start()
    committer.close()
    assert future.result(10) is None
    assert _bodies(store) == ["a"]


def test_many_threads_lose_nothing(store: Store) -> None:
    """Every future that ended well stands for exactly one row."""
    committer = Committer(store, Counters())
    committer.start()
    done: list[Any] = []

    def send(thread: int) -> None:
        for n in range(50):
            committer.submit(_batch(f"{thread}-{n}")).result(30)
            done.append(f"{thread}-{n}")

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    committer.close()
    assert sorted(done) == _bodies(store)
    assert len(done) == 400


def test_a_small_transaction_waits_for_what_is_on_its_way(store: Store) -> None:
    """While more requests have arrived than wait, a transaction stays open for them for some milliseconds."""
    counters = Counters()
    committer = Committer(store, counters)
    committer.arrived = lambda: 3
    committer.start()
    for _ in range(20):
        futures = [committer.submit(_batch("x")) for _ in range(3)]
        assert [future.result(10) for future in futures] == [None] * 3
    committer.close()
    assert counters.value("log_records_committed") == 60
    assert counters.value("commits") < 30


def test_nothing_waits_for_a_request_that_does_not_come(store: Store) -> None:
    """A request that has arrived and never gets further keeps the others waiting shortly, not for itself."""
    committer = Committer(store, Counters())
    committer.arrived = lambda: 2
    committer.start()
    assert committer.submit(_batch("x")).result(10) is None
    committer.close()


def test_the_log_is_settled_when_nobody_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some time after the last request what was committed lies in the file, and the log is gone."""
    monkeypatch.setattr(commit, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(commit, "_IDLE_BYTES", 1000)
    with open_store(tmp_path / "live.duckdb", mode="write") as opened:
        committer = Committer(opened, Counters())
        committer.start()
        committer.submit(_batch("x" * 2000)).result(10)
        assert log_bytes(opened.path) > 1000
        deadline = time.monotonic() + 30
        while log_bytes(opened.path) > 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert log_bytes(opened.path) == 0
        committer.submit(_batch("y")).result(10)
        committer.close()
        assert _bodies(opened) == ["x" * 2000, "y"]


def test_the_log_is_settled_amid_easy_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where requests never stop but leave time, the log is settled as it grows."""
    monkeypatch.setattr(commit, "_EASY_BYTES", 10_000)
    monkeypatch.setattr(commit, "_EASY_SHARE", 1.1)
    with open_store(tmp_path / "live.duckdb", mode="write") as opened:
        committer = Committer(opened, Counters())
        committer.start()
        for _ in range(30):
            committer.submit(_batch("x" * 2000)).result(10)
        assert log_bytes(opened.path) <= 20_000
        committer.close()
