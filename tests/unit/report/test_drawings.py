"""Drawings from plain data: what stands where, on which scale, and that they add up."""

import re
from itertools import pairwise
from types import ModuleType
from xml.etree import ElementTree as ET

import networkx as nx
import pytest

from traceguard import model
from traceguard.report import bars, flame, slices, svg, waterfall
from traceguard.report.layers import place_nodes
from traceguard.report.service_map import damage, neighbourhood

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parsed(drawing: str) -> ET.Element:
    """A drawing as XML, which it must be."""
    return ET.fromstring(drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314  (ours)


def boxes(drawing: str) -> dict[str, tuple[float, float, float]]:
    """Left, width and top of each box of a flame graph, by the name that its title begins with."""
    found = {}
    for group in parsed(drawing).iter(f"{NAMESPACE}g"):
        title, rect = group.find(f"{NAMESPACE}title"), group.find(f"{NAMESPACE}rect")
        assert title is not None
        assert rect is not None
        name = str(title.text).split(": ")[0]
        found[name] = (float(rect.attrib["x"]), float(rect.attrib["width"]), float(rect.attrib["y"]))
    return found


def test_both_sides_of_a_flame_graph_share_one_scale(documents: ModuleType) -> None:
    """The slower side is as wide as the drawing, the other in proportion; what is called stands below its caller."""
    found = flame.draw(documents.call_paths(), ("pricing", "ComputeQuote"))
    assert found is not None
    left, right = boxes(found.without_svg), boxes(found.with_svg)
    assert right["frontend POST /checkout"][1] == pytest.approx(flame.WIDTH, abs=1.1)
    assert left["frontend POST /checkout"][1] == pytest.approx(flame.WIDTH * 96.4 / 183.8, abs=1.1)
    for side in (left, right):
        root, quote, select = (
            side[name] for name in ("frontend POST /checkout", "pricing ComputeQuote", "postgres SELECT prices")
        )
        assert root[2] < quote[2] < select[2]
        assert quote[0] <= select[0]
        assert select[0] + select[1] <= quote[0] + quote[1] + 1
    assert found.note == "+87.4 ms in all"
    assert found.without == "96.4 ms a request (8,000 requests)"


def test_colour_is_the_difference_of_a_paths_own_time(documents: ModuleType) -> None:
    """The cause is strongly worse and outlined; a caller of it is not to blame; what shrank is better or alike."""
    found = flame.draw(documents.call_paths(), ("pricing", "ComputeQuote"))
    assert found is not None
    classes = {
        str(group.findtext(f"{NAMESPACE}title")).split(": ")[0]: group.get("class")
        for group in parsed(found.with_svg).iter(f"{NAMESPACE}g")
    }
    assert classes["pricing ComputeQuote"] == "worse3 marked"
    assert classes["frontend POST /checkout"] == "same"
    assert classes["3 smaller paths"] == "same"
    assert found.table.rows[0] == ("pricing ComputeQuote", "40 ms", "124 ms", "+84.2 ms")


def test_a_side_without_requests_is_not_drawn(documents: ModuleType) -> None:
    """There is nothing to hold it against."""
    assert flame.draw(documents.call_paths().model_copy(update={"reference": 0})) is None


def test_a_pair_of_traces_shares_a_time_axis_and_tells_the_difference(documents: ModuleType) -> None:
    """Bars begin and end where spans do; the blamed span carries its milliseconds."""
    short, long = (documents.typical_trace("a" * 32, 40.0), documents.typical_trace("b" * 32, 124.0))
    (pair,) = waterfall.pairs([short], [long], 2)
    assert pair.difference == ("40 ms on the critical path without, 124 ms with: +84 ms; the whole request +84 ms")
    widths = []
    for drawing in (pair.reference_svg, pair.affected_svg):
        rows = parsed(drawing).findall(f"{NAMESPACE}g")
        assert [row.get("class") for row in rows] == ["row", "row marked", "row"]
        marked = rows[1].findall(f"{NAMESPACE}rect")
        assert [rect.get("class") for rect in marked] == ["ran", "on"]
        widths.append(float(marked[1].attrib["width"]))
        assert "failed" in str(rows[2].findtext(f"{NAMESPACE}title"))
    assert widths[1] / widths[0] == pytest.approx(124 / 40, rel=0.01)
    assert [t.text for t in parsed(pair.affected_svg).iter(f"{NAMESPACE}text") if t.get("class") == "amount"] == [
        "124 ms"
    ]


def test_a_side_with_fewer_traces_leaves_its_place_empty(documents: ModuleType) -> None:
    """No trace is drawn twice."""
    found = waterfall.pairs([], [documents.typical_trace("b" * 32, 124.0)], 2)
    assert [(p.reference, p.reference_svg, p.difference) for p in found] == [(None, "", "")]


def test_slices_show_points_where_something_is_said(documents: ModuleType) -> None:
    """A slice without effect has no mark; higher effects stand higher; zero and units are on the axis."""
    effect = documents.cause().entries[0].effect
    found = slices.draw(documents.over_time(), effect)
    assert found is not None
    drawn = parsed(found.drawing)
    heights = [float(circle.attrib["cy"]) for circle in drawn.iter(f"{NAMESPACE}circle")]
    assert len(heights) == 3
    assert heights == sorted(heights, reverse=True)
    ticks = [t.text for t in drawn.iter(f"{NAMESPACE}text")]
    assert "0 ms" in ticks or "0 µs" in ticks
    assert {"12:00:00", "13:00:00", "time of the request, UTC"} <= set(ticks)
    assert "same slice" in found.note


def test_slices_that_say_nothing_are_not_drawn(documents: ModuleType) -> None:
    """An empty picture would look like no effect."""
    over = documents.over_time()
    silent = over.model_copy(update={"slices": [s.model_copy(update={"effect": None}) for s in over.slices]})
    assert slices.draw(silent, documents.cause().effect) is None


def test_count_and_cost_add_up_within_a_row_and_over_all() -> None:
    """Segments lie end to end from zero; opposite ones lie on both sides of it."""
    parts = [
        model.Part(service="a", operation="o", locus="self", delta_ms=30.0, count_ms=10.0, cost_ms=20.0),
        model.Part(service="b", operation="o", locus="self", delta_ms=5.0, count_ms=-5.0, cost_ms=10.0),
    ]
    entry = model.Entry(service="s", operation="e")
    regression = model.Regression(
        entry=entry, metric="latency_mean", factors=[], reference=1, observed=36, delta=35, low=1, high=2, p_adjusted=0,
        q_value=0, parts=parts,
    )  # fmt: skip
    found = bars.of_regression(regression)
    assert found is not None
    assert found.total == "+35 ms of mean latency"
    assert [(row.name, row.value) for row in found.made_of] == [("time a call", "+30 ms"), ("number of calls", "+5 ms")]
    cost, count = found.rows[0].segments
    assert cost.start == found.rows[0].zero
    assert cost.start + cost.width == pytest.approx(count.start, abs=0.2)
    assert cost.width == pytest.approx(2 * count.width, rel=0.01)
    grew, shrank = found.rows[1].segments
    assert shrank.better
    assert not grew.better
    assert shrank.start + shrank.width == pytest.approx(found.rows[1].zero, abs=0.2)


def test_the_mix_of_entry_points_adds_up_to_the_change_of_all_requests() -> None:
    """A bar an entry point, its share of the traffic and its own change."""
    entries = [
        model.MixEntry(
            entry=model.Entry(service="s", operation=o), reference_share=0.5, observed_share=0.5, mix_ms=m, within_ms=w
        )
        for o, m, w in (("a", 3.0, 1.0), ("b", -1.0, 2.0))
    ]
    mix = model.Mix(reference_ms=10, observed_ms=15, delta_ms=5, mix_ms=2, within_ms=3, entries=entries)
    found = bars.of_mix(mix)
    assert found.total == "+5 ms of the mean over all requests"
    assert [row.value for row in found.made_of] == ["+2 ms", "+3 ms"]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.2, 88.0), (0.0, 0.0013), (-400.0, 1e6), (5.0, 5.0)])
