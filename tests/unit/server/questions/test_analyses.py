"""Questions in line: two at a time, a bounded number behind them, and none that holds up a stop."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import duckdb
import pytest

from traceguard.server.questions import analyses as lines
from traceguard.server.questions.analyses import Analyses, GoneError, LineFullError, Question
from traceguard.server.watch.counters import Counters
from traceguard.store import Store, open_store
from traceguard.store.interruptible import Interruptible, TakenBackError

_LONG = "SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(1_000_000) b"


class Held:
    """Work that goes on until it may end; `began` counts how often it was begun."""

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Semaphore(0)

    def __call__(self, _: Question) -> int:
        """Work, and answer 7."""
        self.began.release()
        assert self.go.wait(10)
        return 7


class Client:
    """The half of a request that says when its client goes away."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        """The request once, then nothing until the client goes away."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}


@pytest.fixture
def store() -> Iterator[Store]:
    """A store in memory."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


@pytest.fixture
def line(store: Store) -> Iterator[Callable[..., Analyses]]:
    """Makes lines, and stops them."""
    made: list[Analyses] = []

    def make(counters: Counters | None = None, **bounds: int) -> Analyses:
        made.append(Analyses(store, counters or Counters(), **bounds))
        made[-1].start()
        return made[-1]

    yield make
    for analyses in made:
        analyses.stop()
        analyses.close(10)


def _ask_database(question: Question) -> Any:
    with question.store.cursor() as cursor:
        return cursor.execute(_LONG).fetchall()


def test_as_many_run_as_may_and_the_line_is_bounded(line: Callable[..., Analyses]) -> None:
    """Two run, two wait, the fifth is told to come again; in the end all four are answered in turn."""
    counters = Counters()
    analyses = line(counters, at_once=2, line=2)
    work = Held()
    taken = [analyses.submit("graph", work) for _ in range(2)]
    assert work.began.acquire(timeout=10)
    assert work.began.acquire(timeout=10)
    taken += [analyses.submit("graph", work) for _ in range(2)]
    with pytest.raises(LineFullError, match=r"2 questions are being answered and 2 more wait.*in 5 seconds"):
        analyses.submit("graph", work)
    text = counters.text()
    assert "traceguard_questions_running 2" in text
    assert "traceguard_questions_waiting 2" in text
    work.go.set()
    assert [question.future.result(10) for question in taken] == [7] * 4
    deadline = time.monotonic() + 10
    while counters.value("question_duration_seconds", "graph") < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert counters.value("questions_refused") == 1
    assert counters.value("question_duration_seconds", "graph") == 4


def test_what_nobody_waits_for_takes_no_turn_from_others(line: Callable[..., Analyses]) -> None:
    """One such question runs at a time, beside as many others as may run, and its line is bounded, too."""
    counters = Counters()
    analyses = line(counters, at_once=1, line=1)
    work = Held()
    behind = [analyses.submit("window", work, awaited=False)]
    assert work.began.acquire(timeout=10)
    behind.append(analyses.submit("window", work, awaited=False))
    with pytest.raises(LineFullError, match="1 questions are being answered and 1 more wait"):
        analyses.submit("window", work, awaited=False)
    assert analyses.submit("graph", lambda _: 1).future.result(10) == 1
    assert "traceguard_questions_running 1" in counters.text()
    assert "traceguard_questions_waiting 1" in counters.text()
    assert not work.began.acquire(timeout=0.05)
    work.go.set()
    assert [question.future.result(10) for question in behind] == [7, 7]


def test_what_nobody_waits_for_begins_in_a_quiet_moment(
    line: Callable[..., Analyses], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while another is answered, nor in the moment after that."""
    monkeypatch.setattr(lines, "_QUIET_SECONDS", 0.3)
    analyses = line()
    go = threading.Event()
    asked = analyses.submit("graph", lambda _: go.wait(10))
    behind = analyses.submit("window", lambda _: time.perf_counter(), awaited=False)
    time.sleep(0.4)
    assert not behind.future.running()
    answered = time.perf_counter()
    go.set()
    assert asked.future.result(10)
    assert behind.future.result(10) - answered >= 0.3


