"""Requests for the live page: a list of them, one as a waterfall, and how the times of two differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceguard.report import waterfall
from traceguard.report.live import drawn
from traceguard.report.tables import Table
from traceguard.report.wording import clean, count, percent, quantity
from traceguard.units import counted, format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from markupsafe import Markup

    from traceguard.model import TypicalTrace

_LARGEST = 12


_PAGE = 1040.0
_PHONE = 430.0  # width of a drawing that is legible on a phone


@dataclass(frozen=True, slots=True)
class Row:
    """A request in a list; `bar` is its length of 1000, compared with the longest in the list."""

    trace_id: str
    href: str
    start: str
    service: str
    operation: str
    duration: str
    bar: float
    failed: bool
    size: str
    flags: Sequence[str]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a picture, with the operations that it waited for longest."""

    name: str
    facts: Sequence[tuple[str, str, str]]
    svg: Markup
    narrow: Markup  # the same for a phone; empty for one of a width of its own
    waited: Table
    left_out: int

    @classmethod
    def of(cls, trace: TypicalTrace, longest_ms: float | None = None, width: float | None = None) -> Request:
        """From a request; its axis ends at `longest_ms`, at its own end unless given.

        Without a `width` it is drawn for a whole page, and for a phone as well.
        """
        root = trace.spans[0]
        own = own_times(trace)
        failed = sum(span.failed for span in trace.spans)
        day, _, time = moment(trace.start_ms * 1_000_000).partition(" ")
        services = len({span.service for span in trace.spans})
        facts = [
            ("Duration", quantity(trace.duration_ms, "ms"), ""),
            ("Began", time, f"{day}, UTC"),
            ("Spans", count(len(trace.spans) + trace.left_out), f"of {counted(services, 'service')}"),
            ("Failed spans", count(failed), "the request failed" if root.failed else "the request did not fail"),
        ]
        longest = longest_ms or trace.duration_ms
        return cls(
            clean(f"{root.operation} of {root.service}"), facts, drawn(waterfall.draw(trace, longest, width or _PAGE)),
            drawn(waterfall.draw(trace, longest, _PHONE) if width is None else ""), _waited(own, trace.duration_ms),
            trace.left_out,
        )  # fmt: skip


def listed(found: Sequence[Mapping[str, Any]], link: Callable[..., str]) -> list[Row]:
    """Rows of the page's query as a list."""
    longest = max((row["duration_ms"] for row in found), default=0.0) or 1.0
    return [
        Row(
            row["trace_id"], link(f"/requests/{row['trace_id']}"), moment(row["start_ns"]), clean(row["service"]),
            clean(row["operation"]), quantity(row["duration_ms"], "ms"), 1000 * row["duration_ms"] / longest,
            row["failed"], f"{count(row['spans'])} / {count(row['services'])}",
            [clean(each) for each in (row["flags"] or "").split(", ") if each],
        )
        for row in found
    ]  # fmt: skip


def own_times(trace: TypicalTrace) -> dict[tuple[str, str], float]:
    """Milliseconds that the request waited for each operation itself."""
    own: dict[tuple[str, str], float] = {}
    for span in trace.spans:
        key = (span.service, span.operation)
        own[key] = own.get(key, 0.0) + sum(end - begin for begin, end in span.on_path)
    return own


def differences(one: TypicalTrace, other: TypicalTrace) -> Table:
    """Operations by how much longer the second request waited for them than the first."""
    first, second = own_times(one), own_times(other)
    keys = sorted({*first, *second}, key=lambda k: (-abs(second.get(k, 0.0) - first.get(k, 0.0)), k))
    rows = tuple(
        (
            clean(f"{operation} of {service}"), quantity(first.get(key, 0.0), "ms"),
            quantity(second.get(key, 0.0), "ms"),
            quantity(second.get(key, 0.0) - first.get(key, 0.0), "ms", signed=True),
        )
        for key in keys[:_LARGEST]
        for service, operation in [key]
    )  # fmt: skip
    return Table(("on the critical path", "A", "B", "B − A"), rows, frozenset({1, 2, 3}))


def moment(ns: int) -> str:
    """A time as a person reads it, to the millisecond."""
    seconds, rest = divmod(ns, 1_000_000_000)
    written = (format_time(seconds * 1_000_000_000) or "").replace("T", " ").removesuffix("Z")
    return f"{written}.{rest // 1_000_000:03d}"


def _waited(own: Mapping[tuple[str, str], float], whole: float) -> Table:
    ordered = sorted(own.items(), key=lambda item: (-item[1], item[0]))[:_LARGEST]
    rows = tuple(
        (clean(f"{operation} of {service}"), quantity(ms, "ms"), percent(ms / whole) if whole else "")
        for (service, operation), ms in ordered
        if ms > 0
    )
    return Table(("on the critical path", "waited for it", "of the request"), rows, frozenset({1, 2}))
