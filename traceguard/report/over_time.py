"""Small drawings over a stretch of time, as SVG: bars of counts, a line of latency, shares of variants, deploy marks.

Each is a few kilobytes however long the stretch is, since it was counted in slices before. All share one axis of time,
so that drawings below and beside each other can be read together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.report import svg
from traceguard.report.wording import percent, quantity
from traceguard.units import counted, format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDTH, HEIGHT = 320.0, 86.0
_LEFT, _TOP, _BOTTOM = 48.0, 8.0, 18.0
_SPACE = 1.0
SHADES = 5


@dataclass(frozen=True, slots=True)
class Axis:
    """A stretch of time of `slices` slices of `slice_ns`, and what to mark on it: (when, ns; what)."""

    since: int
    slice_ns: int
    slices: int
    marks: Sequence[tuple[int, str]] = ()

    def x(self, slice_: float) -> float:
        """Where a slice begins, px."""
        return _LEFT + (WIDTH - _LEFT) * slice_ / self.slices

    def moment(self, slice_: float) -> str:
        """When a slice begins, as the time of day (UTC), with the day where the stretch is longer than one."""
        written = format_time(int(self.since + slice_ * self.slice_ns)) or ""
        return written[5:16].replace("T", " ") if self.slice_ns * self.slices > 86_400 * 10**9 else written[11:16]


def counts(axis: Axis, values: Mapping[int, float], label: str) -> str:
    """Requests a minute as bars; `values` are counts by slice."""
    minutes = axis.slice_ns / 60e9
    rates = {slice_: value / minutes for slice_, value in values.items()}
    top = _top(rates.values())
    titles = {s: f"{axis.moment(s)}: {counted(values[s], 'request')}, {short(rates[s])} a minute" for s in values}
    return _drawing(axis, label, top, [short(top), "0"], _bars(axis, rates, top, titles, "count"))


def rates(axis: Axis, values: Mapping[int, float], label: str) -> str:
    """Fractions of failed requests as bars; `values` by slice."""
    top = max(_top(values.values()), 0.01)
    titles = {s: f"{axis.moment(s)}: {percent(value)} failed" for s, value in values.items()}
    return _drawing(axis, label, top, [percent(top), "0"], _bars(axis, values, top, titles, "failed"))


def latency(axis: Axis, median: Mapping[int, float], slow: Mapping[int, float], label: str) -> str:
    """Median and 95th percentile as lines, milliseconds by slice."""
    top = _top(slow.values())
    lines = "".join(_line(axis, values, top, kind) for values, kind in ((slow, "slow"), (median, "median")))
    titles = "".join(
        f'<rect class="hover" x="{svg.px(axis.x(s))}" y="{svg.px(_TOP)}" width="{svg.px(axis.x(s + 1) - axis.x(s))}" '
        f'height="{svg.px(HEIGHT - _TOP - _BOTTOM)}"><title>{svg.text(axis.moment(s))}: p50 '
        f"{svg.text(quantity(median[s], 'ms'))}, p95 {svg.text(quantity(slow[s], 'ms'))}</title></rect>"
        for s in slow
    )
    return _drawing(axis, label, top, [quantity(top, "ms"), "0"], lines + titles)


def shares(axis: Axis, series: Sequence[tuple[str, Mapping[int, float]]], label: str) -> str:
    """Shares of variants, stacked from the first at the bottom; each as counts by slice, shades by their order."""
    totals: dict[int, float] = {}
    for _, values in series:
        for slice_, value in values.items():
            totals[slice_] = totals.get(slice_, 0.0) + value
    below = dict.fromkeys(totals, 0.0)
    boxes = []
    height = HEIGHT - _TOP - _BOTTOM
    for number, (name, values) in enumerate(series):
        for slice_, value in sorted(values.items()):
            part = value / totals[slice_] if totals[slice_] else 0.0
            y = _TOP + height * (1.0 - below[slice_] - part)
            below[slice_] += part
            x, width = axis.x(slice_), axis.x(slice_ + 1) - axis.x(slice_) - _SPACE
            boxes.append(
                f'<rect class="shade{min(number, SHADES - 1)}" x="{svg.px(x)}" y="{svg.px(y)}" '
                f'width="{svg.px(max(width, 0.8))}" height="{svg.px(height * part)}">'
                f"<title>{svg.text(f'{axis.moment(slice_)}: {name} {percent(part)}')}</title></rect>"
            )
    return _drawing(axis, label, 1.0, ["100%", "0"], "".join(boxes))


def _drawing(axis: Axis, label: str, top: float, scale: Sequence[str], content: str) -> str:
    bottom = HEIGHT - _BOTTOM
    ticks = "".join(
        f'<path class="{kind}" d="M{svg.px(_LEFT)} {svg.px(y)}H{svg.px(WIDTH)}"/>'
        f'<text class="tick" x="{svg.px(_LEFT - 6)}" y="{svg.px(y + 4)}" text-anchor="end">{svg.text(words)}</text>'
        for y, words, kind in ((_TOP, scale[0] if top else "", "grid"), (bottom, scale[1], "axis"))
    )
    marks = "".join(
        f'<g class="deploy"><title>{svg.text(what)}</title><path d="M{svg.px(x)} {svg.px(_TOP - 4)}V{svg.px(bottom)}"/>'
        f'<path class="flag" d="M{svg.px(x)} {svg.px(_TOP - 6)}l5 3l-5 3z"/></g>'
        for when, what in axis.marks
        for x in [axis.x((when - axis.since) / axis.slice_ns)]
    )
    ends = (
        f'<text class="tick" x="{svg.px(_LEFT)}" y="{svg.px(HEIGHT - 4)}">{svg.text(axis.moment(0))}</text>'
        f'<text class="tick" x="{svg.px(WIDTH)}" y="{svg.px(HEIGHT - 4)}" text-anchor="end">'
        f"{svg.text(axis.moment(axis.slices))}</text>"
    )
    return f"{svg.opening(label, 'over-time', WIDTH, HEIGHT)}{ticks}{content}{marks}{ends}</svg>"


def _bars(axis: Axis, values: Mapping[int, float], top: float, titles: Mapping[int, str], kind: str) -> str:
    height = HEIGHT - _TOP - _BOTTOM
    boxes = []
    for slice_, value in sorted(values.items()):
        tall = height * value / top if top else 0.0
        x, width = axis.x(slice_), axis.x(slice_ + 1) - axis.x(slice_) - _SPACE
        boxes.append(
            f'<rect class="{kind}" x="{svg.px(x)}" y="{svg.px(HEIGHT - _BOTTOM - tall)}" '
            f'width="{svg.px(max(width, 0.8))}" height="{svg.px(tall)}">'
            f"<title>{svg.text(titles[slice_])}</title></rect>"
        )
    return "".join(boxes)


def _line(axis: Axis, values: Mapping[int, float], top: float, kind: str) -> str:
    """A line through the middles of slices, broken where a slice has no value."""
    height = HEIGHT - _TOP - _BOTTOM
    steps, before = [], None
    for slice_, value in sorted(values.items()):
        at = f"{svg.px(axis.x(slice_ + 0.5))} {svg.px(HEIGHT - _BOTTOM - (height * value / top if top else 0.0))}"
        steps.append(("L" if before == slice_ - 1 else "M") + at + ("h.01" if before != slice_ - 1 else ""))
        before = slice_
    return f'<path class="line {kind}" d="{"".join(steps)}"/>'


def _top(values: Iterable[float]) -> float:
    """The end of the scale: a round number that no value exceeds."""
    largest = max(values, default=0.0)
    if not largest:
        return 0.0
    power = 10.0 ** math.floor(math.log10(largest))
    return float(next(step * power for step in (1.0, 2.0, 3.0, 5.0, 10.0, 20.0) if step * power >= largest))


def short(value: float) -> str:
    """A rate with few digits, which fits beside an axis."""
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
