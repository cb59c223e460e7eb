"""Bars that add up: what a change is made of, by component, and by mix of entry points, number of calls, time a call.

Bars are in thousandths of their track; zero lies where `zero` says. A row's segments lie end to end from zero, what
took time off to the left, so that together they are its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.report.wording import METRICS, clean, entry_name, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import Mix, Regression

TRACK = 1000
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a bar: `kind` is `cost`, `count`, `mix` or `whole`; `better` where it took time off."""

    start: float
    width: float
    kind: str
    better: bool


@dataclass(frozen=True, slots=True)
class SumRow:
    """One of what adds up."""

    name: str
    locus: str
    value: str
    segments: tuple[Segment, ...]
    zero: float


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows that add up to `total`; `made_of` are the same change once more by kind, for rows that have several."""

    rows: tuple[SumRow, ...]
    total: str
    made_of: tuple[SumRow, ...] = ()


Item = tuple[str, str, dict[str, float]]  # name, locus, amount by kind of segment


def of_regression(regression: Regression) -> Sum | None:
    """The components' parts in a change of mean latency or of an error rate; None where it has none."""
    if regression.parts:
        items: list[Item] = [
            (
                clean(f"{p.service} {p.operation}"), p.locus,
                {"cost": p.cost_ms, "count": p.count_ms} if p.count_ms is not None and p.cost_ms is not None
                else {"whole": p.delta_ms},
            )
            for p in regression.parts
        ]  # fmt: skip
        return _sum(items, "ms", f"of {METRICS['latency_mean']}")
    if regression.error_parts:
        items = [(clean(f"{p.service} {p.operation}"), p.locus, {"whole": p.delta}) for p in regression.error_parts]
        return _sum(items, "fraction", f"of {METRICS['error_rate']}")
    return None


def of_mix(mix: Mix) -> Sum:
    """The change of the mean latency of all requests, by entry point."""
    items: list[Item] = [(entry_name(e.entry), "", {"mix": e.mix_ms, "within": e.within_ms}) for e in mix.entries]
    return _sum(items, "ms", "of the mean over all requests")


def _sum(items: Sequence[Item], unit: str, of: str) -> Sum:
    """The largest rows, and the rest as one, so that what is shown adds up."""
    ordered = sorted(items, key=lambda item: -abs(sum(item[2].values())))
    shown, rest = list(ordered[:_SHOWN]), ordered[_SHOWN:]
    kinds = list(dict.fromkeys(kind for _, _, amounts in items for kind in amounts))
    if rest:
        shown.append((f"{len(rest)} smaller parts", "", _added(rest, kinds)))
    total = _added(items, kinds)
    whole = quantity(sum(total.values()), unit, signed=True)
    made_of = [(_KINDS[kind], "", {kind: total[kind]}) for kind in kinds] if len(kinds) > 1 else []
    return Sum(_rows(shown, unit), f"{whole} {of}", _rows(made_of, unit))


_KINDS = {
    "cost": "time a call", "count": "number of calls", "mix": "mix of entry points", "within": "within entry points",
    "whole": "",
}  # fmt: skip


def _added(items: Sequence[Item], kinds: Sequence[str]) -> dict[str, float]:
    return {kind: sum(amounts.get(kind, 0.0) for _, _, amounts in items) for kind in kinds}


def _rows(items: Sequence[Item], unit: str) -> tuple[SumRow, ...]:
    ends = [sum(v for v in amounts.values() if (v > 0) == up) for _, _, amounts in items for up in (True, False)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    if not high > low:
        high = low + 1.0

    def at(value: float) -> float:
        return round(min(max((value - low) / (high - low), 0.0), 1.0) * TRACK, 1)

    rows = []
    for name, locus, amounts in items:
        right, left, segments = 0.0, 0.0, []
        for kind, amount in amounts.items():
            if amount == 0.0:
                continue
            begin = right if amount > 0 else left
            end = begin + amount
            right, left = (end, left) if amount > 0 else (right, end)
            first, last = at(min(begin, end)), at(max(begin, end))
            segments.append(Segment(first, max(round(last - first, 1), 2.0), kind, amount < 0))
        rows.append(SumRow(name, locus, quantity(sum(amounts.values()), unit, signed=True), tuple(segments), at(0.0)))
    return tuple(rows)
