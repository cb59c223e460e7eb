"""Reach as a picture: what is drawn, where it stands, and that names from spans stay text."""

import re
from types import ModuleType
from xml.etree import ElementTree as ET

from traceguard import model
from traceguard.report import Radius, render
from traceguard.report.reach_map import draw_reach, draw_week


def elements(svg: str, tag: str) -> list[ET.Element]:
    """The picture's elements of a kind; it must be well-formed."""
    return list(ET.fromstring(svg).iter(tag))  # noqa: S314  (our own picture)


def boxes(svg: str) -> dict[str, tuple[str, float]]:
    """Class and left edge of each box by its name."""
    found = {}
    for group in elements(svg, "g"):
        if "node" in group.attrib["class"].split():
            rect, name = group.find("rect"), group.find("text")
            assert rect is not None
            assert name is not None
            found[name.text or ""] = (group.attrib["class"], float(rect.attrib["x"]))
    return found


def test_entry_points_stand_left_and_dependencies_right(documents: ModuleType) -> None:
    """Entry points, callers, the target, what it depends on: from left to right; what sent no spans is dashed."""
    found = boxes(draw_reach(documents.radius()))
    order = ["POST /checkout", "frontend", "checkout", "pricing", "ledger"]
    places = [found[name][1] for name in order]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    assert "hurt" in found["pricing"][0]
    assert "unknown" in found["redis:cache"][0]
    assert found["redis:cache"][1] > found["pricing"][1]


def test_gates_are_marked_and_edges_explain_themselves(documents: ModuleType) -> None:
    """A letter for each gate; hovering tells how often failures stopped, or that none was seen."""
    svg = draw_reach(documents.radius())
    assert "retry between checkout and pricing: 38 of 40 failures stopped" in svg
    assert "frontend to pricing, sync: 4,760 calls, never seen failing" in svg
    assert 'class="edge async"' in svg


def test_no_two_boxes_overlap(documents: ModuleType) -> None:
    """Each box has its place, also with many entry points."""
    entries = [
        model.ReachedEntry(
            service="frontend", operation=f"GET /{n}", requests=9, fraction=1.0, calls_per_request=1.0,
            critical_fraction=0.0,
        )
        for n in range(30)
    ]  # fmt: skip
    svg = draw_reach(documents.radius(entries=entries))
    rects = [(float(r.attrib["x"]), float(r.attrib["y"])) for r in elements(svg, "rect")]
    assert "22 more" in boxes(svg)
    for i, (x, y) in enumerate(rects):
        assert not any(abs(x - a) < 188 and abs(y - b) < 46 for a, b in rects[:i])


def test_names_from_spans_stay_text(documents: ModuleType) -> None:
    """Markup in the name of a service, an attribute's value or a system neither ends an element nor begins one."""
    evil = "<script>alert(1)</script>"
    target = model.Target(service=evil, operation=None, flag=None)
    unknown = [model.UnknownService(service=evil, called_by=[evil], calls=1, fraction=1, low=0, high=1)]
    values = [model.CohortValue(value=evil, requests=1, reached=1, fraction=1, low=0, high=1, units=1)]
    cohorts = [model.Cohort(key=evil, values=values, more=0, total=1, reached=1)]
    radius = Radius(documents.radius(target=target, unknown=unknown, cohorts=cohorts))
    for shown in (render(radius, "html"), radius._repr_html_()):
        assert "<script>alert" not in shown


def test_nothing_reached_draws_nothing(documents: ModuleType) -> None:
    """Without requests there is neither a picture nor an empty frame."""
    nothing = documents.radius(entries=[], upstream=[], downstream=[], edges=[], unknown=[], by_time=[])
    assert draw_reach(nothing) == ""
    assert draw_week([]) == ""
    assert 'class="map"' not in render(Radius(nothing), "html")


def test_the_week_has_a_cell_for_each_hour_with_data(documents: ModuleType) -> None:
    """Cells lie in the row of their day; the one with more reached requests an hour is darker."""
    svg = draw_week([documents.hour("Tuesday", 9, 0.75), documents.hour("Sunday", 22, 0.2)])
    cells = re.findall(r'<rect x="(\d+)" y="(\d+)"[^>]*fill-opacity="([\d.]+)"', svg)
    (x1, y1, dark), (x2, y2, light) = cells
    assert float(dark) > float(light)
    assert int(y1) < int(y2)
    assert int(x1) < int(x2)


def test_notebooks_show_the_pictures(documents: ModuleType) -> None:
    """The layered graph and the week stand in the cell with rules that touch nothing outside of it."""
    hours = [documents.hour("Tuesday", at, 0.5) for at in range(24)]
    shown = Radius(documents.radius(by_time=hours))._repr_html_()
    assert '<svg class="map"' in shown
    assert '<svg class="week"' in shown
    for style in re.findall(r"<style>(.*?)</style>", shown, re.DOTALL):
        for rule in filter(None, style.split("}")):
            assert rule.strip().startswith((".tg-result", "@media")), rule
