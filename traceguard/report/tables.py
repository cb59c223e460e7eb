"""The rows of every result as plain text, built apart from rendering: text, Markdown and HTML show the same tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceguard.graph import edges_of
from traceguard.report.wording import (
    METRICS,
    clean,
    count,
    effect_interval,
    effect_text,
    entry_name,
    factors_name,
    hours,
    interval,
    metric_interval,
    metric_unit,
    percent,
    probability,
    quantity,
    reference_name,
)
from traceguard.units import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    import networkx as nx

    from traceguard.model import Budget, Cause, ForecastEntry, Interval, Regression, WhatIf
    from traceguard.report.results import Slices


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column names; `numbers` are the indices of columns that read right-aligned."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int]

    def without(self, column: int) -> Table:
        """The same without one column."""
        kept = [i for i in range(len(self.columns)) if i != column]
        rows = tuple(tuple(row[i] for i in kept) for row in self.rows)
        return Table(
            tuple(self.columns[i] for i in kept), rows, frozenset(n for n, i in enumerate(kept) if i in self.numbers)
        )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> Table:
    return Table(tuple(columns), tuple(tuple(row) for row in rows), frozenset(range(text_columns, len(columns))))


def regressions(found: Sequence[Regression], confidence: str) -> Table:
    """A row per entry point, factors and metric: what was expected, what was seen, the change and its interval."""
    rows = [(entry_name(r.entry), factors_name(r.factors), *_metric(r)) for r in found]
    return _table(("entry point", "under", *_metric_columns(confidence)), rows, text_columns=3)


def metrics(found: Sequence[Regression], confidence: str) -> Table:
    """The same without entry point and factors, for a table that stands under their names."""
    return _table(_metric_columns(confidence), [_metric(r) for r in found])


def by_entry(found: Sequence[Regression]) -> list[list[Regression]]:
    """Regressions with the same entry point and factors together, in the order of their first."""
    groups: dict[tuple[str, str, str], list[Regression]] = {}
    for r in found:
        groups.setdefault((entry_name(r.entry), factors_name(r.factors), reference_name(r.factors)), []).append(r)
    return list(groups.values())


def _metric_columns(confidence: str) -> tuple[str, ...]:
    return ("metric", "expected", "seen", "change", f"{confidence} interval", "adj. p")


def _metric(r: Regression) -> tuple[str, ...]:
    unit = metric_unit(r.metric)
    change, bounds = quantity(r.delta, unit, signed=True), metric_interval(r)
    expected, seen = quantity(r.reference, unit), quantity(r.observed, unit)
    return METRICS[r.metric], expected, seen, change, bounds, probability(r.p_adjusted)


def causes(found: Sequence[Cause], confidence: str) -> Table:
    """A row per cause: what, where, effect with interval, share, requests, q-value."""
    rows = [
        (
            str(c.rank),
            factors_name(c.factors),
            clean(f"{c.service} {c.operation}"),
            locus_name(c),
            effect_text(c.effect),
            effect_interval(c.effect),
            percent(c.share),
            f"{count(c.requests.affected)} ({percent(c.requests.fraction)})",
            probability(c.q_value),
        )
        for c in found
    ]
    columns = ("#", "under", "where", "what", "effect", f"{confidence} interval", "share", "requests", "q")
    return _table(columns, rows, text_columns=4)


def locus_name(cause: Cause) -> str:
    """What a cause's effect is, in two words for a column."""
    if cause.metric == "latency":
        return "self time" if cause.locus == "self" else "inbound time"
    return "errors" if cause.metric == "error" else "calls"


def cause_entries(cause: Cause, confidence: str) -> Table:
    """A row per entry point that a cause reaches."""
    rows = [
        (
            entry_name(each.entry),
            effect_text(each.effect),
            effect_interval(each.effect),
            f"{count(each.requests.affected)} ({percent(each.requests.fraction)})",
        )
        for each in cause.entries
    ]
    return _table(("entry point", "effect", f"{confidence} interval", "requests"), rows)


