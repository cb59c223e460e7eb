"""The HTML report in a real browser: it draws its charts under its own policy, opens, prints, fits, and asks nobody."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from builders.browser import Page, browser
from builders.scenes import recorded, reported

import traceguard
from traceguard.report import Analysis, render
from traceguard.simulate import Plant
from traceguard.simulate.random_fleet import random_fleet

pytestmark = pytest.mark.browser

LIMIT = 3_000_000
OPEN_ALL = "document.querySelectorAll('details').forEach(d => { d.open = true; })"
# Axe looks at what is shown; what it calls moderate or minor is advice.
SERIOUS = """axe.run().then(found => found.violations.filter(v => v.impact === "serious" || v.impact === "critical")
  .map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 120)).join(" | ")))"""
# Boxes of the maps that touch each other, and names that are wider than their box.
CROWDED = """[...document.querySelectorAll("svg.map")].flatMap(map => {
  const boxes = [...map.querySelectorAll(".node rect")].map(r => r.getBBox());
  const touching = boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b =>
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height));
  const wide = [...map.querySelectorAll(".node")].filter(n => {
    const box = n.querySelector("rect").getBBox();
    return [...n.querySelectorAll("text")].some(t => t.getBBox().x + t.getBBox().width > box.x + box.width);
  });
  return [...touching.map(() => "boxes touch"), ...wide.map(n => "too wide: " + n.textContent)];
})"""
# Text of the drawings that lies outside of them or, in a flame graph, of its own box.
SPILLED = """[...document.querySelectorAll("svg.drawing")].flatMap(svg => {
  const size = svg.viewBox.baseVal;
  return [...svg.querySelectorAll("text")].filter(t => {
    const words = t.getBBox(), box = svg.matches(".flame") ? t.parentNode.querySelector("rect").getBBox() : size;
    return words.x < box.x - 1 || words.x + words.width > box.x + box.width + 1;
  }).map(t => svg.getAttribute("class") + ": " + t.textContent);
})"""


@pytest.fixture(scope="module")
def documents(repository: Path) -> ModuleType:
    """The unit tests' documents."""
    spec = importlib.util.spec_from_file_location("report_documents", repository / "tests/unit/report/documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a browser that all tests here share."""
    with browser(chromium, tmp_path_factory.mktemp("browser")) as running:
        yield running.page()


@pytest.fixture(scope="module")
def real(shop: Path) -> str:
    """The report on the project's own recording."""
    return render(traceguard.report(shop), "html")


@pytest.fixture(scope="module")
def large() -> Analysis:
    """Sixty services under twelve flags, of which twenty-six things went wrong."""
    fleet = random_fleet(3, services=60, flags=12, entries=8, family=None)
    draw = np.random.default_rng(1)
    inner = [o for o in fleet.operations if o.service != fleet.entries[0].service]
    kinds = ({"error_rate": 0.15}, {"inbound_ms": 60.0}, {"self_ms": 90.0}, {"self_ms": 40.0})
    plants = []
    for number in range(26):
        operation, flag = inner[int(draw.integers(len(inner)))], fleet.flags[number % len(fleet.flags)]
        level = (flag.key, flag.variants[-1].name)
        plants.append(Plant(operation.service, operation.name, flags=(level,), **kinds[number % len(kinds)]))
    return reported(recorded(replace(fleet, plants=tuple(plants)), requests=9_000))


def shown(page: Page, folder: Path, source: str, *, width: int = 1280, phone: bool = False) -> Page:
    """The page with this source, opened from a file."""
    file = folder / "page.html"
    file.write_text(source, encoding="utf-8")
    page.complaints.clear()
    page.requests.clear()
    page.media()
    page.command("Page.setBypassCSP", enabled=False)
    page.size(width, phone=phone)
    page.open(file.as_uri())
    return page


def test_the_report_draws_its_charts_under_its_policy(page: Page, real: str, tmp_path: Path) -> None:
    """Its first cause is open and drawn; nothing violates the policy, nothing but the file is asked for."""
    shown(page, tmp_path, real).wait("document.querySelector('#cause-1 .chart.drawn svg')")
    assert page.run("document.querySelector('#cause-1').open")
    assert page.run("document.querySelector('#cause-1 .chart').textContent.includes('share of requests')")
    for drawing in ("svg.map", "svg.slices", "svg.flame", "svg.waterfall"):
        assert page.run(f"document.querySelectorAll('#cause-1 {drawing}').length") >= 1, drawing
    assert page.complaints == []
    assert set(page.requests) == {(tmp_path / "page.html").as_uri()}


def test_a_cause_opens_and_draws(page: Page, documents: ModuleType, tmp_path: Path) -> None:
    """Charts of a folded cause are drawn when it is opened, by the keyboard as by a click."""
    report = documents.report(
        regressions=[
            documents.regression(distribution=documents.histogram(), parts=documents.parts()),
            documents.regression(factors=[documents.flag("other")], distribution=documents.histogram()),
        ],
        causes=[documents.cause(), documents.cause(rank=2, factors=[documents.flag("other")])],
    )
    shown(page, tmp_path, render(Analysis(report, documents.graph()), "html"))
    page.wait("document.querySelector('#cause-1 .chart.drawn')")
    assert not page.run("document.querySelector('#cause-2').open")
    assert not page.run("document.querySelector('#cause-2 .chart.drawn')")
    page.run("document.querySelector('#cause-2 > summary').focus()")
    for kind in ("rawKeyDown", "char", "keyUp"):
        page.command(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
    page.wait("document.querySelector('#cause-2').open && document.querySelector('#cause-2 .chart.drawn svg')")
    assert page.complaints == []


def test_an_address_with_a_cause_opens_it(page: Page, large: Analysis, tmp_path: Path) -> None:
    """A link to a folded cause shows it."""
    shown(page, tmp_path, render(large, "html"))
    page.run("location.hash = '#cause-3'")
    page.wait("document.querySelector('#cause-3').open")


def test_a_hostile_name_runs_nothing(page: Page, documents: ModuleType, tmp_path: Path) -> None:
    """A script in a span's name stays text in the page, in its drawings and in the data of its charts."""
    owned = "document.title='owned'"
    name = f'</script><script>{owned}</script><img src=http://e.example/x onerror="{owned}">'
    regression = documents.regression(entry=documents.entry(name, name), distribution=documents.histogram())
    cause = documents.cause(service=name, operation=name, summary=name, over_time=documents.over_time())
    report = documents.report(regressions=[regression], causes=[cause])
    graph = documents.graph()
    graph.add_edge("frontend", name, kinds={"sync": {"kind": "sync", "calls": 1, "errors": 0}})
    shown(page, tmp_path, render(Analysis(report, graph, pictures=documents.pictures(name)), "html"))
    page.run(OPEN_ALL)
    page.wait("document.querySelector('.chart.drawn')")
    assert page.run("document.title") == "Regression: traceguard report"
    assert page.run("document.querySelectorAll('img').length") == 0
    assert page.run("document.querySelector('#cause-1 svg.flame').textContent").count("<script>") >= 1
    assert page.run("document.querySelector('#cause-1 svg.waterfall').textContent").count("<script>") >= 1
    assert page.complaints == []
    assert set(page.requests) == {(tmp_path / "page.html").as_uri()}


def test_a_report_on_sixty_services_is_small_and_nothing_overlaps(page: Page, large: Analysis, tmp_path: Path) -> None:
    """At a desk: no box on another, no name beyond its box, no text beyond its drawing, nothing to scroll sideways."""
    source = render(large, "html")
    assert len(source.encode()) < LIMIT
    assert len(large.causes) >= 12
    shown(page, tmp_path, source)
    page.run(OPEN_ALL)
    assert page.run("document.querySelectorAll('svg.flame').length") >= 2 * 10
    assert page.run(CROWDED) == []
    assert page.run(SPILLED) == []
    assert page.run("document.scrollingElement.scrollWidth <= innerWidth")


def test_a_phone_shows_it_without_scrolling_sideways(page: Page, large: Analysis, real: str, tmp_path: Path) -> None:
    """Wide drawings scroll in their own boxes."""
    for source in (real, render(large, "html")):
        shown(page, tmp_path, source, width=390, phone=True)
        page.run(OPEN_ALL)
        assert page.run("document.scrollingElement.scrollWidth") <= 390


def test_print_shows_every_cause(page: Page, large: Analysis, tmp_path: Path) -> None:
    """Folded causes are opened for paper."""
    shown(page, tmp_path, render(large, "html"))
    pdf = page.command("Page.printToPDF", printBackground=True)["data"]
    assert len(pdf) > 100_000
    assert page.run("document.querySelectorAll('details.cause-card:not([open])').length") == 0


@pytest.mark.node
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_anybody(
    page: Page, real: str, documents: ModuleType, node_modules: Path, scheme: str, tmp_path: Path
) -> None:
    """Axe finds no serious or critical fault in the report, all of it unfolded."""
    axe = (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    for source in (real, render(Analysis(documents.report(), documents.graph()), "html")):
        shown(page, tmp_path, source)
        page.media(scheme=scheme)
        # Axe itself is no script of the page's policy.
        page.command("Page.setBypassCSP", enabled=True)
        page.open((tmp_path / "page.html").as_uri())
        page.run(OPEN_ALL)
        page.run(f"{axe};0")
        assert page.run(SERIOUS) == []
