"""Judging while nobody looks: the page's usual report, worked out every so often if spans arrived in between.

The history shows then when a regression began and ended, and the first visitor finds a verdict. What always holds: a
judging takes its turn among the questions, never more than half of the time, and whatever goes wrong with one is logged
and the next comes all the same.
"""

import threading
import time
from typing import TYPE_CHECKING

from traceguard.errors import UsageError
from traceguard.server.questions.analyses import RETRY_SECONDS
from traceguard.server.watch import log
from traceguard.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceguard.server.page.verdicts import Verdicts

_SHORTEST = 1.0


def interval(text: str) -> float:
    """Seconds of a text such as `10m`; UsageError for what is no interval to judge at."""
    seconds = parse_duration(text) / 1e9
    if seconds < _SHORTEST:
        raise UsageError(f"Judging every {text!r} is too often; write an interval of a second or more, such as 10m.")
    return seconds


class Schedule:
    """The thread that judges every `seconds`; `arrived` is how many spans have come since the start."""

    def __init__(self, verdicts: "Verdicts", arrived: "Callable[[], float]", seconds: float) -> None:
        self._verdicts = verdicts
        self._arrived = arrived
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traceguard-schedule", daemon=True)

    def start(self) -> None:
        """Judge what is there, and then at every interval."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further one; what waits or runs ends with the questions."""
        self._stopping.set()

    def _run(self) -> None:
        judged: float | None = None
        while not self._stopping.is_set():
            began, rest = time.monotonic(), self._seconds
            try:
                arrived = self._arrived()
                if arrived != judged:
                    if self._verdicts.judge():
                        judged = arrived
                    else:
                        rest = min(rest, RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001  (the next may go well)
                log.failure("judging_failed", "A judging by the clock failed inside; the next one comes.", error)
            took = time.monotonic() - began
            self._stopping.wait(max(rest - took, took))
