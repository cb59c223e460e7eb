"""The verdicts of the reports that this server gave since it started, newest first; bounded, and gone when it stops."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.units import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceguard.model import Report

MOST = 200


@dataclass(frozen=True, slots=True)
class Given:
    """One verdict: when (RFC 3339), who asked (the page or the API), the address to see it again, the report."""

    at: str
    asked_by: str
    address: str
    report: "Report"


class History:
    """What was given; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: deque[Given] = deque(maxlen=MOST)

    def note(self, report: "Report", asked_by: str, address: str) -> None:
        """Keep a verdict. The page asks again and again: one that says what its last said replaces it."""
        new = Given(format_time(time.time_ns()) or "", asked_by, address, report)
        with self._lock:
            last = self._given[-1] if self._given else None
            if last is not None and (last.asked_by, last.address) == (asked_by, address) and _same(last.report, report):
                self._given.pop()
            self._given.append(new)

    def __iter__(self) -> "Iterator[Given]":
        with self._lock:
            return iter(list(reversed(self._given)))


def _same(one: "Report", other: "Report") -> bool:
    def leads(report: "Report") -> list[tuple[object, ...]]:
        return [(c.service, c.operation, [f.key for f in c.factors]) for c in report.causes[:1]]

    return (one.verdict, leads(one)) == (other.verdict, leads(other))
