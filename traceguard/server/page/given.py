"""The verdicts of the reports that this server gave since it started, newest first; bounded, and gone when it stops."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.report.wording import clean, headline, period_text, place
from traceguard.units import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceguard.model import Report

MOST = 200


@dataclass(frozen=True, slots=True)
class Given:
    """One verdict, in words: when (RFC 3339), who asked (the page or the API), and the address to see it again."""

    at: str
    asked_by: str
    address: str
    verdict: str  # as in the document
    sentence: str
    cause: str  # where the first cause lies
    over: str  # when the judged requests began


class History:
    """What was given; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: deque[Given] = deque(maxlen=MOST)

    def note(self, report: "Report", asked_by: str, address: str) -> None:
        """Keep a verdict. The page asks again and again: one that says what its last said replaces it."""
        cause = clean(place(report.causes[0])) if report.causes else ""
        at, over = format_time(time.time_ns()) or "", period_text(report.window)
        new = Given(at, asked_by, address, report.verdict, headline(report), cause, over)
        with self._lock:
            last = self._given[-1] if self._given else None
            if last is not None and _said(last) == _said(new):
                self._given.pop()
            self._given.append(new)

    def __iter__(self) -> "Iterator[Given]":
        with self._lock:
            return iter(list(reversed(self._given)))


def _said(given: Given) -> tuple[str, ...]:
    return given.asked_by, given.address, given.verdict, given.cause
