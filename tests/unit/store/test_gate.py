"""The gate: readers pass, unless someone needs the store alone, and nobody waits for ever."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from traceguard.store import Store
from traceguard.store.gate import CrowdedError, Gate

Make = Callable[..., Any]


def test_who_needs_the_store_waits_for_readers_that_are_inside() -> None:
    """The block begins when the last reader has left."""
    gate = Gate()
    gate.enter()
    left = threading.Timer(0.2, gate.leave)
    left.start()
    began = time.monotonic()
    with gate.emptied(10):
        assert time.monotonic() - began >= 0.19
    left.join()


def test_readers_wait_until_the_gate_opens_again() -> None:
    """Who comes while the gate is closed goes on when the block has ended."""
    gate = Gate()
    passed = threading.Event()

    def read() -> None:
        gate.enter()
        passed.set()
        gate.leave()

    with gate.emptied(10):
        reader = threading.Thread(target=read)
        reader.start()
        assert not passed.wait(0.1)
    assert passed.wait(10)
    reader.join()


def test_patience_ends_and_the_gate_opens() -> None:
    """A reader that does not leave is reported, and others pass again."""
    gate = Gate()
    gate.enter()
    with pytest.raises(CrowdedError, match=r"busy with the store for 0.05 seconds"), gate.emptied(0.05):
        pytest.fail("the reader is still inside")
    gate.enter()


def test_waiting_can_be_given_up() -> None:
    """Who waits for a reader is told at once, the gate opens, and the next one waits again."""
    gate = Gate()
    gate.enter()
    giving_up = threading.Timer(0.1, gate.give_up)
    giving_up.start()
    began = time.monotonic()
    with pytest.raises(CrowdedError, match="broken off"), gate.emptied(30):
        pytest.fail("the reader is still inside")
    assert time.monotonic() - began < 5
    gate.enter()
    gate.leave()
    giving_up.join()
    gate.give_up()
    with pytest.raises(CrowdedError, match=r"for 0.05 seconds"), gate.emptied(0.05):
        pytest.fail("the reader is still inside")


def test_an_error_inside_opens_the_gate() -> None:
    """Whatever happens in the block, the gate does not stay closed."""
    gate = Gate()
    with pytest.raises(ZeroDivisionError), gate.emptied(1):
        _ = 1 / 0
    gate.enter()


def test_a_cursor_is_inside_until_it_is_closed(store: Store) -> None:
    """Cursors count however they end: by a block, by hand, twice, or by being dropped."""
    with store.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchall() == [(1,)]
        with pytest.raises(CrowdedError), store.alone(0.01):
            pytest.fail("the cursor is open")
    by_hand = store.cursor()
    assert by_hand.execute("SELECT 1").fetchall() == [(1,)]
    by_hand.close()
    by_hand.close()
    dropped = store.cursor()
    del dropped
    with store.alone(0.01) as alone:
        assert alone.execute("SELECT 1").fetchall() == [(1,)]


def test_appending_waits_for_who_is_alone(store: Store, make_batch: Make, make_span: Make) -> None:
    """Nothing is written while someone has the store alone, and everything right after."""
    with store.alone(1) as cursor:
        writer = threading.Thread(target=store.append, args=([make_batch([make_span(1, 1)])],))
        writer.start()
        writer.join(0.1)
        assert writer.is_alive()
        assert cursor.execute("SELECT count(*) FROM spans").fetchall() == [(0,)]
    writer.join(10)
    with store.cursor() as reader:
        assert reader.execute("SELECT count(*) FROM spans").fetchall() == [(1,)]
