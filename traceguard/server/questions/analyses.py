"""Questions being answered: two at a time, a bounded line behind them, and a turned-away client beyond that.

Each question reads through a cursor of its own and runs in a thread of its own, beside the exports. Whoever goes away
is dropped from the line, or interrupted if their turn has come; a stop interrupts all. Questions whose answer nobody
waits for yet, such as a newer verdict than the one that is shown, have a line of their own: one at a time begins in a
quiet moment, with what time the others leave. What always holds: nothing here keeps the server from stopping in time.
"""

import asyncio
import math
import os
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from traceguard.errors import TraceguardError
from traceguard.server.watch import log
from traceguard.store.interruptible import Interruptible

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from traceguard.server.watch.counters import Counters
    from traceguard.store import Store

AT_ONCE = 2
LINE = 16
RETRY_SECONDS = 5
SLOW_SECONDS = 10.0

# What DuckDB may hold of the store while nobody asks. It does not hold a flood below 2 GiB by itself: with bodies of up
# to 62 MiB on two busy CPUs the server peaked at 1.8 to 2.9 GiB, where no bound gave 2.8 to 3.4 in fewer runs; the peak
# comes at a checkpoint. Bursts of usual bodies were up to 15 percent slower with it.
WRITING_BYTES = 512 * 2**20

# Measured on two busy CPUs with 20,000 spans a second beside a report over 1.7 million: the median acknowledgement took
# 29 to 49 ms this way and 80 to 107 without, the 99th percentile 99 to 161 and 250 to 294; the report was no slower.
_NICE = 10
_NICE_BEHIND = 19

# Who clicks through the page reads for some seconds in between; work that can wait begins then. It does not wait for
# ever: answers rest on what it renews.
_QUIET_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0


class LineFullError(TraceguardError):
    """No turn for this question right now."""

    http_status = 503


class GoneError(TraceguardError):
    """The client went away before its answer; nobody reads this."""

    http_status = 499


class Question:
    """One question on its way.

    `store` is what it may read, `show` is the pipeline's progress; `stage` hears the names of stages.
    """

    __slots__ = ("asked", "future", "kind", "stage", "store", "work")

    def __init__(self, kind: str, work: "Callable[[Question], Any]", store: Interruptible) -> None:
        self.kind = kind
        self.work = work
        self.store = store
        self.asked = time.perf_counter()
        self.future: Future[Any] = Future()
        self.stage: Callable[[str], None] | None = None

    def show(self, stage: str, _done: float = 0.0, _total: float | None = None, /) -> None:
        """Progress, as the pipeline tells it: a moment to end if the question was taken back."""
        self.store.check()
        if self.stage is not None:
            self.stage(stage)