def test_a_quiet_moment_is_not_waited_for_for_ever(
    line: Callable[..., Analyses], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one question follows the other, what they rest on is renewed all the same."""
    monkeypatch.setattr(lines, "_PATIENCE_SECONDS", 0.2)
    analyses = line()
    go = threading.Event()
    analyses.submit("graph", lambda _: go.wait(10))
    assert analyses.submit("window", lambda _: 7, awaited=False).future.result(10) == 7
    go.set()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives each thread a priority of its own")
def test_what_nobody_waits_for_gets_what_time_is_left(line: Callable[..., Analyses]) -> None:
    """Exports go before questions, and questions before those that only renew something."""
    analyses = line()

    def priority(_: Question) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    here = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    asked = analyses.submit("graph", priority).future.result(10)
    behind = analyses.submit("window", priority, awaited=False).future.result(10)
    assert here < asked < behind


def test_who_goes_away_while_waiting_leaves_the_line(line: Callable[..., Analyses]) -> None:
    """A dropped question is never worked on and its place is free."""
    counters = Counters()
    analyses = line(counters, at_once=1, line=1)
    go = threading.Event()
    first = analyses.submit("graph", lambda _: go.wait(10))
    worked: list[int] = []

    async def leave() -> None:
        client = Client()
        asking = asyncio.ensure_future(analyses.answer(client, "graph", lambda _: worked.append(1)))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        client.left.set()
        with pytest.raises(GoneError):
            await asking

    while not first.future.running():
        time.sleep(0.001)
    asyncio.run(leave())
    second = analyses.submit("graph", lambda _: 2)
    go.set()
    assert second.future.result(10) == 2
    assert worked == []
    assert counters.value("questions_dropped") == 1


def test_who_goes_away_amid_the_answer_stops_the_database(line: Callable[..., Analyses]) -> None:
    """The statement is interrupted, and its thread takes the next question."""
    analyses = line(at_once=1)

    async def leave() -> None:
        client = Client()
        asking = asyncio.ensure_future(analyses.answer(client, "report", _ask_database))  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        client.left.set()
        with pytest.raises(GoneError):
            await asking

    asyncio.run(leave())
    assert analyses.submit("graph", lambda _: 2).future.result(10) == 2


def test_a_stop_interrupts_what_runs_and_turns_away_what_waits(line: Callable[..., Analyses]) -> None:
    """Both are told that the server stops, quickly, and nobody is taken after."""
    analyses = line(at_once=1)
    renewing = analyses.submit("report", _ask_database, awaited=False)
    while not renewing.future.running():
        time.sleep(0.001)
    renewed_later = analyses.submit("report", _ask_database, awaited=False)
    running = analyses.submit("report", _ask_database)
    waiting = analyses.submit("report", _ask_database)
    while not running.future.running():
        time.sleep(0.001)
    time.sleep(0.1)
    began = time.monotonic()
    analyses.stop()
    analyses.close(10)
    assert time.monotonic() - began < 5
    for question in (running, waiting, renewing, renewed_later):
        with pytest.raises(LineFullError, match="stopping"):
            question.future.result(0)
    with pytest.raises(LineFullError, match="stopping"):
        analyses.submit("graph", lambda _: 1)


def test_a_stop_waits_no_longer_than_it_may(line: Callable[..., Analyses], caplog: pytest.LogCaptureFixture) -> None:
    """Work that cannot be interrupted is left behind, and the log says so."""
    analyses = line(at_once=1)
    go = threading.Event()
    stubborn = analyses.submit("report", lambda _: go.wait(30))
    while not stubborn.future.running():
        time.sleep(0.001)
    analyses.stop()
    began = time.monotonic()
    analyses.close(0.2)
    assert time.monotonic() - began < 5
    assert "did not end (report)" in caplog.text
    go.set()


def test_closing_alone_is_enough(store: Store) -> None:
    """A server that fails to start closes at once, without a stop before, and no thread is left."""
    analyses = Analyses(store, Counters())
    analyses.start()
    began = time.monotonic()
    analyses.close(10)
    assert time.monotonic() - began < 5
    assert not any(thread.is_alive() for thread in analyses._threads)
    analyses.close(10)


def test_stages_are_moments_to_end(store: Store) -> None:
    """Work between statements ends at its next stage, and no further statement begins."""
    question = Question("report", lambda _: None, Interruptible(store))
    question.show("Linking traces", 1, 2)
    with question.store.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchall() == [(1,)]
        question.store.interrupt()
        with pytest.raises(TakenBackError):
            cursor.execute("SELECT 1")
    with pytest.raises(TakenBackError):
        question.show("Explaining")
    with pytest.raises(TakenBackError), question.store.cursor():
        pass


def test_interrupting_one_question_leaves_others_alone(store: Store) -> None:
    """A cursor elsewhere goes on while a statement is stopped."""
    mine = Interruptible(store)
    failed: list[type[BaseException]] = []

    def work() -> None:
        try:
            with mine.cursor() as cursor:
                cursor.sql(_LONG).to_arrow_table()
        except duckdb.InterruptException as error:
            failed.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    mine.interrupt()
    thread.join(10)
    assert failed == [duckdb.InterruptException]
    with store.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM range(1_000_000)").fetchall() == [(1_000_000,)]


def test_errors_reach_who_asked(line: Callable[..., Analyses]) -> None:
    """Whatever a question raises is its asker's, and the thread lives on."""
    analyses = line(at_once=1)

    def fail(_: Question) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        analyses.submit("graph", fail).future.result(10)
    assert analyses.submit("graph", lambda _: 1).future.result(10) == 1


def test_a_cancelled_question_is_not_begun(line: Callable[..., Analyses]) -> None:
    """Whoever holds the future may cancel it while it waits."""
    analyses = line(at_once=1)
    go = threading.Event()
    analyses.submit("graph", lambda _: go.wait(10))
    second = analyses.submit("graph", lambda _: 2)
    assert second.future.cancel()
    go.set()
    assert analyses.submit("graph", lambda _: 3).future.result(10) == 3
    with pytest.raises(CancelledError):
        second.future.result(0)
