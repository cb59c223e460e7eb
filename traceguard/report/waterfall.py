"""Typical traces as waterfalls, as SVG: a pair on one time scale, the critical path in solid, the blamed time marked.

A row is a span: a thin bar for as long as it ran, a thick one for when the request waited for it. What differs between
both traces is the time in the blamed component; its spans are coloured on both sides and carry their milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.report import svg
from traceguard.report.wording import quantity
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import TraceSpan, TypicalTrace

WIDTH = 520.0
_NAMES, _ROW, _TOP, _RIGHT = 184.0, 18.0, 20.0, 56.0
_INDENT, _MOST_INDENT = 7.0, 8
_WIDEST_NAMES = 1.7


@dataclass(frozen=True, slots=True)
class Pair:
    """Two traces side by side: the one without the factors, the one with them, and what differs."""

    reference: TypicalTrace | None
    affected: TypicalTrace | None
    reference_svg: str
    affected_svg: str
    difference: str


def pairs(reference: Sequence[TypicalTrace], affected: Sequence[TypicalTrace], most: int) -> list[Pair]:
    """The first traces of both sides in pairs; a side that has fewer leaves its place empty."""
    found = []
    for i in range(min(most, max(len(reference), len(affected)))):
        left, right = (side[i] if i < len(side) else None for side in (reference, affected))
        longest = max((t.duration_ms for t in (left, right) if t is not None), default=0.0)
        difference = ""
        if left is not None and right is not None:
            gap = right.blamed_ms - left.blamed_ms
            whole = quantity(right.duration_ms - left.duration_ms, "ms", signed=True)
            sides = (
                f"{quantity(left.blamed_ms, 'ms')} on the critical path without, {quantity(right.blamed_ms, 'ms')} with"
            )
            difference = f"{sides}: {quantity(gap, 'ms', signed=True)}; the whole request {whole}"
        drawn = [draw(t, longest) if t is not None else "" for t in (left, right)]
        found.append(Pair(left, right, drawn[0], drawn[1], difference))
    return found


def draw(trace: TypicalTrace, longest_ms: float, width: float = WIDTH) -> str:
    """A trace on a time axis that ends at `longest_ms`; a wider drawing has more room for names, too."""
    names = _NAMES * min(width / WIDTH, _WIDEST_NAMES)
    scale = (width - names - _RIGHT) / max(longest_ms, 1e-9)
    height = _TOP + _ROW * len(trace.spans) + 4
    label = f"Trace {trace.trace_id}: {quantity(trace.duration_ms, 'ms')}, {counted(len(trace.spans), 'span')} shown"
    rows, depth = [], list[int]()
    for i, span in enumerate(trace.spans):
        depth.append(depth[span.above] + 1 if span.above >= 0 else 0)
        rows.append(_row(span, _TOP + i * _ROW, depth[-1], scale, names, width))
    return (
        f"{svg.opening(label, 'waterfall', width, height, 0.92 * width)}{_axis(longest_ms, scale, height, names)}"
        f"{''.join(rows)}</svg>"
    )


def _axis(longest_ms: float, scale: float, height: float, names: float) -> str:
    lines = []
    for tick in svg.ticks(0.0, longest_ms, 5):
        x = names + tick * scale
        lines.append(
            f'<path class="grid" d="M{svg.px(x)} {svg.px(_TOP - 4)}V{svg.px(height)}"/>'
            f'<text class="tick" x="{svg.px(x)}" y="11" text-anchor="{"start" if tick == 0 else "middle"}">'
            f"{quantity(tick, 'ms') if tick else '0'}</text>"
        )
    return "".join(lines)


def _row(span: TraceSpan, y: float, depth: int, scale: float, names: float, whole: float) -> str:
    x, width = names + span.start_ms * scale, max(span.duration_ms * scale, 1.0)
    indent = _INDENT * min(depth, _MOST_INDENT)
    waited = sum(end - begin for begin, end in span.on_path)
    failed = ", failed" if span.failed else ""
    title = (
        f"{span.service} {span.operation}: {quantity(span.duration_ms, 'ms')} from {quantity(span.start_ms, 'ms')} on, "
        f"{quantity(waited, 'ms')} of it on the critical path{failed}"
    )
    solid = "".join(
        f'<rect class="on" x="{svg.px(names + begin * scale)}" y="{svg.px(y + 3)}" '
        f'width="{svg.px(max((end - begin) * scale, 0.8))}" height="10"/>'
        for begin, end in span.on_path
    )
    words = svg.fitted(f"{span.service} {span.operation}", names - indent - 8)
    sign = '<tspan class="bad">! </tspan>' if span.failed else ""
    end = min(x + width + 4, whole - _RIGHT + 4)
    amount = (
        f'<text class="amount" x="{svg.px(end)}" y="{svg.px(y + 12)}">{quantity(waited, "ms")}</text>'
        if span.marked
        else ""
    )
    return (
        f'<g class="row{" marked" if span.marked else ""}"><title>{svg.text(title)}</title>'
        f'<text x="{svg.px(indent)}" y="{svg.px(y + 12)}">{sign}{words}</text>'
        f'<rect class="ran" x="{svg.px(x)}" y="{svg.px(y + 6)}" width="{svg.px(width)}" height="4"/>{solid}{amount}</g>'
    )
