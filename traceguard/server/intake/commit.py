"""Group commit: requests that arrive together share one transaction, and each is answered after COMMIT.

One thread writes. While a transaction runs, what arrives waits, and the next one takes all of it: the busier the
server, the larger its transactions. What always holds: a future resolves without an error only after its rows are on
disk.
"""

import contextlib
import queue
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from traceguard.errors import StoreError
from traceguard.server.intake.freshness import Freshness
from traceguard.server.intake.refusal import NotCommitted
from traceguard.server.intake.stage import Stage
from traceguard.server.watch import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.trace import Span

    from traceguard.otlp import Decoded
    from traceguard.server.watch.counters import Counters
    from traceguard.server.watch.telemetry import Telemetry
    from traceguard.store import Store


# A small transaction costs as much as one of a thousand rows. So it waits so long for requests that have arrived and
# are still being read or decoded, unless it has rows enough.
_LINGER_SECONDS, _ROWS_ENOUGH = 0.005, 4_096

# Larger transactions win nothing more and keep the first of their requests waiting.
ROWS_PER_COMMIT = 200_000

# After a failure the server says for so long that it is not ready; then traffic may try again and tell.
PENALTY_SECONDS = 5.0

# A transaction or checkpoint that takes longer: the disk hangs, and who waits longer than that should come again.
_STALLED_SECONDS = 10.0

