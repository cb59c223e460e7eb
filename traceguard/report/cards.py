"""What a page shows of a report, as plain text and numbers: a card a cause, a card an entry point that got worse.

Built apart from the templates, so that tests look at data. Bars are in thousandths of their track; zero lies where
`zero` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.report import bars, tables
from traceguard.report.links import Link, links, web_address
from traceguard.report.wording import (
    accepted_text,
    apart_text,
    clean,
    confidence,
    count,
    effect_interval,
    effect_text,
    entry_name,
    factors_name,
    percent,
    place,
    probability,
    reference_name,
    what,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import Cause, Histogram, Regression, Report
    from traceguard.report.tables import Table
    from traceguard.settings import Settings

TRACK = 1000
_KINDS = {"flag": "flag", "version": "version", "period": "period", "attribute": "attribute"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar on a track of 1000: where it starts, how wide it is, where the estimate and zero lie."""

    start: float
    width: float
    mark: float
    zero: float


@dataclass(frozen=True, slots=True)
class Chip:
    """A factor as a page shows it: its kind, its name and what it is compared with."""

    kind: str
    name: str
    reference: str


@dataclass(frozen=True, slots=True)
class TraceLink:
    """A typical trace and where the settings say that it can be opened."""

    trace_id: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class CauseCard:
    """One cause."""

    rank: int
    place: str
    what: str
    chips: tuple[Chip, ...]
    effect: str
    interval: str
    bar: Bar
    share: str
    share_bar: float
    q_value: str
    affected: str
    fraction: str
    summary: str
    inseparable: str
    entries: Table
    affected_traces: tuple[TraceLink, ...]
    reference_traces: tuple[TraceLink, ...]
    owner: str | None
    runbook: str | None
    accepted: str


@dataclass(frozen=True, slots=True)
class RegressionCard:
    """One entry point under one set of factors: its metrics, its distributions, and where the extra time lies."""

    entry: str
    chips: tuple[Chip, ...]
    table: Table
    distribution: Histogram | None
    means: tuple[float, float] | None
    change: bars.Sum | None
    members: tuple[Regression, ...]


def cause_cards(causes: Sequence[Cause], report: Report, settings: Settings) -> list[CauseCard]:
    """A card a cause; intervals of causes with one unit share one scale, so that their lengths compare."""
    level = confidence(report.alpha)
    reach = {
        unit: _scale(
            [e for c in causes if c.effect.unit == unit for e in (c.effect.low, c.effect.high, c.effect.estimate)]
        )
        for unit in {c.effect.unit for c in causes}
    }
    return [
        CauseCard(
            rank=c.rank, place=place(c), what=what(c), chips=_chips(c), effect=effect_text(c.effect),
            interval=effect_interval(c.effect),
            bar=_bar(c.effect.low, c.effect.high, c.effect.estimate, reach[c.effect.unit]),
            share=percent(c.share), share_bar=_clip(c.share * TRACK), q_value=probability(c.q_value),
            affected=count(c.requests.affected), fraction=percent(c.requests.fraction), summary=clean(c.summary),
            inseparable=apart_text(c) if c.inseparable_from else "",
            entries=tables.cause_entries(c, level),
            affected_traces=_traces(c.exemplars.affected, settings),
            reference_traces=_traces(c.exemplars.reference, settings),
            owner=settings.owners.get(c.service), runbook=web_address(settings.runbooks.get(c.service)),
            accepted=accepted_text(c),
        )
        for c in causes
    ]  # fmt: skip


def regression_cards(report: Report) -> list[RegressionCard]:
    """A card per entry point and factors, in the report's order."""
    level = confidence(report.alpha)
    return [_regression_card(members, level) for members in tables.by_entry(report.regressions)]


def _regression_card(members: list[Regression], level: str) -> RegressionCard:
    mean = next((r for r in members if r.metric == "latency_mean"), None)
    return RegressionCard(
        entry=entry_name(members[0].entry), chips=_chips(members[0]), table=tables.metrics(members, level),
        distribution=next((r.distribution for r in members if r.distribution), None),
        means=(mean.reference, mean.observed) if mean else None,
        change=next((bars.of_regression(r) for r in members if r.parts or r.error_parts), None),
        members=tuple(members),
    )  # fmt: skip


def _chips(of: Cause | Regression) -> tuple[Chip, ...]:
    return tuple(Chip(_KINDS[f.kind], factors_name([f]), reference_name([f])) for f in of.factors)


def _traces(trace_ids: Sequence[str], settings: Settings) -> tuple[TraceLink, ...]:
    return tuple(TraceLink(clean(t), tuple(links(settings, t))) for t in trace_ids[:5])


def _scale(values: Sequence[float]) -> tuple[float, float]:
    finite = [v for v in values if v == v and abs(v) != float("inf")]  # noqa: PLR0124  (NaN is unequal to itself)
    low, high = min([0.0, *finite]), max([0.0, *finite])
    return (low, high) if high > low else (0.0, 1.0)


def _bar(low: float, high: float, mark: float, scale: tuple[float, float]) -> Bar:
    def at(value: float) -> float:
        return _clip((value - scale[0]) / (scale[1] - scale[0]) * TRACK)

    return Bar(start=at(low), width=max(at(high) - at(low), 3.0), mark=at(mark), zero=at(0.0))


def _clip(value: float) -> float:
    return round(min(max(value, 0.0), float(TRACK)), 1) if value == value else 0.0  # noqa: PLR0124  (NaN)
