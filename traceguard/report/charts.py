"""Charts as Vega-Lite specifications, written through Altair and drawn in the page by vendored scripts.

Colours are CSS variables of the page (`var(--expected)`), so one specification serves light, dark and print. Data
stands in the specification; nothing is fetched.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from traceguard.model import Histogram

_MOST_BINS = 56
_LOG_FROM = 8.0
_MOST_TICKS = 9
_SIDES = ("expected without it", "seen with it")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def distribution(histogram: Histogram, means: tuple[float, float] | None = None) -> dict[str, Any]:
    """Latency of the affected requests (seen) against the reference, as two stepped outlines over common bins.

    `means` (reference, observed; ms) adds a dashed rule for each side. Bins without requests at both ends are left
    out, and bins are merged by pairs until at most 56 remain.
    """
    edges, sides = _readable(histogram)
    axis = _latency(edges)
    layers = [_outlines(edges, sides, axis)]
    if means is not None and all(map(math.isfinite, means)):
        layers.append(_rules([mean if edges[0] < mean < edges[-1] else None for mean in means], axis))
    chart: Any = alt.layer(*layers)
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    spec: dict[str, Any] = _styled(chart.properties(width="container", height=190, autosize=fit)).to_dict()
    return spec


def _outlines(edges: list[float], sides: tuple[list[float], list[float]], x: alt.X) -> Any:
    """Both sides as stepped areas; a point at the last edge closes the last bin."""
    rows = [
        {"side": name, "from": low, "to": high, "share": share}
        for name, shares in zip(_SIDES, sides, strict=True)
        for low, high, share in zip(edges, [*edges[1:], edges[-1]], [*shares, *shares[-1:]], strict=True)
    ]
    areas = _chart(rows).mark_area(interpolate="step-after", opacity=0.28, line={"strokeWidth": 1.8}, clip=True)
    return areas.encode(
        x=x,
        y=alt.Y("share:Q", title="share of requests", stack=None, axis=alt.Axis(format=".0%", tickCount=4)),
        color=_side_color(alt.Legend(title=None, orient="top", symbolType="square")),
        tooltip=[
            alt.Tooltip("side:N", title="requests"), alt.Tooltip("from:Q", title="from ms", format=".4~g"),
            alt.Tooltip("to:Q", title="to ms", format=".4~g"), alt.Tooltip("share:Q", title="share", format=".2%"),
        ],
    )  # fmt: skip


def _rules(means: list[float | None], x: alt.X) -> Any:
    rows = [{"side": name, "from": mean} for name, mean in zip(_SIDES, means, strict=True) if mean is not None]
    tooltip = [alt.Tooltip("side:N", title="mean of"), alt.Tooltip("from:Q", title="ms", format=".4~g")]
    return _chart(rows).mark_rule(strokeDash=[4, 3], strokeWidth=1.5).encode(x=x, color=_side_color(), tooltip=tooltip)


def _chart(rows: list[dict[str, Any]]) -> alt.Chart:
    # Altair generates its schema classes without types.
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]


def _side_color(legend: alt.Legend | None = None) -> alt.Color:
    scale = alt.Scale(domain=list(_SIDES), range=["var(--expected)", "var(--seen)"])
    return alt.Color("side:N", scale=scale) if legend is None else alt.Color("side:N", scale=scale, legend=legend)


def _styled(chart: Any) -> Any:
    """The page's fonts and colours, whatever its theme."""
    return (
        chart.configure(font=_FONT, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)", labelFontSize=11,
            titleColor="var(--muted)", titleFontWeight="normal", titleFontSize=11,
            domainColor="var(--line)", tickColor="var(--line)", gridColor="var(--line)", gridOpacity=0.7,
        )
        .configure_axisX(grid=False)
        .configure_legend(labelColor="var(--text)", labelFontSize=12)
    )  # fmt: skip


def _latency(edges: list[float]) -> alt.X:
    """The latency axis: logarithmic where the bins span much, ticked at 1, 2 and 5."""
    ends = [edges[0], edges[-1]]
    if edges[0] <= 0 or edges[-1] / edges[0] <= _LOG_FROM:
        scale, axis = alt.Scale(domain=ends, nice=False, zero=False), alt.Axis(format="~g", tickCount=6)
        return alt.X("from:Q", title="latency, ms", scale=scale, axis=axis)
    ticks = [
        step * 10.0**power for power in range(-4, 8) for step in (1, 2, 5) if ends[0] <= step * 10**power <= ends[1]
    ]
    if len(ticks) > _MOST_TICKS:
        ticks = [tick for tick in ticks if round(math.log10(tick), 6) % 1 == 0]
    axis = alt.Axis(values=ticks, format="~s" if ends[1] >= 1e5 else "~g")
    scale = alt.Scale(type="log", domain=ends, nice=False)
    return alt.X("from:Q", title="latency, ms (logarithmic)", scale=scale, axis=axis)


def _readable(histogram: Histogram) -> tuple[list[float], tuple[list[float], list[float]]]:
    edges, reference, observed = list(histogram.edges_ms), list(histogram.reference), list(histogram.observed)
    filled = [i for i, pair in enumerate(zip(reference, observed, strict=True)) if max(pair) > 0.0005]
    if filled:
        first, last = max(filled[0] - 1, 0), min(filled[-1] + 2, len(reference))
        edges, reference, observed = edges[first : last + 1], reference[first:last], observed[first:last]
    while len(reference) > _MOST_BINS:
        edges = [*edges[:-1:2], edges[-1]]
        reference, observed = _paired(reference), _paired(observed)
    return edges, (reference, observed)


def _paired(shares: list[float]) -> list[float]:
    return [sum(shares[i : i + 2]) for i in range(0, len(shares), 2)]