# A checkpoint keeps exporters waiting for about a second for each 256 MB of the log. So the writer settles the store
# when nobody has sent anything for a while, or when it was busy for less than half of the last moments and the log has
# grown: often and shortly. Under full load the log grows until DuckDB itself has enough.
_IDLE_SECONDS, _IDLE_BYTES = 1.0, 16 * 2**20
_EASY_SHARE, _EASY_BYTES = 0.5, 128 * 2**20
_MOMENT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What waits for the next transaction: rows of so many requests, and their spans if the server traces itself."""

    batch: "Decoded"
    requests: int
    traced: "Sequence[Span]"
    future: "Future[None]" = field(default_factory=Future)


class Committer(Stage[_Waiting]):
    """The one writer of a store, with its queue; `telemetry`, set before the start, traces its transactions.

    `arrived` tells how many requests have arrived and are not answered yet.
    """

    def __init__(self, store: "Store", counters: "Counters", clock: "Callable[[], float]" = time.monotonic) -> None:
        super().__init__("traceguard-commit")
        self._store = store
        self._counters = counters
        self._clock = clock
        self.telemetry: Telemetry | None = None
        self.arrived: Callable[[], int] = int
        self._freshness = Freshness(counters)
        self._failed_at: float | None = None
        self._failures = 0
        self._busy_since: float | None = None
        self._load = _Load()

    def submit(self, batch: "Decoded", requests: int = 1, traced: "Sequence[Span]" = ()) -> "Future[None]":
        """Queue what some requests hold; the future ends after COMMIT, or with NotCommitted.

        Busy once the server is stopping. `traced` are the spans of the requests, if the server traces itself.
        """
        waiting = _Waiting(batch, requests, traced)
        # A caller that goes away must not cancel what the writer is about to answer.
        waiting.future.set_running_or_notify_cancel()
        if not _rows(batch):
            waiting.future.set_result(None)
            return waiting.future
        self.put(waiting)
        return waiting.future

    @property
    def ready(self) -> bool:
        """False for a while after a failed commit, amid one that does not end, and once closed."""
        now, failed_at, busy_since = self._clock(), self._failed_at, self._busy_since
        if self._closed or (self._thread.ident is not None and not self._thread.is_alive()):
            return False
        if busy_since is not None and now - busy_since > _STALLED_SECONDS:
            return False
        return failed_at is None or now - failed_at > PENALTY_SECONDS

    def _gather(self, group: "list[_Waiting]") -> bool:
        """The first batch, and what else is there or about to be."""
        rows = requests = 0
        waiting = self._first()
        until = time.perf_counter() + _LINGER_SECONDS
        while waiting is not None:
            group.append(waiting)
            rows += _rows(waiting.batch)
            requests += waiting.requests
            if rows >= ROWS_PER_COMMIT:
                return False
            patience = until - time.perf_counter() if rows < _ROWS_ENOUGH and self.arrived() > requests else 0.0
            try:
                waiting = self._queue.get(timeout=patience) if patience > 0 else self._queue.get_nowait()
            except queue.Empty:
                return False
        return True

    def _first(self) -> "_Waiting | None":
        """The next batch; before it, and while there is none, the store is settled if there is time for that."""
        if self._load.share() < _EASY_SHARE:
            self._settle(_EASY_BYTES)
        try:
            return self._queue.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            self._settle(_IDLE_BYTES)
            return self._queue.get()

    def _settle(self, beyond: int) -> None:
        try:
            with self._busy():
                self._store.settle(beyond)
        except StoreError as error:
            log.warning("checkpoint_failed", f"{error} Nothing is lost; it is tried again later.")
            with contextlib.suppress(StoreError):  # the next transaction tells, and tries again
                self._store.revive()

    def _work(self, group: "list[_Waiting]") -> None:
        if group:
            with self._busy():
                self._commit(group)

    @contextlib.contextmanager
    def _busy(self) -> "Iterator[None]":
        self._busy_since = self._clock()
        try:
            yield
        finally:
            self._busy_since = None

    def _give_up(self, group: "list[_Waiting]", error: Exception) -> None:
        del error  # it is logged, and its frames hold the rows
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_exception(NotCommitted("traceguard failed inside; its log shows where."))

    def _commit(self, group: "list[_Waiting]") -> None:
        began = time.time_ns()
        started = time.perf_counter()
        try:
            self._store.append([waiting.batch for waiting in group])
        except Exception as error:  # noqa: BLE001  (whatever it was, the requests behind it must be answered)
            self._counters.add("commit_failures")
            if len(group) > 1:
                # One batch may have spoiled it for all: each gets its own try.
                for waiting in group:
                    self._commit([waiting])
                return
            self._fail(group[0].future, error)
            self._trace(group, began, failed=True)
            return
        seconds = time.perf_counter() - started
        self._load.add(seconds)
        self._recover()
        self._counters.add("commits")
        self._counters.add("spans_committed", sum(waiting.batch.spans.num_rows for waiting in group))
        self._counters.add("log_records_committed", sum(waiting.batch.logs.num_rows for waiting in group))
        for waiting in group:
            waiting.future.set_result(None)
        self._counters.observe("commit_duration_seconds", seconds)
        self._counters.observe("commit_rows", sum(_rows(waiting.batch) for waiting in group))
        self._freshness.committed([waiting.batch.spans for waiting in group])
        self._trace(group, began, failed=False)

    def _trace(self, group: "list[_Waiting]", began: int, *, failed: bool) -> None:
        if self.telemetry is not None:
            rows = sum(_rows(waiting.batch) for waiting in group)
            spans = [span for waiting in group for span in waiting.traced]
            self.telemetry.committed(spans, began, failed=failed, rows=rows)

    def _recover(self) -> None:
        if self._failed_at is not None:
            log.info(
                "commits_recovered", f"The store can be written again, after {self._failures:,} failed requests.",
                requests=self._failures,
            )  # fmt: skip
        self._failed_at = None
        self._failures = 0

    def _fail(self, future: "Future[None]", error: Exception) -> None:
        first, self._failed_at = self._failed_at is None, self._clock()
        self._failures += 1
        try:
            self._store.revive()
        except StoreError as lasting:
            error = lasting.with_traceback(None)  # this frame is in it: kept whole, it would keep itself and the rows
        if first and isinstance(error, StoreError):
            log.warning("commit_failed", f"{error} Exporters are asked to send again.")
        elif first:
            log.failure("commit_failed", "A transaction failed; exporters are asked to send again.", error)
        # Without its cause, whose frames hold the rows.
        future.set_exception(NotCommitted(f"The request was not stored and nothing of it is kept: {error}"))


def _rows(batch: "Decoded") -> int:
    return int(batch.spans.num_rows + batch.logs.num_rows + batch.flag_records.num_rows + batch.correlations.num_rows)


class _Load:
    """Which part of the last moments was spent in transactions."""

    __slots__ = ("_began", "_seconds", "_share")

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds = 0.0
        self._share = 0.0

    def add(self, seconds: float) -> None:
        """A transaction took so long."""
        self._seconds += seconds

    def share(self) -> float:
        """From 0 to 1, as of the last moment that is over."""
        passed = time.perf_counter() - self._began
        if passed >= _MOMENT_SECONDS:
            self._share = self._seconds / passed
            self._began, self._seconds = time.perf_counter(), 0.0
        return self._share
