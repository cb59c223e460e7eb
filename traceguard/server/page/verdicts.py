"""Reports for the page, worked out beside it: a view never waits for one.

A report may take long. A view shows the last one for its filters, and the page's script asks for a newer one, which is
begun when the last is old. There is never more than one at work that somebody waits for, and one that renews another.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceguard.errors import TraceguardError
from traceguard.server.page.filters import Filters
from traceguard.server.page.given import PAGE, SCHEDULE
from traceguard.server.page.rows import rows
from traceguard.server.page.windows import FRESH_SECONDS, OLDEST_SECONDS, Windows
from traceguard.server.questions.analyses import LineFullError
from traceguard.server.watch import log
from traceguard.units import format_time

if TYPE_CHECKING:
    from concurrent.futures import Future

    from traceguard.report import Analysis
    from traceguard.server.page.given import History
    from traceguard.server.questions.analyses import Analyses, Question
    from traceguard.settings import Settings

_REST = 10.0  # a report takes no more than a tenth of the time
_MOST = 8  # kept, of different filters
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A finished report (or a sentence on why there is none), and of when it is (RFC 3339).

    `read_at` is when its window was read (on the clock of time.monotonic), `took` the seconds it was worked on.
    """

    analysis: "Analysis | None"
    note: str
    at: str
    read_at: float
    took: float

    @property
    def stale(self) -> bool:
        """Whether it is time for another."""
        return time.monotonic() - self.read_at > max(FRESH_SECONDS, _REST * self.took)


class Verdicts:
    """The latest report of each choice of filters."""

    def __init__(self, analyses: "Analyses", windows: Windows, settings: "Settings", history: "History") -> None:
        self._analyses = analyses
        self._windows = windows
        self._settings = settings
        self._history = history
        self._lock = threading.Lock()
        self._latest: OrderedDict[Filters, Judged] = OrderedDict()
        self._working: dict[bool, tuple[Filters, Future[None]]] = {}  # by whether somebody waits for it
        self._removals = 0  # that were told of; a report that was being worked out meanwhile is not kept

    def latest(self, filters: Filters) -> Judged | None:
        """The last report there is, however old."""
        with self._lock:
            return self._latest.get(filters)

    async def fresh(self, filters: Filters, patience: float = PATIENCE_SECONDS) -> Judged | None:
        """A report that is new, or not old; None where it is not there yet, or the line is full.

        The first of its filters is waited for, for `patience` seconds. A newer one is only begun: it may take its time,
        and a browser has few connections to hold open.
        """
        first = self.latest(filters)
        until = time.monotonic() + (patience if first is None else 0.0)
        while True:
            found = self.latest(filters)
            if found is not None and (found is not first or not found.stale):
                return found
            working = self._work(filters)
            if working is None or time.monotonic() >= until:
                return None
            waited = asyncio.wrap_future(working)
            # A stop ends a report with an error that nobody reads; asyncio would complain of that.
            waited.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait([waited], timeout=max(until - time.monotonic(), 0.0))

    def judge(self) -> bool:
        """Work out the report that the page shows first, and wait for it; False if its turn did not come."""
        usual = Filters()
        first = self.latest(usual)
        while (working := self._work(usual, SCHEDULE)) is not None:
            wait([working])  # perhaps for one of other filters
            if self.latest(usual) is not first:
                return True
        return False

    def let_go(self) -> None:
        """Forget them all: something was removed from the store, and they may name it."""
        with self._lock:
            self._removals += 1
            self._latest.clear()

    def _work(self, filters: Filters, asked_by: str = PAGE) -> "Future[None] | None":
        """What is being worked out, for these filters or others; None if the line is full."""
        with self._lock:
            awaited = asked_by == PAGE and filters not in self._latest
            working = {line: going for line, going in self._working.items() if not going[1].done()}
            for of, future in working.values():
                # What only waits for a quiet moment is nothing to wait for.
                if of == filters and (future.running() or not awaited):
                    return future
            if awaited in working:
                return working[awaited][1]
            try:
                question = self._analyses.submit(
                    "report", lambda asked: self._report(asked, filters, asked_by, awaited), awaited=awaited
                )
            except LineFullError:
                return None
            self._working = working | {awaited: (filters, question.future)}
            return question.future

    def _report(self, question: "Question", filters: Filters, asked_by: str, awaited: bool) -> None:
        from traceguard import pipeline

        began, note, analysis = time.monotonic(), "", None
        read_at, removals = began, self._removals
        try:
            with question.store.cursor() as cursor:
                empty = not rows(cursor, "extent")[0]["spans"]
            if not empty:
                # The first of its filters is wanted at once, whatever the window's age, if somebody waits for it.
                oldest = OLDEST_SECONDS if awaited else FRESH_SECONDS

                def report(asked: Any, options: dict[str, Any]) -> "Analysis":
                    return pipeline.report(
                        asked, **options, **filters.named, settings=self._settings, progress=question.show,
                        draw_pictures=True,
                    )  # fmt: skip

                analysis, held = self._windows.answer(question, filters, report, oldest)
                read_at = held.read_at if held is not None else began
                self._history.note(question, analysis.document, asked_by, filters.link("/causes"))
        except TraceguardError as refused:
            if question.store.interrupted:
                return
            note = str(refused)
            if asked_by == SCHEDULE:
                log.warning("judging_failed", f"The judging by the clock gave no verdict: {refused}")
        except Exception as error:  # noqa: BLE001  (the page says it; the log has the rest)
            if question.store.interrupted:
                return
            log.failure("question_failed", "The report on the page failed inside.", error, question="page")
            note = f"The report failed: {error}"
        took, age = time.monotonic() - began, time.monotonic() - read_at
        judged = Judged(analysis, note, format_time(time.time_ns() - int(age * 1e9)) or "", read_at, took)
        with self._lock:
            if self._removals != removals:
                return  # whoever waits asks again
            self._latest[filters] = judged
            self._latest.move_to_end(filters)
            while len(self._latest) > _MOST:
                self._latest.popitem(last=False)