def test_ticks_are_few_and_within_their_bounds(low: float, high: float) -> None:
    """One to six, evenly spaced."""
    found = list(svg.ticks(low, high))
    assert 1 <= len(found) <= 6
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


def test_text_fits_and_stays_text() -> None:
    """Cut in the middle, escaped after the cut; nothing where nothing fits."""
    assert svg.fitted("a<b", 200) == "a&lt;b"
    assert len(re.sub("&[a-z]+;", "x", svg.fitted("<" * 100, 100))) <= 100 / svg.CHARACTER
    assert svg.fitted("something", 12) == ""


@pytest.mark.parametrize("seed", range(6))
def test_a_map_keeps_its_boxes_apart_and_its_height_small(seed: int) -> None:
    """In a column boxes are at least a row apart; a map is hardly higher than its fullest columns need."""
    graph = nx.gnp_random_graph(60, 0.04, seed=seed, directed=True)
    placed = place_nodes(graph)
    columns: dict[int, list[float]] = {}
    for layer, row in placed.at.values():
        columns.setdefault(layer, []).append(row)
    for rows in columns.values():
        assert all(b - a >= 1 - 1e-9 for a, b in pairwise(sorted(rows)))
        assert min(rows) >= 0
    passing: dict[int, int] = {}
    for way in placed.ways.values():
        for layer, _ in way:
            passing[layer] = passing.get(layer, 0) + 1
    assert placed.rows <= 2.5 * (max(map(len, columns.values())) + 0.4 * max(passing.values(), default=0)) + 3


def test_a_large_map_is_drawn_around_the_way_of_the_damage() -> None:
    """What is blamed, the way to it, and its neighbours before those of the entry point; small maps are whole."""
    star = nx.DiGraph()
    pairs = [("edge", f"s{number}", number) for number in range(40)]
    for source, target, calls in (*pairs, ("s3", "below", 1)):
        star.add_edge(source, target, kinds={"sync": {"kind": "sync", "calls": calls, "errors": 0}})
    marks = damage(star, {"s3": "+1 ms"}, {"s3": ["edge"]})
    near = neighbourhood(star, marks)
    assert {"edge", "s3", "below", "s39"} <= set(near)
    assert len(near) < 20
    small = star.subgraph(["edge", "s3", "below"])
    assert neighbourhood(small, marks) is small
