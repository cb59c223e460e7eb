"""What one question reads: with as many cursors as it likes, without waiting for who waits for it."""

import threading
from pathlib import Path

from traceguard.store import open_store
from traceguard.store.interruptible import Interruptible


def test_a_further_cursor_waits_for_nobody_who_waits_for_the_first(tmp_path: Path) -> None:
    """Someone who wants the store for themselves waits until a question is over, however often it reads."""
    with open_store(tmp_path / "a.duckdb", mode="write") as store:
        question, alone = Interruptible(store), threading.Event()

        def want_it_alone() -> None:
            with store.alone(30.0):
                alone.set()

        waiting = threading.Thread(target=want_it_alone)
        with question.cursor() as first:
            waiting.start()
            while not store._gate._closed:
                waiting.join(0.01)
            with question.cursor() as second:
                assert second.execute("SELECT count(*) FROM spans").fetchall() == [(0,)]
            assert first.execute("SELECT count(*) FROM spans").fetchall() == [(0,)]
            assert not alone.is_set()
        waiting.join(30.0)
        assert alone.is_set()