@dataclass(frozen=True, slots=True)
class _Line:
    """Questions that wait for a turn, and those that have theirs."""

    at_once: int
    most: int  # that wait
    nice: int
    waiting: deque[Question] = field(default_factory=deque)
    running: set[Question] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Whether it takes no further question."""
        return len(self.running) + len(self.waiting) >= self.at_once + self.most


class Analyses:
    """The lines and the threads that serve them."""

    def __init__(self, store: "Store", counters: "Counters", *, at_once: int = AT_ONCE, line: int = LINE) -> None:
        self._store = store
        self._counters = counters
        self._turn = threading.Condition()
        self._line = _Line(at_once, line, _NICE)
        self._behind = _Line(1, line, _NICE_BEHIND)
        self._lines = (self._line, self._behind)
        self._closed = False
        self._busy_until = -math.inf  # when the last answer was given that somebody waited for
        self._sharing = threading.Lock()
        self._granted: int | None = None
        # Not a pool of concurrent.futures: Python would wait for its threads when the process ends, however long.
        self._threads = [
            threading.Thread(target=self._serve, args=[line], name=f"traceguard-question-{n}", daemon=True)
            for n, line in enumerate([*(self._line for _ in range(at_once)), self._behind])
        ]
        counters.watch("questions_running", lambda: float(len(self._running)))
        counters.watch("questions_waiting", lambda: float(sum(len(line.waiting) for line in self._lines)))

    def start(self) -> None:
        """Begin to answer."""
        self._share_out()
        for thread in self._threads:
            thread.start()

    @property
    def _running(self) -> list[Question]:
        return [question for line in self._lines for question in tuple(line.running)]

    def submit(self, kind: str, work: "Callable[[Question], Any]", *, awaited: bool = True) -> Question:
        """Put a question into the line; its `future` holds the answer. LineFullError if the line is full.

        Not `awaited`, it goes behind all others, because nobody waits for its answer yet.
        """
        question = Question(kind, work, Interruptible(self._store))
        line = self._line if awaited else self._behind
        with self._turn:
            if not (self._closed or line.full):
                line.waiting.append(question)
                self._turn.notify_all()
                return question
        self._counters.add("questions_refused")
        if self._closed:
            raise _stopping()
        raise LineFullError(
            f"{line.at_once} questions are being answered and {line.most} more wait already;"
            f" ask again in {RETRY_SECONDS} seconds."
        )

    async def answer(self, request: "Request", kind: str, work: "Callable[[Question], Any]") -> Any:
        """What `work` returns, once its turn has come; GoneError as soon as the client of `request` goes away."""
        question = self.submit(kind, work)
        answered = asyncio.wrap_future(question.future)
        # Whoever went away reads no error either; asyncio would complain of that.
        answered.add_done_callback(lambda done: done.cancelled() or done.exception())
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return answered.result()
            raise GoneError("The client went away.")
        finally:
            gone.cancel()
            if not answered.done():
                self._drop(question)

    def stop(self) -> None:
        """Take no more questions, turn away those that wait, interrupt those that run."""
        with self._turn:
            self._closed = True
            waiting, running = [question for line in self._lines for question in line.waiting], self._running
            for line in self._lines:
                line.waiting.clear()
            self._turn.notify_all()
        for question in waiting:
            question.future.set_exception(_stopping())
        for question in running:
            question.store.interrupt()

    def close(self, seconds: float) -> None:
        """Stop, and wait for what runs, but not longer than `seconds`: nothing that it does can be lost."""
        self.stop()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < deadline:
                # Once more: an interruption just before a statement begins is lost.
                with self._turn:
                    running = self._running
                for question in running:
                    question.store.interrupt()
                thread.join(0.05)
        left = [question.kind for question in self._running]
        if left:
            log.warning("question_abandoned", f"Stopped amid a question that did not end ({', '.join(left)}).")

    def _drop(self, question: Question) -> None:
        """Nobody waits for this answer any more."""
        self._counters.add("questions_dropped")
        with self._turn:
            if question in self._line.waiting:
                self._line.waiting.remove(question)
                question.future.cancel()
                return
        question.store.interrupt()

    def _serve(self, line: _Line) -> None:
        if sys.platform == "linux":
            # Here threads have priorities of their own: exports, which are short, go before questions.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), line.nice)
        while True:
            with self._turn:
                while (pause := self._pause(line)) != 0.0:
                    if self._closed:
                        return
                    self._turn.wait(pause)
                question = line.waiting.popleft()
                line.running.add(question)
            try:
                self._share_out()
                self._work(question)
            finally:
                with self._turn:
                    line.running.discard(question)
                    if line is self._line:
                        self._busy_until = time.perf_counter()
                self._share_out()

    def _pause(self, line: _Line) -> float | None:
        """Seconds until it may be the turn of the next in a line; None without end, where nobody waits in it."""
        if not line.waiting:
            return None
        if line is self._line:
            return 0.0
        now = time.perf_counter()
        busy_until = now if self._line.running or self._line.waiting else self._busy_until
        begins = min(busy_until + _QUIET_SECONDS, line.waiting[0].asked + _PATIENCE_SECONDS)
        return max(begins - now, 0.0)

    def _share_out(self) -> None:
        """All CPUs and memory for questions, one thread and little memory for what exporters send.

        One thread is done before a second one is awake; without a bound, a flood would fill the machine's memory with
        rows that a checkpoint has yet to write.
        """
        with self._sharing:
            # Not fewer threads for what runs behind: to change their number amid its statements holds up who comes.
            wanted = None if self._running else 1
            if wanted == self._granted:
                return
            try:
                self._store.use_threads(wanted)
                self._store.bound_memory(None if wanted is None else WRITING_BYTES)
                self._granted = wanted
            except Exception as error:  # noqa: BLE001  (a question is answered, or fails for itself, all the same)
                log.failure("threads_not_set", "DuckDB could not be told how many threads to use.", error)

    def _work(self, question: Question) -> None:
        if not question.future.set_running_or_notify_cancel():
            return
        began = time.perf_counter()
        try:
            answer = question.work(question)
        except BaseException as error:  # noqa: BLE001  (whatever it was, whoever asked must be answered)
            question.future.set_exception(_stopping() if question.store.interrupted and self._closed else error)
        else:
            question.future.set_result(answer)
        took, waited = time.perf_counter() - began, began - question.asked
        self._counters.observe("question_duration_seconds", took, question.kind)
        if took >= SLOW_SECONDS:
            log.info(
                "slow_question",
                f"A question ({question.kind}) took {took:.1f} s, after {waited:.1f} s in the line.",
                question=question.kind,
                seconds=round(took, 3),
                waited_seconds=round(waited, 3),
            )


def _stopping() -> LineFullError:
    return LineFullError("The server is stopping; ask again when it is back.")


async def _gone(request: "Request") -> None:
    """Returns when the client of a request without a body has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
