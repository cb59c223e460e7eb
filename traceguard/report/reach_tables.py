"""The tables of a blast radius: text, Markdown, pages and notebooks show the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceguard.report.tables import Table
from traceguard.report.wording import clean, count, percent, share_interval
from traceguard.stats.clustered import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import BlastRadius, Cohort, HourOfWeek, Neighbour

FEW_HOURS = 12
"""Up to so many hours of the week are listed; more are drawn."""

_NAMED = 8
NO_VALUE = "not set"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> Table:
    return Table(tuple(columns), tuple(tuple(row) for row in rows), frozenset(range(texts, len(columns))))


def entries(document: BlastRadius) -> Table:
    """A row per entry point that reaches the target."""
    rows = [
        (
            clean(f"{e.operation} of {e.service}" + (f" in {e.environment}" if e.environment else "")),
            count(e.requests), percent(e.fraction), share_interval(e.low, e.high), count(e.units),
            f"{e.calls_per_request:.3g}", percent(e.critical_fraction),
        )
        for e in document.entries
    ]  # fmt: skip
    columns = ("entry point", "requests", "reaching", "95% interval", "users", "calls", "latency")
    return _table(columns, rows)


def neighbours(found: Sequence[Neighbour]) -> Table:
    """A row per service above or below the target."""
    rows = [
        (clean(n.service), n.kind, str(n.depth), percent(n.fraction), share_interval(n.low, n.high), count(n.units))
        for n in found
    ]
    return _table(("service", "kind", "hops", "of requests", "95% interval", "users"), rows, 2)


def gates(document: BlastRadius) -> Table:
    """A row per step on the way up that stopped failures or would, and per step that passed all of them on."""
    rows: list[tuple[str, ...]] = [
        (
            clean(f"{g.source} → {g.target}"), g.kind,
            f"{count(g.stopped)} of {count(g.errors_seen)}" if g.errors_seen else "none seen",
            share_interval(g.low, g.high) if g.errors_seen else "", count(g.requests),
        )
        for g in document.gates
    ]  # fmt: skip
    rows += [
        (clean(f"{e.source} → {e.target}"), "none", f"0 of {count(e.errors_seen)}", _of_none(e.errors_seen), "")
        for e in document.edges
        if e.side == "up" and e.kind == "sync" and e.errors_seen and not e.stopped
    ]
    return _table(("call", "gate", "failures stopped", "95% interval", "requests"), rows, 2)


def _of_none(seen: int) -> str:
    """What part may be stopped where none of so many was."""
    _, high = wilson(np.zeros(1), np.array([float(seen)]))
    return share_interval(0.0, float(high[0]))


def untested(document: BlastRadius) -> str:
    """The steps that nobody has seen failing, in a sentence; empty where there are none."""
    found = document.untested_edges
    if not found:
        return ""
    named = ", ".join(clean(f"{e.source} → {e.target}") for e in found[:_NAMED])
    more = f" and {count(len(found) - _NAMED)} more" if len(found) > _NAMED else ""
    return f"Never seen failing, so whether damage would stop there is unknown: {named}{more}."


def unknown(document: BlastRadius) -> Table:
    """A row per system that callers name and that sent no spans."""
    rows = [
        (
            clean(u.service),
            clean(", ".join(u.called_by)),
            count(u.calls),
            percent(u.fraction),
            share_interval(u.low, u.high),
        )
        for u in document.unknown
    ]
    return _table(("system", "called by", "calls", "of requests", "95% interval"), rows, 2)


def cohort(of: Cohort) -> Table:
    """A row per value of an attribute."""
    rows = [
        (
            NO_VALUE if v.value is None else clean(v.value), count(v.requests), count(v.reached), percent(v.fraction),
            share_interval(v.low, v.high), count(v.units),
        )
        for v in of.values
    ]  # fmt: skip
    return _table((clean(of.key), "requests", "reached", "part", "95% interval", "users"), rows)


def cohort_title(of: Cohort) -> str:
    """How many values of an attribute are reached."""
    listed = f", the {len(of.values)} with most reached requests listed" if of.more else ""
    return f"By {clean(of.key)}: {count(of.reached)} of {count(of.total)} values reached{listed}"


def hours(found: Sequence[HourOfWeek]) -> Table:
    """A row per hour of the week with requests."""
    rows = [
        (
            f"{h.weekday} {h.hour:02d} h", count(h.requests), count(h.reached), percent(h.fraction),
            share_interval(h.low, h.high), count(h.units), f"{h.span_hours:.3g} h",
        )
        for h in found
    ]  # fmt: skip
    return _table(("hour", "requests", "reached", "part", "95% interval", "users", "seen"), rows)


def week(found: Sequence[HourOfWeek]) -> Table:
    """The percentage of requests reached by weekday and hour; two characters a cell, `##` for all of them."""
    known = {(h.weekday, h.hour): h for h in found}
    days = list(dict.fromkeys(h.weekday for h in found))
    rows = [(day[:3], *(_cell(known.get((day, hour))) for hour in range(24))) for day in days]
    return _table(("", *(f"{hour:02d}" for hour in range(24))), rows)


def _cell(hour: HourOfWeek | None) -> str:
    if hour is None:
        return "\N{MIDDLE DOT}"
    value = round(hour.fraction * 100)
    return "##" if value >= 100 else str(value)


def sections(document: BlastRadius) -> list[tuple[str, Table]]:
    """All tables with a title each, in the order in which they are read; those without rows left out."""
    found = [
        ("Entry points it can hurt", entries(document)),
        ("Who depends on it", neighbours(document.upstream)),
        ("What it depends on", neighbours(document.downstream)),
        ("Where damage would stop on its way up", gates(document)),
        ("Unknown, not safe: what sent no spans", unknown(document)),
        *((cohort_title(each), cohort(each)) for each in document.cohorts),
    ]
    if document.by_time:
        few = len(document.by_time) <= FEW_HOURS
        zone = clean(document.time_zone)
        title = f"By time of day ({zone})" if few else f"By time of day ({zone}): % of requests reached, ## is all"
        found.append((title, hours(document.by_time) if few else week(document.by_time)))
    return [(title, table) for title, table in found if table.rows]