_OUTLOOK = (("mean", "mean"), ("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("errors", "error_rate"))


def forecast_entries(document: WhatIf) -> Table:
    """A row per entry point and statistic that the scenario predicts: before, after, change with its interval."""
    rows: list[tuple[str, ...]] = []
    for entry in document.entries:
        for number, row in enumerate(forecast_metrics(entry).rows):
            rows.append((entry_name(entry), count(entry.requests), *row) if number == 0 else ("", "", *row))
    columns = ("entry point", "requests", "", "before", "after", "change", "95% interval")
    return Table(columns, tuple(rows), frozenset({1, 3, 4, 5, 6}))


def forecast_metrics(entry: ForecastEntry) -> Table:
    """A row per statistic of one entry point, for a table that stands under its name."""
    rows = []
    for label, field in _OUTLOOK:
        unit = "fraction" if field == "error_rate" else "ms"
        before, after = getattr(entry.before, field), getattr(entry.after, field)
        change = getattr(entry.change, field) if entry.change is not None else None
        bounds = "" if change is None else change_interval(change, unit)
        row = (label, quantity(before, unit), quantity(after, unit), quantity(after - before, unit, signed=True))
        rows.append((*row, bounds))
    return _table(("", "before", "after", "change", "95% interval"), rows)


def change_interval(change: Interval, unit: str) -> str:
    """The interval of a predicted change; where the data do not bound it, that it is not known."""
    if change.low is None or change.high is None:
        return "not known"
    return interval(change.low, change.high, unit)


def moves(entry: ForecastEntry) -> bool:
    """Whether the scenario changes anything that is told of an entry point."""
    return entry.before != entry.after


def budgets(found: Sequence[Budget]) -> Table:
    """A row per objective and entry point: the metric on both sides, whether it is kept, and its budget."""
    rows = []
    for each in found:
        unit = metric_unit(each.metric)
        kept = "kept" if each.kept_after else "broken" if each.kept_before else "broken before"
        rates = [f"{rate:.3g}×" for rate in (each.burn_rate_before, each.burn_rate_after) if rate is not None]
        burn = " to ".join(dict.fromkeys(rates))
        lasts = "" if each.exhausted_in_hours is None else hours(each.exhausted_in_hours)
        sides = (quantity(each.before, unit), quantity(each.after, unit))
        rows.append((clean(each.slo), entry_name(each.entry), *sides, kept, burn, lasts))
    columns = ("objective", "entry point", "before", "after", "", "burn rate", "budget lasts")
    wanted = [i for i, _ in enumerate(columns) if i < 5 or any(row[i] for row in rows)]
    return Table(
        tuple(columns[i] for i in wanted), tuple(tuple(row[i] for i in wanted) for row in rows), frozenset({2, 3, 5, 6})
    )


def graph_nodes(graph: nx.DiGraph[Any]) -> Table:
    """A row per service, database, cache, queue or external system, busiest first."""
    ordered = sorted(graph.nodes(data=True), key=lambda item: (-item[1].get("spans", 0), str(item[0])))
    rows = [
        (
            clean(str(name)),
            str(a.get("type", "service")),
            count(a.get("spans", 0)),
            count(a.get("errors", 0)),
            _ms(a.get("p50_ms")),
            _ms(a.get("p95_ms")),
        )
        for name, a in ordered
    ]
    first = "operation" if any("operation" in a for _, a in ordered) else "service"
    return _table((first, "type", "spans", "errors", "p50", "p95"), rows, text_columns=2)


def graph_edges(graph: nx.DiGraph[Any]) -> Table:
    """A row per edge and kind, busiest first."""
    rows = [
        (
            clean(str(e["source"])),
            clean(str(e["target"])),
            str(e["kind"]),
            count(e.get("calls", 0)),
            count(e.get("errors", 0)),
            _ms(e.get("p50_ms")),
            _ms(e.get("p95_ms")),
        )
        for e in sorted(edges_of(graph), key=lambda e: (-e.get("calls", 0), str(e["source"]), str(e["target"])))
    ]
    return _table(("caller", "callee", "kind", "calls", "errors", "p50", "p95"), rows, text_columns=3)


def graph_slices(slices: Slices) -> Table:
    """A row per slice of time, earliest first; `new` counts edges that no earlier slice has."""
    rows: list[tuple[str, ...]] = []
    seen: set[tuple[str, str, str]] = set()
    for each in slices:
        edges = edges_of(each.graph)
        pairs = {(e["source"], e["target"], e["kind"]) for e in edges}
        rows.append(
            (
                format_time(each.period.start_ns) or "",
                count(each.requests),
                count(sum(a["spans"] for _, a in each.graph.nodes(data=True))),
                count(sum(e["calls"] for e in edges)),
                count(sum(e["errors"] for e in edges)),
                count(len(pairs)),
                count(len(pairs - seen)) if seen else "",
            )
        )
        seen |= pairs
    return _table(("slice from", "requests", "spans", "calls", "failed calls", "edges", "new"), rows, text_columns=1)


def _ms(value: float | None) -> str:
    return "" if value is None else quantity(value, "ms")
