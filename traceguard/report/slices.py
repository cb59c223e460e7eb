"""A cause's effect by time slice, as SVG: a point and an interval a slice, the zero line, and the effect over all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.report import svg
from traceguard.report.wording import between, count, effect_interval, effect_text, quantity
from traceguard.units import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traceguard.model import Effect, EffectSlice, OverTime

WIDTH, HEIGHT = 520.0, 196.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 10.0, 10.0, 34.0
_ROOM = 0.08


@dataclass(frozen=True, slots=True)
class Slices:
    """The drawing and what it is held against, in words."""

    drawing: str
    note: str


def draw(over: OverTime, overall: Effect) -> Slices | None:
    """The effects of `over`; `overall` is the cause's effect at that entry point. None where no slice says anything."""
    said = [s for s in over.slices if s.effect is not None]
    if not said:
        return None
    bounds = [v for s in said if s.effect for v in (s.effect.low, s.effect.high)]
    low, high = min(0.0, overall.low, *bounds), max(0.0, overall.high, *bounds)
    room = (high - low or 1.0) * _ROOM
    low, high = low - room, high + room
    first, last = _bounds(over.slices)

    def x(moment: float) -> float:
        return _LEFT + (moment - first) / max(last - first, 1) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    across = svg.px(WIDTH - _LEFT - _RIGHT)
    band = (
        f'<rect class="band" x="{svg.px(_LEFT)}" y="{svg.px(y(overall.high))}" width="{across}" '
        f'height="{svg.px(max(y(overall.low) - y(overall.high), 1.0))}"><title>over all: {effect_interval(overall)}'
        f"</title></rect>"
    )
    marks = "".join(_mark(each, x, y) for each in said)
    label = f"Effect by time slice, {overall.unit}: {len(said)} slices, over all {effect_text(overall)}"
    drawing = (
        f"{svg.opening(label, 'slices', WIDTH, HEIGHT, 320)}{_grid(low, high, y, overall.unit)}{band}{marks}"
        f"{_time_axis(over.slices)}</svg>"
    )
    held = (
        "against the reference requests of the same slice"
        if over.against == "slice"
        else "against all reference requests; grey: the reference itself"
    )
    return Slices(drawing, held)


def _mark(each: EffectSlice, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    if each.effect is None:
        return ""
    begin, end = (parse_time(t, 0) for t in (each.start, each.end))
    at = x((begin + end) / 2)
    effect = each.effect
    tone = "reference" if not each.affected else "better" if effect.estimate < 0 else "worse"
    title = (
        f"{between(each.start, each.end)}: {effect_text(effect)} ({effect_interval(effect)}), "
        f"{count(each.affected)} requests with it, {count(each.reference)} without"
    )
    return (
        f'<g class="{tone}"><title>{svg.text(title)}</title>'
        f'<path class="width" d="M{svg.px(x(begin) + 1)} {svg.px(y(effect.estimate))}H{svg.px(x(end) - 1)}"/>'
        f'<path class="whisker" d="M{svg.px(at)} {svg.px(y(effect.high))}V{svg.px(y(effect.low))}"/>'
        f'<circle cx="{svg.px(at)}" cy="{svg.px(y(effect.estimate))}" r="4"/></g>'
    )


def _grid(low: float, high: float, y: Callable[[float], float], unit: str) -> str:
    lines = []
    for tick in svg.ticks(low, high, 5):
        kind = "zero" if tick == 0 else "grid"
        lines.append(
            f'<path class="{kind}" d="M{svg.px(_LEFT)} {svg.px(y(tick))}H{svg.px(WIDTH - _RIGHT)}"/>'
            f'<text class="tick" x="{svg.px(_LEFT - 6)}" y="{svg.px(y(tick) + 4)}" text-anchor="end">'
            f"{svg.text(quantity(tick, unit, signed=True))}</text>"
        )
    return "".join(lines)


def _time_axis(slices: Sequence[EffectSlice]) -> str:
    """When the first slice begins and the last one ends."""
    first, last = min(s.start for s in slices), max(s.end for s in slices)
    day, other = first[:10], last[:10]
    words = [(t if day == other else f"{d} {t}") for d, t in ((day, first[11:19]), (other, last[11:19]))]
    bottom = HEIGHT - _BOTTOM
    return (
        f'<path class="axis" d="M{svg.px(_LEFT)} {svg.px(bottom)}H{svg.px(WIDTH - _RIGHT)}"/>'
        f'<text class="tick" x="{svg.px(_LEFT)}" y="{svg.px(bottom + 15)}">{svg.text(words[0])}</text>'
        f'<text class="tick" x="{svg.px(WIDTH - _RIGHT)}" y="{svg.px(bottom + 15)}" text-anchor="end">'
        f"{svg.text(words[1])}</text>"
        f'<text class="tick" x="{svg.px((_LEFT + WIDTH - _RIGHT) / 2)}" y="{svg.px(bottom + 30)}" text-anchor="middle">'
        "time of the request, UTC</text>"
    )


def _bounds(slices: Sequence[EffectSlice]) -> tuple[int, int]:
    return min(parse_time(s.start, 0) for s in slices), max(parse_time(s.end, 0) for s in slices)
