"""All that a page shows of one cause, gathered from the report and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from traceguard.report import bars, flame, slices, waterfall
from traceguard.report.advice import next_step
from traceguard.report.links import Link, links
from traceguard.report.service_map import damage, draw, neighbourhood
from traceguard.report.wording import clean, effect_text, entry_name, factors_name, percent
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import networkx as nx

    from traceguard.model import Cause, Pictures, Regression, Report, TypicalTrace
    from traceguard.report.cards import CauseCard, RegressionCard
    from traceguard.settings import Settings

PAIRS_FIRST, PAIRS = 2, 1  # pairs of traces of the first causes, and of the others
_FIRST = 3


@dataclass(frozen=True, slots=True)
class Rates:
    """Error rates of both sides, with bars on one track of 1000."""

    reference: str
    observed: str
    reference_bar: float
    observed_bar: float


@dataclass(frozen=True, slots=True)
class PairView:
    """A pair of traces with their links."""

    pair: waterfall.Pair
    reference_links: tuple[Link, ...]
    affected_links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class CauseView:
    """One cause with its pictures; what is None or empty is left out of the page."""

    card: CauseCard
    number: int
    entry: str
    next_step: str
    whom: str
    chart: str | None
    rates: Rates | None
    slices: slices.Slices | None
    change: bars.Sum | None
    mix: bars.Sum | None
    map: Markup
    map_note: str
    flame: flame.Flame | None
    pairs: tuple[PairView, ...]


def view(
    cause: Cause, card: CauseCard, report: Report, settings: Settings, *,
    found: RegressionCard | None, chart: str | None, graph: nx.DiGraph[Any] | None, pictures: Pictures | None,
) -> CauseView:  # fmt: skip
    """Gather one cause; `found` is its leading entry point's regression card and `chart` the id of its distribution."""
    leading = cause.entries[0] if cause.entries else None
    period = any(f.kind == "period" for f in cause.factors)
    drawn = next((p for p in pictures.causes if p.rank == cause.rank), None) if pictures is not None else None
    paths = (
        pictures.paths[drawn.paths] if pictures is not None and drawn is not None and drawn.paths is not None else None
    )
    where = (cause.service, cause.operation)
    drawn_map, map_note = _map(cause, graph)
    members: Sequence[Regression] = found.members if found is not None else ()
    return CauseView(
        card=card, number=cause.rank, entry=entry_name(leading.entry) if leading else "",
        next_step=next_step(cause), whom=_whom(cause), chart=chart if cause.metric != "error" else None,
        rates=_rates(members) if cause.metric == "error" else None,
        slices=slices.draw(cause.over_time, leading.effect if leading else cause.effect) if cause.over_time else None,
        change=_change(cause, members),
        mix=bars.of_mix(report.mix) if period and report.mix is not None else None,
        map=drawn_map, map_note=map_note, flame=flame.draw(paths, where) if paths is not None else None,
        pairs=_pairs(drawn.reference, drawn.affected, cause, settings) if drawn is not None else (),
    )  # fmt: skip


def _whom(cause: Cause) -> str:
    """Whom a cause hits: how much of the traffic, at how many entry points, and whom alone where that was found."""
    points = len(cause.entries)
    where = f"at {points} entry points" if points > 1 else f"at {entry_name(cause.entries[0].entry)}" if points else ""
    affected = counted(cause.requests.affected, "request")
    text = f"{affected}, {percent(cause.requests.fraction)} of those {where}".rstrip()
    if cause.narrowed_to is not None:
        only = clean(f"{cause.narrowed_to.key}={cause.narrowed_to.value}")
        text += f"; {percent(cause.narrowed_to.share)} of the effect is with {only}"
    return text


def _change(cause: Cause, members: Sequence[Regression]) -> bars.Sum | None:
    wanted = "error_rate" if cause.metric == "error" else "latency_mean"
    chosen = next((r for r in members if r.metric == wanted), None)
    return bars.of_regression(chosen) if chosen is not None else None


def _rates(members: Sequence[Regression]) -> Rates | None:
    rate = next((r for r in members if r.metric == "error_rate"), None)
    if rate is None:
        return None
    most = max(rate.reference, rate.observed, 1e-9)
    return Rates(
        percent(rate.reference), percent(rate.observed), round(rate.reference / most * bars.TRACK, 1),
        round(rate.observed / most * bars.TRACK, 1),
    )  # fmt: skip


def _map(cause: Cause, graph: nx.DiGraph[Any] | None) -> tuple[Markup, str]:
    """The map with the way of the damage, of a large graph the part around it, and how much that is."""
    if graph is None or cause.service not in graph:
        return Markup(""), ""
    words = f"{effect_text(cause.effect)}, {factors_name(cause.factors)}"
    marks = damage(graph, {cause.service: words}, {cause.service: [each.entry.service for each in cause.entries]})
    shown = neighbourhood(graph, marks)
    part = graph.number_of_nodes() - shown.number_of_nodes()
    note = (
        f"{shown.number_of_nodes()} of {graph.number_of_nodes()} services: those on the way and beside it."
        if part
        else ""
    )
    return Markup(draw(shown, marks, alone=False)), note  # noqa: S704  (the map escapes every name)


def _pairs(
    reference: Sequence[TypicalTrace], affected: Sequence[TypicalTrace], cause: Cause, settings: Settings
) -> tuple[PairView, ...]:
    most = PAIRS_FIRST if cause.rank <= _FIRST else PAIRS
    return tuple(
        PairView(pair, _links(pair.reference, settings), _links(pair.affected, settings))
        for pair in waterfall.pairs(reference, affected, most)
    )


def _links(trace: TypicalTrace | None, settings: Settings) -> tuple[Link, ...]:
    if trace is None:
        return ()
    return tuple(links(settings, trace.trace_id, trace.span_id, trace.start_ms, trace.end_ms))
