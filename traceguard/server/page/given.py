"""The verdicts of this server's reports on their way into the store: who asked, where they can be seen, what they say.

What always holds: a verdict that cannot be kept costs no answer, and one whose report began before somebody was
forgotten is not kept, for it may name them.
"""

import contextlib
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from traceguard.errors import StoreError
from traceguard.report.wording import VERDICTS, clean, factors_name, headline, place
from traceguard.server.watch import log
from traceguard.store import verdicts
from traceguard.store.verdicts import MOST, Verdict
from traceguard.units import parse_time

if TYPE_CHECKING:
    from traceguard.model import Report
    from traceguard.server.questions.analyses import Question
    from traceguard.server.watch.counters import Counters
    from traceguard.store import Store

PAGE, API, SCHEDULE = "page", "api", "schedule"
USUAL = "/causes"  # the report that the page shows unless asked for another

_PATIENCE = 2.0


class History:
    """Keeps what was given; safe to use from several threads."""

    def __init__(self, store: "Store", counters: "Counters", most: int = MOST) -> None:
        self._store = store
        self._most = most
        self._forgotten = 0.0
        self._keeping = threading.Lock()
        with store.cursor() as cursor:
            self._now = verdicts.latest(cursor, USUAL)
        self._said_at: float | None = None
        for verdict in VERDICTS:
            counters.watch("verdict", partial(self._is, verdict), verdict)
        counters.watch("verdict_age_seconds", self._age)

    def note(self, question: "Question", report: "Report", asked_by: str, address: str) -> None:
        """Keep the verdict of a report; where that fails, the log says so."""
        said = _said(report, asked_by, address)
        try:
            with self._keeping:
                if question.asked < self._forgotten:
                    return
                before = verdicts.say(self._store, said, time.time_ns(), patience=_PATIENCE, most=self._most)
        except StoreError as error:
            log.warning("verdict_not_kept", f"A verdict was given but not kept: {error}")
            if error.__cause__ is not None:  # DuckDB's own failure, not merely a busy store
                with contextlib.suppress(StoreError):  # the next transaction tells, and tries again
                    self._store.revive()
            return
        except Exception as error:  # noqa: BLE001  (the answer is there, and must not be lost for this)
            log.failure("verdict_not_kept", "A verdict was given but not kept.", error)
            return
        if address == USUAL:
            self._now, self._said_at = said.verdict, time.monotonic()
            if before != said.verdict:
                _tell(report, before)

    def let_go(self) -> None:
        """Keep nothing from reports that began before now: somebody is being forgotten."""
        with self._keeping:
            self._forgotten = time.perf_counter()

    def _is(self, verdict: str) -> float:
        return float(self._now == verdict)

    def _age(self) -> float:
        return float("nan") if self._said_at is None else time.monotonic() - self._said_at


def _said(report: "Report", asked_by: str, address: str) -> Verdict:
    start, end = (None if at is None else parse_time(at, 0) for at in (report.window.start, report.window.end))
    cause = place(report.causes[0]) if report.causes else ""
    return Verdict(asked_by, address, report.verdict, clean(headline(report)), cause, start, end, report.alpha)


def _tell(report: "Report", before: str | None) -> None:
    """The line that an alert may wait for: services, flags and versions only, for the log forgets nobody."""
    first = report.causes[0] if report.causes else None
    factors = [factor for factor in first.factors if factor.kind in {"flag", "version"}] if first else []
    service, under = (clean(first.service), factors_name(factors)) if first else ("", "")
    blamed = f"{service} under {under}" if under else service
    now = VERDICTS[report.verdict]
    changed = f"The verdict is now {now}" if before is None else f"The verdict went from {VERDICTS[before]} to {now}"
    log.info(
        "judged", f"{changed}{f', because of {blamed}' if blamed else ''}.", verdict=report.verdict, before=before,
        service=service or None, under=under or None, causes=len(report.causes),
    )  # fmt: skip
