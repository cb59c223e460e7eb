"""A progress bar for what takes longer than two seconds: on standard error, and only where that is a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE_SECONDS = 2.0


class Show(Protocol):
    """Called by long work now and then: what it is doing, how much is done, and of how much (None where unknown)."""

    def __call__(self, stage: str, done: float = 0.0, total: float | None = None, /) -> None:
        """Show it."""


@contextmanager
def shown(clock: Callable[[], float] = time.monotonic) -> Iterator[Show]:
    """Yield a function that shows progress; quiet for the first two seconds, and always where nobody watches."""
    if not sys.stderr.isatty():
        yield _silent
        return
    bar = _Bar(clock)
    try:
        yield bar
    finally:
        bar.close()


def _silent(stage: str, done: float = 0.0, total: float | None = None, /) -> None:
    """Nobody watches."""


class _Bar:
    """One line that names the stage; rich is imported only once there is something to show."""

    def __init__(self, clock: Callable[[], float]) -> None:
        from threading import Lock

        self._clock = clock
        self._began = clock()
        self._lock = Lock()
        self._live: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, stage: str, done: float = 0.0, total: float | None = None, /) -> None:
        with self._lock:
            if self._live is None and self._clock() - self._began >= PATIENCE_SECONDS:
                self._live = self._started()
            if self._live is not None and self._task is not None:
                self._live.update(self._task, description=stage, completed=done, total=total)

    def _started(self) -> "Progress":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        live = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = live.add_task("", total=None)
        live.start()
        return live

    def close(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
