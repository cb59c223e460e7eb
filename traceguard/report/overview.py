"""What the first view of the live page shows, as text and drawings from rows of counts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceguard.report import over_time
from traceguard.report.live import drawn
from traceguard.report.wording import VERDICTS, between, clean, count, headline, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from markupsafe import Markup

    from traceguard.report.over_time import Axis
    from traceguard.report.results import Analysis

    Rows = Sequence[Mapping[str, Any]]

_DRAWN, _LISTED = 12, 100
_VARIANTS = 6


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict in words."""

    verdict: str  # as in the document: its colours
    pill: str
    sentence: str
    at: str
    over: str  # when the judged requests began
    causes: int


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry point: its numbers, and its traffic, errors and latency over time where it is drawn."""

    name: str
    service: str
    href: str
    requests: str
    rate: str
    errors: str
    failing: bool
    p50: str
    p95: str
    traffic_svg: Markup | None
    errors_svg: Markup | None
    latency_svg: Markup | None


@dataclass(frozen=True, slots=True)
class Shares:
    """A flag or a service: the parts of its variants or versions over time, and over the whole stretch."""

    name: str
    svg: Markup
    levels: Sequence[tuple[int, str, str]]  # shade, name, share


@dataclass(frozen=True, slots=True)
class Overview:
    """The view's content."""

    tiles: Sequence[tuple[str, str, str]]
    entries: Sequence[EntryRow]
    more: int
    flags: Sequence[Shares]
    versions: Sequence[Shares]
    steady: Sequence[tuple[str, str]]  # services with one version
    deploys: Sequence[tuple[str, str]]

    @classmethod
    def of(
        cls, axis: Axis, traffic: Rows, exposure: Rows, versions: Rows, length_ns: int, link: Callable[[str], str],
    ) -> Overview:  # fmt: skip
        """From rows of the page's queries; `link` gives the address of an entry point's requests."""
        whole = next((row for row in traffic if row["service"] is None), None)
        slices: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        sums = []
        for row in traffic:
            if row["service"] is None:
                continue
            if row["slice"] is None:
                sums.append(row)
            else:
                slices[row["service"], row["operation"]].append(row)
        sums.sort(key=lambda row: (-row["requests"], row["service"], row["operation"]))
        minutes = max(length_ns / 60e9, 1e-9)
        moved, steady = _versions(axis, versions)
        return cls(
            tiles=_tiles(whole, minutes, len(sums)),
            entries=[
                _entry(axis, row, slices[row["service"], row["operation"]], minutes, link, at < _DRAWN)
                for at, row in enumerate(sums[:_LISTED])
            ],
            more=max(len(sums) - _LISTED, 0), flags=_flags(axis, exposure), versions=moved, steady=steady,
            deploys=[(axis.moment((when - axis.since) / axis.slice_ns), clean(what)) for when, what in axis.marks],
        )  # fmt: skip


def judged(analysis: Analysis | None, note: str, at: str) -> Judged:
    """A report in one sentence, or why there is none."""
    when = at.replace("T", " ").partition(".")[0].removesuffix("Z")
    if analysis is None:
        return Judged("no_data", "No report", note or "There is nothing to judge yet.", when, "", 0)
    report = analysis.document
    bounds = report.window.start, report.window.end
    over = between(bounds[0], bounds[1]) if bounds[0] and bounds[1] else ""
    return Judged(report.verdict, VERDICTS[report.verdict], headline(report), when, over, len(report.causes))


def _tiles(whole: Mapping[str, Any] | None, minutes: float, entries: int) -> list[tuple[str, str, str]]:
    if whole is None or not whole["requests"]:
        return [("Requests", "0", "none in this stretch of time")]
    return [
        ("Requests", count(whole["requests"]), f"{over_time.short(whole['requests'] / minutes)} a minute"),
        ("Failed", percent(whole["errors"] / whole["requests"]), f"{count(whole['errors'])} requests"),
        ("Median latency", quantity(whole["p50_ms"], "ms"), "p50, all requests"),
        ("Slow requests", quantity(whole["p95_ms"], "ms"), "p95, all requests"),
        ("Entry points", count(entries), ""),
    ]


def _entry(
    axis: Axis, row: Mapping[str, Any], slices: Rows, minutes: float, link: Callable[[str], str], draw: bool
) -> EntryRow:
    name = clean(row["operation"])
    charts: list[Markup | None] = [None, None, None]
    if draw:
        by = {field: {s["slice"]: s[field] for s in slices} for field in ("requests", "p50_ms", "p95_ms")}
        failed = {s["slice"]: s["errors"] / s["requests"] for s in slices}
        charts = [
            drawn(over_time.counts(axis, by["requests"], f"{name}: requests a minute over time")),
            drawn(over_time.rates(axis, failed, f"{name}: share of failed requests over time")),
            drawn(over_time.latency(axis, by["p50_ms"], by["p95_ms"], f"{name}: latency over time, ms")),
        ]
    return EntryRow(
        name, clean(row["service"]), link(row["operation"]), count(row["requests"]),
        f"{over_time.short(row['requests'] / minutes)}/min", percent(row["errors"] / row["requests"]),
        bool(row["errors"]),
        quantity(row["p50_ms"], "ms"), quantity(row["p95_ms"], "ms"), *charts,
    )  # fmt: skip


def _flags(axis: Axis, rows: Rows) -> list[Shares]:
    by: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        by[row["flag_key"]][row["variant"]][row["slice"]] = row["traces"]
    return [_shares(axis, key, variants, sorted(variants)) for key, variants in sorted(by.items())]


def _versions(axis: Axis, rows: Rows) -> tuple[list[Shares], list[tuple[str, str]]]:
    by: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:  # in the order in which versions began
        by[row["service"]][row["version"]][row["slice"]] = row["spans"]
    moved = [_shares(axis, key, seen, list(seen)) for key, seen in sorted(by.items()) if len(seen) > 1]
    return moved, [(clean(key), clean(next(iter(seen)))) for key, seen in sorted(by.items()) if len(seen) == 1]


def _shares(axis: Axis, name: str, series: Mapping[str, Mapping[int, float]], order: Sequence[str]) -> Shares:
    shown = [(clean(level), series[level]) for level in order[:_VARIANTS]]
    totals = {level: sum(series[level].values()) for level in order}
    whole = sum(totals.values())
    svg = over_time.shares(axis, shown, f"{clean(name)}: shares over time")
    levels = [
        (min(at, over_time.SHADES - 1), clean(level), percent(totals[level] / whole))
        for at, level in enumerate(order[:_VARIANTS])
    ]
    return Shares(clean(name), drawn(svg), levels)
