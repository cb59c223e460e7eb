"""The verdicts that stand in the store: from when to when each was said, over which requests, and for whom."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from traceguard.report import live
from traceguard.report.wording import VERDICTS, between, count
from traceguard.server.page.filters import Filters
from traceguard.server.page.given import API, PAGE, SCHEDULE
from traceguard.server.page.rows import rows
from traceguard.server.page.visit import bare
from traceguard.units import format_duration, format_time, parse_duration

if TYPE_CHECKING:
    from traceguard.server.page.visit import Visit

MOST = 200

_ASKED_BY = {PAGE: "the page", API: "the API", SCHEDULE: "the schedule"}
_TIMES = ("last", "since", "until")
_FORM = "format"


@dataclass(frozen=True, slots=True)
class Told:
    """A verdict in words; `href` leads to the report, `about` are what it was narrowed down to."""

    since: str
    last: str  # empty for what was said once
    times: str
    verdict: str
    pill: str
    sentence: str
    cause: str
    over: str
    asked_by: str
    about: list[tuple[str, str]]
    href: str


def view(visit: "Visit") -> str:
    """The list, newest first."""
    found = rows(visit.cursor, "verdicts", {"most": MOST})
    every = visit.place.settings.judge_every
    return live.view(
        "history", bare("/history", "Verdict history", visit.filters), rows=[_told(row) for row in found[:MOST]],
        most=MOST if len(found) > MOST else 0, every="" if every is None else format_duration(parse_duration(every)),
    )  # fmt: skip


def _told(row: dict[str, Any]) -> Told:
    (first_day, first), (last_day, last) = _minute(row["first_ns"]), _minute(row["last_ns"])
    start, end = (format_time(ns) or "" for ns in (row["start_ns"], row["end_ns"]))
    path, _, query = row["address"].partition("?")
    asked = parse_qsl(query, keep_blank_values=True)
    return Told(
        since=f"{first_day} {first}",
        last="" if row["times"] == 1 else last if first_day == last_day else f"{last_day} {last}",
        times=count(row["times"]),
        verdict=row["verdict"],
        pill=VERDICTS.get(row["verdict"], row["verdict"]),
        sentence=row["sentence"],
        cause=row["cause"],
        over=between(start, end) if start and end else "",
        asked_by=_ASKED_BY.get(row["asked_by"], row["asked_by"]),
        about=[(name, value) for name, value in asked if value and name not in (*_TIMES, _FORM)],
        href=_page_of_api(path, asked) if path.startswith("/api/") else _same_requests(path, asked, start, end),
    )


def _page_of_api(path: str, asked: list[tuple[str, str]]) -> str:
    """The report that a program asked for, as a page for a person."""
    kept = [(name, value) for name, value in asked if name not in (_FORM, "pictures")]
    return f"{path}?{urlencode([*kept, (_FORM, 'html')])}"


def _same_requests(path: str, asked: list[tuple[str, str]], start: str, end: str) -> str:
    """The view over the requests that were judged, whatever has come in since."""
    known = {field.name for field in fields(Filters)}
    filters = Filters(**{name: value for name, value in asked if name in known})
    if start and end:
        filters = replace(filters, last="", since=start, until=end)
    return filters.link(path)


def _minute(ns: int) -> tuple[str, str]:
    """Day and minute of a time, UTC."""
    day, _, time = (format_time(ns) or "").partition("T")
    return day, time[:5]
