"""Reach by the hour of the week, on the clocks of a time zone."""

from datetime import datetime

import numpy as np
import pytest
from builders.requests import Span, linked_of

from traceguard import model
from traceguard.errors import UnknownNameError
from traceguard.radius.by_time import WEEKDAYS, check_time_zone, hours_covered, slots_of
from traceguard.radius.names import Target
from traceguard.radius.reach import reach
from traceguard.units import Period

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND


def at(text: str) -> int:
    """Nanoseconds of an RFC 3339 time."""
    return int(datetime.fromisoformat(text).timestamp()) * SECOND


def ask(rows: list[tuple[str, bool]], time_zone: str = "UTC") -> model.BlastRadius:
    """The reach of pricing among requests that start at some time and call it or not."""
    spans = []
    for trace, (text, calls) in enumerate(rows, 1):
        spans.append(Span(1, None, "web", at(text), at(text) + 100, trace=trace))
        if calls:
            spans.append(Span(2, 1, "pricing", at(text) + 10, at(text) + 20, trace=trace))
    return reach([linked_of(spans)], Target(service="pricing"), Period(), time_zone=time_zone)


def hours(found: model.BlastRadius) -> dict[tuple[str, int], tuple[int, int]]:
    """Requests and reached ones by weekday and hour."""
    return {(h.weekday, h.hour): (h.requests, h.reached) for h in found.by_time}


ROWS = [("2026-05-05T23:30:00+00:00", True), ("2026-05-05T23:40:00+00:00", False), ("2026-05-10T04:00:00+00:00", True)]


def test_a_tuesday_is_not_a_sunday() -> None:
    """Each hour of the week has its own requests, in the order of the week."""
    assert hours(ask(ROWS)) == {("Tuesday", 23): (2, 1), ("Sunday", 4): (1, 1)}
    assert ask(ROWS).by_time[0].span_hours == pytest.approx(0.5)


def test_clocks_differ() -> None:
    """Half past eleven in the evening in Greenwich is Wednesday in Berlin and afternoon in Los Angeles."""
    assert set(hours(ask(ROWS, "Europe/Berlin"))) == {("Wednesday", 1), ("Sunday", 6)}
    assert set(hours(ask(ROWS, "America/Los_Angeles"))) == {("Tuesday", 16), ("Saturday", 21)}
    assert ask(ROWS, "Asia/Kathmandu").time_zone == "Asia/Kathmandu"


def test_hours_are_those_of_the_datetime_library() -> None:
    """Across a change of summer time, in a zone with a quarter of an hour, before the epoch."""
    from zoneinfo import ZoneInfo

    for zone in ("Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"):
        moments = np.arange(-3, 400) * 26 * HOUR // 3 + at("2026-03-20T00:00:00+00:00")
        expected = [datetime.fromtimestamp(m / SECOND, ZoneInfo(zone)) for m in moments.tolist()]
        assert slots_of(moments, zone).tolist() == [24 * e.weekday() + e.hour for e in expected]
    assert slots_of(np.array([-1]), "UTC").tolist() == [24 * WEEKDAYS.index("Wednesday") + 23]


def test_a_part_of_a_week_is_said_to_be_one() -> None:
    """Which days and hours are known; a whole week needs no word."""
    found = ask(ROWS)
    message = next(w.message for w in found.warnings if w.code == "part_of_a_week")
    assert "Tuesday 23 to 24 h; Wednesday all day" in message
    assert "Sunday 00 to 05 h; UTC" in message
    assert "Monday" not in message
    week = [(f"2026-05-{day:02d}T{hour:02d}:00:00+00:00", True) for day in range(4, 12) for hour in (0, 23)]
    assert [w.code for w in ask(week).warnings] == ["nothing_seen_below"]


def test_the_hours_of_a_window_are_counted() -> None:
    """They sum to its length, however long it is."""
    start = at("2026-05-04T10:20:00+00:00")
    for length in (HOUR // 3, 30 * HOUR, 24 * 7 * HOUR, 24 * 365 * 40 * HOUR):
        covered = hours_covered(start, start + length, "Europe/Berlin")
        assert covered.sum() == pytest.approx(length / HOUR)
    assert hours_covered(start, start + 14 * 24 * HOUR, "UTC") == pytest.approx(np.full(168, 2.0))


def test_an_unknown_time_zone_has_near_names() -> None:
    """A typo gets what was probably meant."""
    assert check_time_zone("Europe/Berlin") == "Europe/Berlin"
    with pytest.raises(UnknownNameError, match="Europe/Berlin"):
        check_time_zone("Europe/Berln")
