"""Charts as Vega-Lite specifications, written through Altair and drawn in the page by vendored scripts.

Colours are CSS variables of the page (`var(--expected)`), so one specification serves light, dark and print. Data
stands in the specification; nothing is fetched. Altair takes some 80 ms to write and check one, so it writes shapes,
once each, which are filled in with rows and bounds.
"""

from __future__ import annotations

import copy
import math
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    ends = [edges[0], edges[-1]]
    # Logarithmic where bins widen, so that all look equally wide.
    logarithmic = edges[0] > 0 and (edges[-1] - edges[-2]) / (edges[1] - edges[0]) >= _LOG_FROM
    # A point at the last edge closes the last bin.
    layers = [
        [
            {"side": name, "from": low, "to": high, "share": share}
            for name, shares in zip(names, sides, strict=True)
            for low, high, share in zip(edges, [*edges[1:], edges[-1]], [*shares, *shares[-1:]], strict=True)
        ]
    ]
    if means is not None and all(map(math.isfinite, means)):
        shown = zip(names, means, strict=True)
        layers.append([{"side": name, "from": mean} for name, mean in shown if ends[0] < mean < ends[1]])
    spec = filled(_distribution(names, logarithmic, len(layers) == 2), layers)
    for layer in spec["layer"]:
        layer["encoding"]["x"]["scale"]["domain"] = ends
        if logarithmic:
            layer["encoding"]["x"]["axis"]["values"] = log_ticks(*ends)
    return spec


def shape(chart: Any, height: int) -> dict[str, Any]:
    """A chart as wide as its place, in the page's fonts and colours, as a specification without rows."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    spec: dict[str, Any] = _styled(chart.properties(width="container", height=height, autosize=fit)).to_dict()
    return spec


def filled(empty: dict[str, Any], layers: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """A shape with the rows of its layers, or of itself if it has none; the shape stays as it is."""
    spec = copy.deepcopy(empty)
    spec.pop("data", None)  # Altair lifts what layers share
    for layer, rows in zip(spec.get("layer", [spec]), layers, strict=True):
        layer["data"] = {"values": rows}
    return spec


@lru_cache
def _distribution(names: tuple[str, str], logarithmic: bool, ruled: bool) -> dict[str, Any]:
    """Two outlines and, perhaps, two rules, over an axis of latency whose bounds are to come."""
    if logarithmic:
        scale = alt.Scale(type="log", nice=False)
        axis = alt.Axis(format=",~r", labelOverlap="greedy", labelSeparation=6)
        x = alt.X("from:Q", title="latency, ms (logarithmic)", scale=scale, axis=axis)
    else:
        scale, axis = alt.Scale(nice=False, zero=False), alt.Axis(format=",~r", tickCount=6)
        x = alt.X("from:Q", title="latency, ms", scale=scale, axis=axis)
    layers = [_outlines(x, names), *([_rules(x, names)] if ruled else [])]
    return shape(alt.layer(*layers), 190)


def _outlines(x: alt.X, names: tuple[str, str]) -> Any:
    """Both sides as stepped areas."""
    areas = empty_chart().mark_area(interpolate="step-after", opacity=0.28, line={"strokeWidth": 1.8}, clip=True)
    return areas.encode(
        x=x,
        y=alt.Y("share:Q", title="share of requests", stack=None, axis=alt.Axis(format=".0%", tickCount=4)),
        color=_side_color(names, alt.Legend(title=None, orient="top", symbolType="square")),
        tooltip=[
            alt.Tooltip("side:N", title="requests"), alt.Tooltip("from:Q", title="from ms", format=".4~g"),
            alt.Tooltip("to:Q", title="to ms", format=".4~g"), alt.Tooltip("share:Q", title="share", format=".2%"),
        ],
    )  # fmt: skip


def _rules(x: alt.X, names: tuple[str, str]) -> Any:
    tooltip = [alt.Tooltip("side:N", title="mean of"), alt.Tooltip("from:Q", title="ms", format=".4~g")]
    rules = empty_chart().mark_rule(strokeDash=[4, 3], strokeWidth=1.5)
    return rules.encode(x=x, color=_side_color(names), tooltip=tooltip)


def empty_chart() -> alt.Chart:
    """A chart whose rows are to come."""
    # Altair generates its schema classes without types.
    return alt.Chart(alt.Data(values=[]))  # type: ignore[no-untyped-call]


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
