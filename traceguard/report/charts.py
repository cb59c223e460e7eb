"""Charts as Vega-Lite specifications, written through Altair and drawn in the page by vendored scripts.

Colours are CSS variables of the page (`var(--expected)`), so one specification serves light, dark and print. Data
stands in the specification; nothing is fetched.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from traceguard.model import Histogram

_MOST_BINS = 56
_FEWEST_BINS = 8
_ROUGH = 2.0
_SHOWN_SHARE = 0.0005
_LOG_FROM = 1.3  # the last bin is this much wider than the first
_MOST_TICKS = 9
_SIDES = ("expected without it", "seen with it")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def distribution(
    histogram: Histogram, means: tuple[float, float] | None = None, names: tuple[str, str] = _SIDES
) -> dict[str, Any]:
    """Latency of the affected requests (seen) against the reference, as two stepped outlines over common bins.

    `means` (reference, observed; ms) adds a dashed rule for each side. Bins without requests at both ends are left
    out, and bins are merged by pairs while there are more than 56 or their outlines are rough, as with few requests.
    """
    edges, sides = readable(histogram)
    axis = _latency(edges)
    layers = [_outlines(edges, sides, axis, names)]
    if means is not None and all(map(math.isfinite, means)):
        layers.append(_rules([mean if edges[0] < mean < edges[-1] else None for mean in means], axis, names))
    return drawn(alt.layer(*layers), 190)


def drawn(chart: Any, height: int) -> dict[str, Any]:
    """A chart as wide as its place, in the page's fonts and colours, as a specification."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    spec: dict[str, Any] = _styled(chart.properties(width="container", height=height, autosize=fit)).to_dict()
    return spec


def _outlines(edges: list[float], sides: tuple[list[float], list[float]], x: alt.X, names: tuple[str, str]) -> Any:
    """Both sides as stepped areas; a point at the last edge closes the last bin."""
    rows = [
        {"side": name, "from": low, "to": high, "share": share}
        for name, shares in zip(names, sides, strict=True)
        for low, high, share in zip(edges, [*edges[1:], edges[-1]], [*shares, *shares[-1:]], strict=True)
    ]
    areas = rows_chart(rows).mark_area(interpolate="step-after", opacity=0.28, line={"strokeWidth": 1.8}, clip=True)
    return areas.encode(
        x=x,
        y=alt.Y("share:Q", title="share of requests", stack=None, axis=alt.Axis(format=".0%", tickCount=4)),
        color=_side_color(names, alt.Legend(title=None, orient="top", symbolType="square")),
        tooltip=[
            alt.Tooltip("side:N", title="requests"), alt.Tooltip("from:Q", title="from ms", format=".4~g"),
            alt.Tooltip("to:Q", title="to ms", format=".4~g"), alt.Tooltip("share:Q", title="share", format=".2%"),
        ],
    )  # fmt: skip


def _rules(means: list[float | None], x: alt.X, names: tuple[str, str]) -> Any:
    rows = [{"side": name, "from": mean} for name, mean in zip(names, means, strict=True) if mean is not None]
    tooltip = [alt.Tooltip("side:N", title="mean of"), alt.Tooltip("from:Q", title="ms", format=".4~g")]
    return (
        rows_chart(rows)
        .mark_rule(strokeDash=[4, 3], strokeWidth=1.5)
        .encode(x=x, color=_side_color(names), tooltip=tooltip)
    )


def rows_chart(rows: list[dict[str, Any]]) -> alt.Chart:
    """A chart over rows that stand in it."""
    # Altair generates its schema classes without types.
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]


def _side_color(names: tuple[str, str], legend: alt.Legend | None = None) -> alt.Color:
    scale = alt.Scale(domain=list(names), range=["var(--expected)", "var(--seen)"])
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
        .configure_legend(labelColor="var(--text)", titleColor="var(--muted)", labelFontSize=12)
    )  # fmt: skip


def _latency(edges: list[float]) -> alt.X:
    """The latency axis, spaced as the bins are: logarithmic where they widen, so that all look equally wide."""
    ends = [edges[0], edges[-1]]
    widening = (edges[-1] - edges[-2]) / (edges[1] - edges[0])
    if edges[0] <= 0 or widening < _LOG_FROM:
        scale, axis = alt.Scale(domain=ends, nice=False, zero=False), alt.Axis(format=",~r", tickCount=6)
        return alt.X("from:Q", title="latency, ms", scale=scale, axis=axis)
    scale = alt.Scale(type="log", domain=ends, nice=False)
    axis = alt.Axis(values=log_ticks(*ends), format=",~r", labelOverlap="greedy", labelSeparation=6)
    return alt.X("from:Q", title="latency, ms (logarithmic)", scale=scale, axis=axis)


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two bounds: as many a decade as there is room for, five to nine in all where possible."""
    ticks: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        finer = [step * 10.0**power for power in range(-4, 8) for step in steps if low <= step * 10.0**power <= high]
        if ticks and len(finer) > _MOST_TICKS:
            break
        ticks = finer
    return ticks


def readable(histogram: Histogram) -> tuple[list[float], tuple[list[float], list[float]]]:
    """Bins without the empty ends, coarse enough to show shapes and not noise, closed by an empty bin on each side."""
    edges, reference, observed = list(histogram.edges_ms), list(histogram.reference), list(histogram.observed)
    filled = [i for i, pair in enumerate(zip(reference, observed, strict=True)) if max(pair) > _SHOWN_SHARE]
    if filled:
        first, last = filled[0], filled[-1] + 1
        edges, reference, observed = edges[first : last + 1], reference[first:last], observed[first:last]
    while len(reference) > _MOST_BINS or (
        len(reference) >= 2 * _FEWEST_BINS and max(_roughness(reference), _roughness(observed)) > _ROUGH
    ):
        edges = edges[::2] if len(reference) % 2 == 0 else [*edges[:-1:2], edges[-1] ** 2 / edges[-2]]
        reference, observed = _paired(reference), _paired(observed)
    before = edges[0] ** 2 / edges[1] if edges[0] > 0 else edges[0]
    after = edges[-1] ** 2 / edges[-2]
    return [before, *edges, after], ([0.0, *reference, 0.0], [0.0, *observed, 0.0])


def _roughness(shares: list[float]) -> float:
    """How much an outline goes up and down, in units of a single hump: 1 for one, about n for n spikes."""
    steps = sum(abs(b - a) for a, b in pairwise([0.0, *shares, 0.0]))
    return steps / (2 * max(shares)) if max(shares, default=0.0) > 0 else 0.0


def _paired(shares: list[float]) -> list[float]:
    return [sum(shares[i : i + 2]) for i in range(0, len(shares), 2)]
