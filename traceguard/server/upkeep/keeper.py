"""Who tends the live store: retention pass by pass, forgetting on demand, one thing at a time, beside the exports.

Age is looked after once in a hundredth of what is kept (each second to each hour), and not before five times as long
as the last pass took; size four times a second. What always holds: whatever goes wrong here is logged and tried again,
and no export fails for it.
"""

import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.server.intake.refusal import Busy
from traceguard.server.watch import log
from traceguard.store.forget import Person, finish, forget
from traceguard.store.gate import CrowdedError
from traceguard.store.removal import Removed
from traceguard.store.retention import Rules, due, log_bound, tend
from traceguard.store.space import measure, on_disk
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceguard.server.watch.counters import Counters
    from traceguard.store import Store

TICK_SECONDS = 0.25
_SHORTEST, _LONGEST = 1.0, 3_600.0
_REST = 5.0

# How long readers may take to leave before a pass is put off; more each time they did not.
_PATIENCE, _MOST_PATIENCE = 2.0, 60.0

# After a failure the next try waits so long, and twice as long after each further one.
_FIRST_WAIT, _MOST_WAIT = 2.0, 300.0


@dataclass(frozen=True, slots=True)
class _Job:
    person: Person
    rehearse: bool
    done: "Future[Removed]"


class Keeper:
    """The thread that tends `store` by `rules`; `clock` is the time of day in nanoseconds, which age is judged by."""

    def __init__(
        self, store: "Store", rules: Rules, counters: "Counters", clock: "Callable[[], int]" = time.time_ns
    ) -> None:
        self._store = store
        self._rules = rules
        self._counters = counters
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._stop = threading.Lock()
        self._patience = _PATIENCE
        self._wait = _FIRST_WAIT
        self._not_before = 0.0
        self._age_due = 0.0
        self._unfinished = True  # until it was looked for what a killed server left to do
        self._told = log.Tally(_tell)
        self.after_removal: Callable[[], None] = lambda: None  # for those who hold what they read from the store
        self.amid_forgetting: Callable[[], None] = lambda: None  # for those who write what they read before
        self._thread = threading.Thread(target=self._run, name="traceguard-keeper", daemon=True)
        self._breaker = threading.Thread(target=self._break_off, name="traceguard-keeper-stop", daemon=True)
        counters.watch("store_bytes", lambda: float(on_disk(store.path)))

    def start(self) -> None:
        """Begin to tend."""
        if self._rules.max_bytes is not None:
            self._store.bound_log(log_bound(self._rules.max_bytes))
        self._thread.start()

    def forget(self, person: Person, *, rehearse: bool = False) -> "Future[Removed]":
        """Remove a person's requests as soon as the pass that runs is over; Busy if the server is stopping."""
        job = _Job(person, rehearse, Future())
        job.done.set_running_or_notify_cancel()
        self._jobs.put(job)
        if self._stopping.is_set():
            self._turn_away()
        return job.done

    def stop(self) -> None:
        """Begin nothing more, and break off what runs; whoever waits is answered soon. Again is fine."""
        with self._stop:
            if self._stopping.is_set():
                return
            self._stopping.set()
            self._jobs.put(None)
            self._breaker.start()

    def close(self, seconds: float) -> None:
        """Stop, and wait for the end of what runs, but not longer than `seconds`: what it did not finish is undone."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._turn_away()
        self._told.settle(all_of_it=True)

    def _break_off(self) -> None:
        while self._thread.is_alive():
            self._store.interrupt_upkeep()  # an interruption between two statements is lost
            self._thread.join(0.05)

    def _run(self) -> None:
        self._tend_until_stopped()
        self._turn_away()

    def _tend_until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                job = self._jobs.get(timeout=TICK_SECONDS)
            except queue.Empty:
                job = None
            if job is not None:
                self._do(job)
            if not self._stopping.is_set() and time.monotonic() >= self._not_before:
                self._tend()
            self._told.settle()

    def _do(self, job: _Job) -> None:
        try:
            removed = forget(self._store, job.person, patience=_MOST_PATIENCE, rehearse=job.rehearse, gone=self._let_go)
        except Exception as error:  # noqa: BLE001  (whoever asked must be answered)
            self._unfinished = True
            job.done.set_exception(_stopping() if self._stopping.is_set() else error)
            return
        if not job.rehearse:
            self._count("forget", removed)
        job.done.set_result(removed)

    def _let_go(self) -> None:
        self.after_removal()
        self.amid_forgetting()

    def _tend(self) -> None:
        try:
            if self._unfinished:
                finish(self._store, patience=self._patience)
                self._unfinished = False
            if self._due():
                began = time.monotonic()
                tend(
                    self._store, self._rules, self._clock(), patience=self._patience, tell=self._count,
                    stopped=self._stopping.is_set,
                )  # fmt: skip
                self._counters.add("retention_passes")
                self._age_due = time.monotonic() + max(self._interval(), _REST * (time.monotonic() - began))
        except CrowdedError:
            if self._patience == _MOST_PATIENCE:
                self._told.note("crowded")
            # Questions that came meanwhile wait; they must not wait for most of the time.
            self._not_before = time.monotonic() + _REST * self._patience
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
            return
        except Exception as error:  # noqa: BLE001  (exports go on; the log says why room does not come back)
            self._failed(error)
            return
        self._patience, self._wait = _PATIENCE, _FIRST_WAIT

    def _due(self) -> bool:
        if self._rules.keep_ns is not None and time.monotonic() >= self._age_due:
            return True
        limit = self._rules.max_bytes
        if limit is None or on_disk(self._store.path) < limit / 3:
            return False
        with self._store.cursor() as cursor:
            return due(measure(cursor, self._store.path), self._rules)

    def _interval(self) -> float:
        """Seconds between two looks at age."""
        return min(max((self._rules.keep_ns or 0) / 1e9 / 100, _SHORTEST), _LONGEST)

    def _failed(self, error: Exception) -> None:
        if self._stopping.is_set():
            return
        self._counters.add("retention_failures")
        log.failure("retention_failed", f"Retention failed; it is tried again in {self._wait:.0f} seconds.", error)
        self._not_before = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, _MOST_WAIT)
        try:
            self._store.revive()
        except Exception as lasting:  # noqa: BLE001  (the next try finds out)
            log.failure("store_lost", "The store could not be opened again.", lasting)

    def _count(self, reason: str, removed: Removed) -> None:
        self._counters.add("spans_removed", removed.spans, reason)
        self._counters.add("log_records_removed", removed.logs, reason)
        if removed.any:
            self.after_removal()
            self._told.note(reason, removed.requests)

    def _turn_away(self) -> None:
        """Answer those whose turn does not come any more."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                job.done.set_exception(_stopping())


_EVENTS = {
    "age": ("removed_by_age", "older than what is kept"),
    "size": ("removed_by_size", "to keep the store below its size"),
    "forget": ("forgotten", "to forget someone"),
}


def _tell(kind: str, count: int, *, again: bool) -> None:
    if kind == "crowded":
        log.warning(
            "retention_waits",
            f"Room cannot be given back because questions run one after another for longer than {_MOST_PATIENCE:.0f}"
            " seconds; it is tried again.",
        )
        return
    event, why = _EVENTS[kind]
    since = " in the last minute" if again else ""
    log.info(event, f"Removed {counted(count, 'request')}{since}, {why}.", requests=count)


def _stopping() -> Busy:
    return Busy("The server is stopping; ask again when it is back.")
