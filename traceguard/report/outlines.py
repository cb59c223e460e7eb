"""Before and after as a small static drawing, for places that run no scripts: a notebook's output.

The same bins as the charts of pages, drawn as stepped outlines in colours that read on light and dark ground.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup

from traceguard.report.charts import log_ticks, readable
from traceguard.units import format_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import Histogram

_WIDTH, _HEIGHT, _FOOT = 460.0, 96.0, 18.0
_COLORS = ("#7b8798", "#d9401f")


def outlines(histogram: Histogram, names: tuple[str, str]) -> Markup:
    """Both sides of a histogram over a logarithmic axis of latency, as one SVG element."""
    edges, sides = readable(histogram)
    edges = [max(edge, 1e-6) for edge in edges]
    low, high = math.log(edges[0]), math.log(edges[-1])
    across = [(math.log(edge) - low) / (high - low) * _WIDTH for edge in edges]
    top = max(*sides[0], *sides[1], 1e-9)
    shapes = "".join(
        _side(across, [share / top for share in side], color) for side, color in zip(sides, _COLORS, strict=True)
    )
    ticks = "".join(
        f'<text x="{(math.log(tick) - low) / (high - low) * _WIDTH:.1f}" y="{_HEIGHT + 13:.0f}">{label}</text>'
        for tick in log_ticks(edges[0], edges[-1])[::2]
        if (label := format_ms(tick))
    )
    key = "".join(
        f'<rect x="{14 + 80 * i}" y="2" width="10" height="10" fill="{color}" fill-opacity=".6"/>'
        f'<text x="{28 + 80 * i}" y="11" style="text-anchor:start">{name}</text>'
        for i, (name, color) in enumerate(zip(names, _COLORS, strict=True))
    )
    return Markup(  # noqa: S704  (numbers and our own words only)
        f'<svg viewBox="-12 0 {_WIDTH + 24:.0f} {_HEIGHT + _FOOT:.0f}" width="{_WIDTH + 24:.0f}" role="img"'
        f' aria-label="latency {names[0]} and {names[1]}" style="max-width:100%;height:auto">'
        f'<g font-size="11" fill="currentColor" text-anchor="middle">{shapes}{key}{ticks}</g></svg>'
    )


def _side(across: Sequence[float], heights: Sequence[float], color: str) -> str:
    """One side as a closed outline; `across` has one element more than `heights`."""
    floor = _HEIGHT
    points = [f"{across[0]:.1f},{floor:.1f}"]
    for left, right, height in zip(across, across[1:], heights, strict=False):
        y = floor - height * (_HEIGHT - 18)
        points += [f"{left:.1f},{y:.1f}", f"{right:.1f},{y:.1f}"]
    points.append(f"{across[-1]:.1f},{floor:.1f}")
    return (
        f'<polygon points="{" ".join(points)}" fill="{color}" fill-opacity=".25" stroke="{color}" stroke-width="1.5"/>'
    )
