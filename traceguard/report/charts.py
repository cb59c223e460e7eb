"""Charts as Vega-Lite specifications, written through Altair and drawn in the page by vendored scripts.

Colours are CSS variables of the page (`var(--expected)`), so one specification serves light, dark and print. Data stands in the
specification; nothing is fetched.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from traceguard.model import Histogram

_MOST_BINS = 56
_LOG_FROM = 8.0
_SIDES = ("expected without it", "seen with it")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def distribution(histogram: Histogram, means: tuple[float, float] | None = None) -> dict[str, Any]:
    """Latency of the affected requests (seen) against the reference, as two stepped outlines over common bins.

    `means` (reference, observed; ms) adds a dashed rule for each side. Bins without requests at both ends are left out, and bins
    are merged by pairs until at most 56 remain.
    """
    edges, sides = _readable(histogram)
    logarithmic = edges[0] > 0 and edges[-1] / edges[0] > _LOG_FROM
    rows = [
        {"side": name, "from": low, "to": high, "share": share}
        for name, shares in zip(_SIDES, sides, strict=True)
        for low, high, share in zip(
            edges, [*edges[1:], edges[-1]], [*shares, shares[-1] if shares else 0.0], strict=False
        )
    ]
    scale = (
        alt.Scale(type="log", domain=[edges[0], edges[-1]], nice=False)
        if logarithmic
        else alt.Scale(domain=[edges[0], edges[-1]], nice=False, zero=False)
    )
    x = alt.X(
        "from:Q",
        title="latency, ms" + (" (logarithmic)" if logarithmic else ""),
        scale=scale,
        axis=_latency_axis(edges, logarithmic=logarithmic),
    )
    color = alt.Scale(domain=list(_SIDES), range=["var(--expected)", "var(--seen)"])
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=x,
        y=alt.Y("share:Q", title="share of requests", stack=None, axis=alt.Axis(format=".0%", tickCount=4)),
        color=alt.Color("side:N", scale=color, legend=alt.Legend(title=None, orient="top", symbolType="square")),
        tooltip=[
            alt.Tooltip("side:N", title="requests"), alt.Tooltip("from:Q", title="from ms", format=".4~g"),
            alt.Tooltip("to:Q", title="to ms", format=".4~g"), alt.Tooltip("share:Q", title="share", format=".2%"),
        ],
    )  # fmt: skip
    layers: list[alt.Chart] = [
        base.mark_area(interpolate="step-after", opacity=0.28, line={"strokeWidth": 1.8}, clip=True)
    ]
    if means is not None and all(map(math.isfinite, means)):
        marks = [
            {"side": name, "from": value}
            for name, value in zip(_SIDES, means, strict=True)
            if edges[0] < value < edges[-1]
        ]
        rules = alt.Chart(alt.Data(values=marks)).mark_rule(strokeDash=[4, 3], strokeWidth=1.5)
        layers.append(
            rules.encode(
                x=x, color=alt.Color("side:N", scale=color),
                tooltip=[alt.Tooltip("side:N", title="mean of"), alt.Tooltip("from:Q", title="ms", format=".4~g")],
            )
        )  # fmt: skip
    chart = alt.layer(*layers).properties(
        width="container",
        height=190,
        background="transparent",
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
    spec: dict[str, Any] = _styled(chart).to_dict()
    return spec


def _styled(chart: alt.LayerChart) -> alt.LayerChart:
    return (
        chart.configure(font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)", titleColor="var(--muted)", titleFontWeight="normal", titleFontSize=11, labelFontSize=11,
            domainColor="var(--line)", tickColor="var(--line)", gridColor="var(--line)", gridOpacity=0.7,
        )
        .configure_axisX(grid=False)
        .configure_legend(labelColor="var(--text)", labelFontSize=12)
    )  # fmt: skip


def _latency_axis(edges: list[float], *, logarithmic: bool) -> alt.Axis:
    if not logarithmic:
        return alt.Axis(format="~g", tickCount=6)
    steps = [m * 10**e for e in range(-4, 8) for m in (1, 2, 5)]
    values = [step for step in steps if edges[0] <= step <= edges[-1]]
    return alt.Axis(
        values=values if len(values) <= 9 else [v for v in values if math.log10(v) % 1 == 0],
        format="~s" if edges[-1] >= 1e5 else "~g",
    )


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
