"""Group commit: requests that arrive together share one transaction, and each is answered after COMMIT.

One thread writes. While a transaction runs, what arrives waits, and the next one takes all of it: the busier the
server, the larger its transactions. What always holds: a future resolves without an error only after its rows are on
disk.
"""

import queue
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from traceguard.errors import StoreError
from traceguard.server import log
from traceguard.server.freshness import Freshness
from traceguard.server.refusal import Busy, NotCommitted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.trace import Span

    from traceguard.otlp import Decoded
    from traceguard.server.counters import Counters
    from traceguard.server.telemetry import Telemetry
    from traceguard.store import Store

    # What waits for the next transaction: rows, their future, the spans of their requests if the server traces itself.
    Waiting = tuple[Decoded, Future[None], Sequence[Span]]

# Larger transactions win nothing more and keep the first of their requests waiting.
ROWS_PER_COMMIT = 200_000

# After a failure the server says for so long that it is not ready; then traffic may try again and tell.
PENALTY_SECONDS = 5.0

# A checkpoint keeps exporters waiting for about a second for each 256 MB of the log. So the writer settles the store
# when nobody has sent anything for a while, or when it was busy for less than half of the time and the log has grown:
# often and shortly. Under full load the log grows until DuckDB itself has enough.
_IDLE_SECONDS, _IDLE_BYTES = 1.0, 16 * 2**20
_EASY_SHARE, _EASY_BYTES = 0.5, 128 * 2**20


class Committer:
    """The one writer of a store, with its queue; `telemetry`, set before the start, traces its transactions."""

    def __init__(self, store: "Store", counters: "Counters", clock: "Callable[[], float]" = time.monotonic) -> None:
        self._store = store
        self._counters = counters
        self._clock = clock
        self.telemetry: Telemetry | None = None
        self._freshness = Freshness(counters)
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._failed_at: float | None = None
        self._failures = 0
        self._settled_at = time.perf_counter()
        self._busy_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="traceguard-commit", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def submit(self, batch: "Decoded", traced: "Sequence[Span]" = ()) -> "Future[None]":
        """Queue a batch. The future ends after COMMIT, or with NotCommitted; Busy once the server is stopping.

        `traced` are the spans of its requests, if the server traces itself.
        """
        future: Future[None] = Future()
        # A caller that goes away must not cancel what the writer is about to answer.
        future.set_running_or_notify_cancel()
        if not _rows(batch):
            future.set_result(None)
            return future
        with self._gate:
            if self._closed:
                raise Busy("The receiver is stopping; send this request again when it is back.")
            self._queue.put((batch, future, traced))
        return future

    @property
    def ready(self) -> bool:
        """False for a while after a failed commit, and once closed."""
        if self._closed:
            return False
        return self._failed_at is None or self._clock() - self._failed_at > PENALTY_SECONDS

    def close(self) -> None:
        """Write what is queued, then stop; returns when it is done."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        last = False
        while not last:
            group, last = self._next_group()
            try:
                self._commit(group)
            except Exception as error:  # noqa: BLE001  (were the writer gone, every exporter would wait for ever)
                log.failure("writer_failed", "The writer failed for a fault of traceguard's and goes on.", error)
                for _, future, _ in group:
                    if not future.done():
                        future.set_exception(NotCommitted("traceguard failed inside; its log shows where."))

    def _next_group(self) -> "tuple[list[Waiting], bool]":
        """Wait for the first batch, then take with it whatever else is there; True when nothing follows."""
        group: list[Waiting] = []
        rows = 0
        item = self._first()
        while item is not None:
            group.append(item)
            rows += _rows(item[0])
            if rows >= ROWS_PER_COMMIT:
                return group, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _first(self) -> "Waiting | None":
        """The next batch; before it, and while there is none, the store is settled if there is time for that."""
        if self._busy_seconds < _EASY_SHARE * (time.perf_counter() - self._settled_at):
            self._settle(_EASY_BYTES)
        try:
            return self._queue.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            self._settle(_IDLE_BYTES)
            return self._queue.get()

    def _settle(self, beyond: int) -> None:
        try:
            if not self._store.settle(beyond):
                return
        except StoreError as error:
            log.warning("checkpoint_failed", f"{error} Nothing is lost; it is tried again later.")
            self._store.revive()
        self._settled_at, self._busy_seconds = time.perf_counter(), 0.0

    def _commit(self, group: "list[Waiting]") -> None:
        if not group:
            return
        began = time.time_ns()
        started = time.perf_counter()
        try:
            self._store.append([batch for batch, _, _ in group])
        except Exception as error:  # noqa: BLE001  (whatever it was, the requests behind it must be answered)
            self._counters.add("commit_failures")
            if len(group) > 1:
                # One batch may have spoiled it for all: each gets its own try.
                for item in group:
                    self._commit([item])
                return
            self._fail(group[0][1], error)
            self._trace(group, began, failed=True)
            return
        seconds = time.perf_counter() - started
        self._busy_seconds += seconds
        self._recover()
        self._counters.add("commits")
        self._counters.add("spans_committed", sum(batch.spans.num_rows for batch, _, _ in group))
        self._counters.add("log_records_committed", sum(batch.logs.num_rows for batch, _, _ in group))
        for _, future, _ in group:
            future.set_result(None)
        self._counters.observe("commit_duration_seconds", seconds)
        self._counters.observe("commit_rows", sum(_rows(batch) for batch, _, _ in group))
        self._freshness.committed([batch.spans for batch, _, _ in group])
        self._trace(group, began, failed=False)

    def _trace(self, group: "list[Waiting]", began: int, *, failed: bool) -> None:
        if self.telemetry is not None:
            rows = sum(_rows(batch) for batch, _, _ in group)
            spans = [span for _, _, traced in group for span in traced]
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
            error = lasting
        if first and isinstance(error, StoreError):
            log.warning("commit_failed", f"{error} Exporters are asked to send again.")
        elif first:
            log.failure("commit_failed", "A transaction failed; exporters are asked to send again.", error)
        refused = NotCommitted(f"The request was not stored and nothing of it is kept: {error}")
        refused.__cause__ = error
        future.set_exception(refused)


def _rows(batch: "Decoded") -> int:
    return int(batch.spans.num_rows + batch.logs.num_rows + batch.flag_records.num_rows + batch.correlations.num_rows)
