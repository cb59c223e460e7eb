"""Judging by the clock: when spans arrived, whatever goes wrong, and no longer than the server runs."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from traceguard.errors import UsageError
from traceguard.server.page.filters import Filters
from traceguard.server.page.given import History
from traceguard.server.page.schedule import Schedule, interval
from traceguard.server.page.verdicts import Verdicts
from traceguard.server.page.windows import Windows
from traceguard.server.questions.analyses import Analyses
from traceguard.server.watch.counters import Counters
from traceguard.settings import Settings
from traceguard.simulate import generate, shop
from traceguard.store import Store, open_store, queries

START_NS = 1_800_000_000_000_000_000


@pytest.fixture
def store() -> Iterator[Store]:
    """A store with ten minutes of the shop."""
    with open_store(":memory:", mode="write") as opened:
        made = generate(shop(), requests=1500, seed=3, start_ns=START_NS, duration_ns=600_000_000_000)
        opened.append([made.decoded()])
        yield opened


@pytest.fixture
def analyses(store: Store) -> Iterator[Analyses]:
    """The line of questions."""
    line = Analyses(store, Counters())
    line.start()
    yield line
    line.close(10)


@pytest.fixture
def verdicts(store: Store, analyses: Analyses) -> Verdicts:
    """The page's reports."""
    return Verdicts(analyses, Windows(analyses, Settings()), Settings(), History(store, Counters()))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _times(store: Store) -> list[int]:
    with store.cursor() as cursor:
        return [row["times"] for row in queries.run(cursor, "verdicts").to_pylist()]


def test_it_judges_anew_once_spans_have_arrived(store: Store, verdicts: Verdicts) -> None:
    """What is there is judged at the start, and again after something came; the page finds the report."""
    arrived, looks = [0.0], [0]

    def count() -> float:
        looks[0] += 1
        return arrived[0]

    schedule = Schedule(verdicts, count, 0.05)
    schedule.start()
    try:
        _until(lambda: looks[0] >= 4)
        assert _times(store) == [1], "nothing came since"
        found = verdicts.latest(Filters())
        assert found is not None
        assert found.analysis is not None
        arrived[0] = 1.0
        _until(lambda: _times(store) == [2])
    finally:
        schedule.stop()


def test_a_failure_is_logged_and_the_next_comes(
    store: Store, verdicts: Verdicts, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong around a judging, the schedule goes on."""
    counts: list[float] = [1.0]

    def count() -> float:
        return counts.pop()  # nothing is left the second time

    schedule = Schedule(verdicts, count, 0.02)
    with caplog.at_level(logging.ERROR, "traceguard"):
        schedule.start()
        _until(lambda: len(caplog.records) >= 2)
        counts.append(2.0)
        _until(lambda: _times(store) == [2])
        schedule.stop()
    assert {r.event for r in caplog.records} == {"judging_failed"}  # type: ignore[attr-defined]


def test_a_report_that_fails_is_logged_and_the_next_is_kept(
    store: Store, verdicts: Verdicts, caplog: pytest.LogCaptureFixture
) -> None:
    """A judging whose report fails inside says so where the page shows it, and leaves no verdict."""
    with store.alone(10) as cursor:
        cursor.execute("ALTER TABLE flag_records RENAME TO away")
    assert verdicts.judge()
    found = verdicts.latest(Filters())
    assert found is not None
    assert found.note.startswith("The report failed")
    assert [r.event for r in caplog.records] == ["question_failed"]  # type: ignore[attr-defined]
    assert _times(store) == []
    with store.alone(10) as cursor:
        cursor.execute("ALTER TABLE away RENAME TO flag_records")
    assert verdicts.judge()
    assert _times(store) == [1]


def test_it_ends_with_the_questions(analyses: Analyses, verdicts: Verdicts) -> None:
    """A judging that waits for its turn does not outlive the line, and none begins after that."""
    hold = threading.Event()
    analyses.submit("report", lambda _: hold.wait(60), awaited=False)
    judged: list[bool] = []
    waiting = threading.Thread(target=lambda: judged.append(verdicts.judge()))
    waiting.start()
    _until(lambda: len(analyses._behind.waiting) == 1)
    analyses.stop()
    waiting.join(60)
    hold.set()
    assert judged == [False]
    assert not verdicts.judge()


def test_whoever_waits_goes_before_judgings(analyses: Analyses, verdicts: Verdicts) -> None:
    """A page without a report gets one while a judging waits for its turn, and whoever judges does not wait for it."""
    hold = threading.Event()
    analyses.submit("window", lambda _: hold.wait(60), awaited=False)
    judging = threading.Thread(target=verdicts.judge)
    judging.start()
    _until(lambda: len(analyses._behind.waiting) == 1)
    found = asyncio.run(verdicts.fresh(Filters(entry="POST /checkout"), patience=120))
    assert found is not None
    assert found.analysis is not None
    assert asyncio.run(verdicts.fresh(Filters(), patience=120)) is not None, "also of what is to be judged"
    assert len(analyses._behind.waiting) == 1
    hold.set()
    judging.join(60)
    assert verdicts.latest(Filters()) is not None


@pytest.mark.parametrize("text", ["0s", "-5m", "500ms", "often", "10"])
def test_an_interval_that_is_none_is_refused(text: str) -> None:
    """Too short, negative, no duration: a sentence says what to write."""
    with pytest.raises(UsageError, match="write a"):
        interval(text)
    assert interval("10m") == 600
