"""What a page shows of a report, as plain text and numbers: a card a cause, a card an entry point that got worse.

Built apart from the templates, so that tests look at data. Bars are in thousandths of their track; zero lies where
`zero` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from traceguard.report import tables
from traceguard.report.wording import (
    METRICS,
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
    quantity,
    reference_name,
    what,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import Cause, Histogram, Part, Regression, Report
    from traceguard.report.tables import Table
    from traceguard.settings import Settings

TRACK = 1000
_SHOWN_PARTS = 8
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
    """A typical trace; `url` is set where the settings say how to open one."""

    trace_id: str
    url: str | None


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


@dataclass(frozen=True, slots=True)
class PartBar:
    """A component's part of a change; `better` where it took time off."""

    name: str
    locus: str
    value: str
    bar: Bar
    better: bool


@dataclass(frozen=True, slots=True)
class RegressionCard:
    """One entry point under one set of factors: its metrics, its distributions, and where the extra time lies."""

    entry: str
    chips: tuple[Chip, ...]
    table: Table
    distribution: Histogram | None
    means: tuple[float, float] | None
    parts: tuple[PartBar, ...]
    total: str
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
            affected_traces=_links(c.exemplars.affected, settings),
            reference_traces=_links(c.exemplars.reference, settings),
            owner=settings.owners.get(c.service), runbook=web_address(settings.runbooks.get(c.service)),
        )
        for c in causes
    ]  # fmt: skip


def regression_cards(report: Report) -> list[RegressionCard]:
    """A card per entry point and factors, in the report's order."""
    level = confidence(report.alpha)
    return [_regression_card(members, level) for members in tables.by_entry(report.regressions)]


def _regression_card(members: list[Regression], level: str) -> RegressionCard:
    mean = next((r for r in members if r.metric == "latency_mean"), None)
    parted = next((r for r in members if r.parts), None)
    unit_of = METRICS[parted.metric] if parted else ""
    return RegressionCard(
        entry=entry_name(members[0].entry), chips=_chips(members[0]), table=tables.metrics(members, level),
        distribution=next((r.distribution for r in members if r.distribution), None),
        means=(mean.reference, mean.observed) if mean else None,
        parts=_parts(parted.parts) if parted else (),
        total=f"{quantity(sum(p.delta_ms for p in parted.parts), 'ms', signed=True)} of {unit_of}" if parted else "",
        members=tuple(members),
    )  # fmt: skip


def _parts(parts: Sequence[Part]) -> tuple[PartBar, ...]:
    """The largest parts, and the rest as one, so that what is shown adds up."""
    ordered = sorted(parts, key=lambda p: -abs(p.delta_ms))
    rows = [
        (clean(f"{p.service} {p.operation}"), f"{p.locus}{', by calls' if _by_calls(p) else ''}", p.delta_ms)
        for p in ordered[:_SHOWN_PARTS]
    ]
    rest = ordered[_SHOWN_PARTS:]
    if rest:
        rows.append((f"{len(rest)} smaller parts", "", sum(p.delta_ms for p in rest)))
    scale = _scale([delta for _, _, delta in rows])
    return tuple(
        PartBar(
            name,
            locus,
            quantity(delta, "ms", signed=True),
            _bar(min(delta, 0.0), max(delta, 0.0), delta, scale),
            delta < 0,
        )
        for name, locus, delta in rows
    )


def _by_calls(part: Part) -> bool:
    """Whether it is rather the number of calls that changed than the time of each."""
    return abs(part.count_ms or 0.0) > abs(part.cost_ms or 0.0)


def _chips(of: Cause | Regression) -> tuple[Chip, ...]:
    return tuple(Chip(_KINDS[f.kind], factors_name([f]), reference_name([f])) for f in of.factors)


def _links(trace_ids: Sequence[str], settings: Settings) -> tuple[TraceLink, ...]:
    template = web_address(settings.trace_url)
    return tuple(
        TraceLink(
            clean(t), template.replace("{trace_id}", quote(t, safe="")).replace("{span_id}", "") if template else None
        )
        for t in trace_ids[:5]
    )


def web_address(text: str | None) -> str | None:
    """A configured address if it leads to the web; any other scheme would run in the page."""
    return text if text is not None and text.startswith(("http://", "https://")) else None


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
