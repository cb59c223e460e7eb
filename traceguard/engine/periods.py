"""The times that a question is about: its window, the two periods of a comparison, and how these lie to each other."""

import time

from traceguard.errors import UsageError
from traceguard.units import Period, parse_period, parse_time

BOTH_PERIODS = "A comparison needs both periods; give --baseline START/END and --candidate START/END."


def parse_window(since: str | int | None, until: str | int | None) -> Period:
    """The period from `since` until `until`, text or nanoseconds, either side open; UsageError where it is empty."""
    now = time.time_ns()
    start, end = (parse_time(t, now) if isinstance(t, str) else t for t in (since, until))
    if start is not None and end is not None and start >= end:
        raise UsageError("The window is empty: it does not start before it ends; give the earlier time as --since.")
    return Period(start, end)


def parse_compared(baseline: str | Period | None, candidate: str | Period | None) -> tuple[Period, Period] | None:
    """Both periods of a comparison, bounded and apart; None where none is asked for. UsageError for other pairs."""
    if (baseline is None) != (candidate is None):
        raise UsageError(BOTH_PERIODS)
    now = time.time_ns()
    first, second = (parse_period(p, now) if isinstance(p, str) else p for p in (baseline, candidate))
    if first is None or second is None:
        return None
    _refuse_overlap(first, second)
    return first, second


def within(window: Period, period: Period) -> Period:
    """The part of a bounded period that lies in the window; empty (it ends where it starts) where none does."""
    start, end = period.start_ns or 0, period.end_ns or 0
    start = max(start, start if window.start_ns is None else window.start_ns)
    return Period(start, max(start, end if window.end_ns is None else min(end, window.end_ns)))


def hull(window: Period, *periods: Period) -> tuple[Period, Period]:
    """The period that covers both of `periods`, within the window where one was asked for, and the gap between them."""
    first, second = sorted(periods, key=lambda p: p.start_ns or 0)
    start, end = first.start_ns, second.end_ns
    if window.start_ns is not None:
        start = max(start or 0, window.start_ns)
    if window.end_ns is not None:
        end = min(end or window.end_ns, window.end_ns)
    return Period(start, end), Period(first.end_ns, second.start_ns)


def _refuse_overlap(baseline: Period, candidate: Period) -> None:
    bounds = (baseline.start_ns, baseline.end_ns, candidate.start_ns, candidate.end_ns)
    if any(b is None for b in bounds):
        raise UsageError("Both periods of a comparison need a start and an end.")
    if baseline.start_ns < candidate.end_ns and candidate.start_ns < baseline.end_ns:  # type: ignore[operator]
        raise UsageError("The baseline and the candidate overlap; a request can belong to only one of them.")
