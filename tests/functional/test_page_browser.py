"""The live page in a real browser: load, filter, open a cause and a request, compare, run a what-if; desk and phone."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from builders.browser import Page, browser

from traceguard.server import Server
from traceguard.simulate import Fleet, Plant, generate, random_fleet, shop
from traceguard.simulate.wire import bodies, log_bodies

pytestmark = pytest.mark.browser

START = 1_800_000_000
HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title=1">'
READY = "!document.querySelector('[aria-busy=true], [data-state=busy], [data-graph]:not([data-state])')"
# Boxes of the map that touch each other.
CROWDED = """[...document.querySelectorAll("svg.map")].flatMap(map => {
  const boxes = [...map.querySelectorAll(".node rect")].map(r => r.getBBox());
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b =>
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height));
})"""
# The same of the map that Cytoscape.js draws, and names that are wider than their boxes.
TIGHT = """(() => { const box = document.querySelector(".graph");
  if (!box) return [];
  const found = box.map.nodes(".service").map(n => [n, n.boundingBox({includeLabels: false, includeOverlays: false})]);
  return found.flatMap(([n, a], i) => [
    ...found.slice(i + 1).filter(([, b]) => a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2)
      .map(([other]) => n.data("label") + " on " + other.data("label")),
    ...(n.boundingBox({includeNodes: false}).w > a.w ? [n.data("label") + " is wider than its box"] : [])]);
})()"""
# Text of a drawing that leaves it, or that lies on other text of it.
SPILLED = """[...document.querySelectorAll("svg.over-time, svg.waterfall")].flatMap(svg => {
  const size = svg.viewBox.baseVal, words = [...svg.querySelectorAll("text")].map(t => [t.getBBox(), t.textContent]);
  const beyond = words.filter(([b]) => b.x < -1 || b.x + b.width > size.width + 1 || b.y + b.height > size.height + 2);
  const lying = words.flatMap(([a, one], i) => words.slice(i + 1).filter(([b]) => a.width && b.width &&
    a.x + 1 < b.x + b.width && b.x + 1 < a.x + a.width && a.y + 4 < b.y + b.height && b.y + 4 < a.y + a.height)
    .map(([, other]) => one + " on " + other));
  return [...beyond.map(([, text]) => "beyond: " + text), ...lying];
})"""
SERIOUS = """axe.run().then(found => found.violations.filter(v => v.impact === "serious" || v.impact === "critical")
  .map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 160)).join(" | ")))"""


def send(server: Server, fleet: Fleet, requests: int, seed: int = 3) -> None:
    """Export what a fleet recorded."""
    recording = generate(fleet, requests=requests, seed=seed, start_ns=START * 10**9, duration_ns=1200 * 10**9)
    for signal, encoded in (("traces", bodies(recording)), ("logs", log_bodies(recording))):
        for body in encoded:
            headers = {"Content-Type": "application/x-protobuf"}
            urlopen(Request(f"{server.url}/v1/{signal}", body, headers)).close()  # noqa: S310


def say(server: Server, name: str) -> None:
    """Export one request whose service and operation have this name."""
    span = {
        "traceId": "ab" * 16, "spanId": "cd" * 8, "name": name, "kind": 2,
        "startTimeUnixNano": str((START + 60) * 10**9), "endTimeUnixNano": str((START + 62) * 10**9),
    }  # fmt: skip
    resource = {
        "attributes": [{"key": key, "value": {"stringValue": name}} for key in ("service.name", "service.version")]
    }
    body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}).encode()
    urlopen(Request(f"{server.url}/v1/traces", body, {"Content-Type": "application/json"})).close()  # noqa: S310


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has received a shop with its planted regression, and a request with a hostile name."""
    with Server(tmp_path_factory.mktemp("page") / "live.duckdb", "127.0.0.1:0", "127.0.0.1:0") as running:
        send(running, shop(), 3000)
        say(running, HOSTILE)
        yield running


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has heard of sixty services under twelve flags."""
    fleet = random_fleet(3, services=60, flags=12, entries=8, family=None)
    draw = np.random.default_rng(1)
    inner = [o for o in fleet.operations if o.service != fleet.entries[0].service]
    chosen = [inner[int(draw.integers(len(inner)))] for _ in range(6)]
    plants = tuple(
        Plant(operation.service, operation.name, flags=((flag.key, flag.variants[-1].name),), self_ms=90.0)
        for operation, flag in zip(chosen, fleet.flags, strict=False)
    )
    with Server(tmp_path_factory.mktemp("large") / "live.duckdb", "127.0.0.1:0", "127.0.0.1:0") as running:
        send(running, replace(fleet, plants=plants), 4000)
        yield running


@pytest.fixture(scope="module")
def page(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a browser that all tests here share."""
    with browser(chromium, tmp_path_factory.mktemp("browser")) as running:
        yield running.page()


def shown(page: Page, address: str, *, width: int = 1280, phone: bool = False, scheme: str = "light") -> Page:
    """The page at an address, with all of its parts there."""
    page.complaints.clear()
    page.requests.clear()
    page.media(scheme=scheme)
    page.command("Page.setBypassCSP", enabled=False)
    page.size(width, phone=phone)
    page.open(address)
    page.wait(READY)
    return page


def follow(page: Page, selector: str) -> None:
    """Click what a selector finds, and wait until the next view is there with all of its parts."""
    page.run("window.left = false")
    page.run(f"document.querySelector({json.dumps(selector)}).click()")
    page.wait(f"window.left === undefined && document.readyState === 'complete' && {READY}")


def submit(page: Page, form: str, **values: str) -> None:
    """Fill a form in and send it with its button."""
    for name, value in values.items():
        page.run(f"document.querySelector({json.dumps(f'{form} [name={name}]')}).value = {json.dumps(value)}")
    follow(page, f"{form} button")


def test_a_person_finds_what_went_wrong(page: Page, server: Server) -> None:
    """Overview, filter, cause, request, comparison, what-if: no complaint, and nobody else is asked for anything."""
    shown(page, f"{server.url}/")
    assert "pricing" in page.run("document.querySelector('.verdict').textContent")
    assert page.run("document.querySelectorAll('svg.over-time').length") > 10
    submit(page, ".filters form", entry="POST /checkout")
    assert "entry=POST+%2Fcheckout" in page.run("location.search")
    assert page.run("document.querySelectorAll('.entry').length") == 1
    follow(page, "nav.views a[href^='/causes']")
    assert "entry=POST" in page.run("location.search")
    follow(page, ".cause h2 a")
    page.wait("document.querySelector('.chart.drawn svg')")
    assert page.run("document.querySelectorAll('svg.waterfall').length") >= 2
    follow(page, "dl.traces a")
    assert page.run("document.querySelectorAll('svg.waterfall .on').length") > 3
    follow(page, "nav.views a[href^='/requests']")
    follow(page, "form[action='/compare'] button")
    assert page.run("document.querySelectorAll('svg.waterfall').length") == 2
    follow(page, "nav.views a[href^='/what-if']")
    submit(page, "main form", service="pricing", delay="50ms")
    page.wait("document.querySelector('.chart.drawn svg')")
    assert "would change most" in page.run("document.querySelector('.later').textContent")
    assert page.complaints == []
    assert all(address.startswith((f"{server.url}/", "data:")) for address in page.requests)


def test_the_map_leads_on(page: Page, server: Server) -> None:
    """A service is found by name, tells its numbers and neighbours, and leads to other views; the address keeps it."""
    shown(page, f"{server.url}/map?last=all")
    assert page.run("document.querySelector('.graph').dataset.state") == "drawn"
    assert page.run("document.querySelector('.graph').map.nodes('.service').length") == 19
    assert page.run("getComputedStyle(document.querySelector('.graph .picture')).display") == "none"
    assert page.run("document.querySelector('.graph').map.nodes('.service.hurt').map(n => n.data('label'))") == [
        "pricing"
    ]
    page.run(
        "const find = document.querySelector('.graph .find input'); find.value = 'pricing';"
        "find.dispatchEvent(new Event('input'))"
    )
    told = page.run("document.querySelector('.graph .told').textContent")
    assert "new-pricing=on" in told
    assert "Called by 2" in told
    assert page.run("location.hash") == "#pricing"
    page.run("[...document.querySelectorAll('.told button.plain')].find(b => b.textContent === 'checkout').click()")
    assert page.run("document.querySelector('.told h2').textContent") == "checkout"
    page.run("document.querySelector('.graph').map.edges()[0].emit('tap'); 0")
    assert " calls " in page.run("document.querySelector('.told h2').textContent")
    page.run("document.querySelector('.told .close').click()")
    assert page.run("document.querySelector('.told').children.length") == 0
    assert page.run("location.hash") == ""
    page.run("find.value = 'inven'; find.dispatchEvent(new Event('change'))")
    assert page.run("document.querySelector('.told h2').textContent") == "inventory"
    assert page.run("document.activeElement === document.querySelector('.told h2')")
    assert page.run("document.querySelector('.pick .fixed').hash") == "#inventory"
    page.run("find.value = 'nobody'; find.dispatchEvent(new Event('change'))")
    assert "Nothing on this map is called nobody" in page.run("document.querySelector('.told').textContent")
    shown(page, f"{server.url}/map?last=all#%E0%A4%A")
    assert page.run("document.querySelector('.graph').dataset.state") == "drawn"
    shown(page, f"{server.url}/map?last=all#checkout")
    assert page.run("document.querySelector('.told h2').textContent") == "checkout"
    follow(page, ".told .links a[href^='/what-if']")
    assert page.run("document.querySelector('main form [name=service]').value") == "checkout"
    assert page.complaints == []


def test_an_open_overview_follows_what_goes_on(page: Page, tmp_path: Path) -> None:
    """Asked again it counts what came in since, without a load; one of a fixed time stays as it is."""
    with Server(tmp_path / "live.duckdb", "127.0.0.1:0", "127.0.0.1:0") as running:
        shown(page, f"{running.url}/?last=all")
        assert page.run("Number(document.getElementById('main').dataset.renewed)") == 3
        send(running, shop(), 200)
        page.wait("document.querySelector('.tiles dd')")  # by itself
        page.wait(READY)
        page.run("window.loaded = true")
        assert page.run("document.querySelector('.tiles dd').textContent") == "200"
        assert page.run("Number(document.getElementById('main').dataset.renewed)") == 30
        send(running, shop(), 300, seed=4)
        page.run("document.querySelector('.entry h3 a').focus()")
        page.run("renew()")  # not while somebody is amid something
        assert page.run("document.querySelector('.tiles dd').textContent") == "200"
        page.run("document.activeElement.blur()")
        page.run("renew()")
        page.wait("document.querySelector('.tiles dd').textContent === '500'")
        page.wait(READY)
        assert page.run("document.querySelector('.verdict') !== null && window.loaded")
        assert page.complaints == []
        shown(page, f"{running.url}/?since=2027-01-15T08:00:00Z")
        assert page.run("document.getElementById('main').dataset.renewed === undefined")
        shown(page, f"{running.url}/?last=all")
    page.run("renew()")
    assert "has not answered since" in page.run("document.querySelector('.unreached').textContent")


def test_a_view_that_was_left_is_whole_again(page: Page, server: Server) -> None:
    """Whoever leaves before the answer came, or after, finds it when they come back."""
    shown(page, f"{server.url}/what-if")
    page.run(
        "for (const [name, value] of [['service', 'pricing'], ['delay', '50ms']])"
        " document.querySelector(`main form [name=${name}]`).value = value;"
        "document.querySelector('main form button').click()"
    )
    page.wait("location.search.includes('pricing') && document.readyState === 'complete'")
    page.run("document.querySelector(\"nav.views a[href^='/requests']\").click()")
    page.wait("location.pathname === '/requests' && document.readyState === 'complete'")
    page.run("history.back()")
    page.wait("location.pathname === '/what-if' && document.readyState === 'complete'")
    page.wait("document.querySelector('.chart.drawn svg')")
    assert "would change most" in page.run("document.querySelector('.later').textContent")
    assert page.complaints == []


def test_a_map_that_cannot_be_laid_out_is_a_picture(page: Page, server: Server) -> None:
    """Where a browser starts no worker, the drawing of the server is shown, and the tables say the same."""
    page.command("Page.enable")
    added = page.command("Page.addScriptToEvaluateOnNewDocument", source="delete window.Worker")["identifier"]
    try:
        shown(page, f"{server.url}/map")
    finally:
        page.command("Page.removeScriptToEvaluateOnNewDocument", identifier=added)
    assert page.run("document.querySelector('.graph').dataset.state") == "failed"
    assert page.run("document.querySelector('.graph .picture svg').getBoundingClientRect().width") > 300
    assert ["could not be drawn" in each for each in page.complaints] == [True]


def test_a_name_that_is_a_script_stays_text(page: Page, server: Server) -> None:
    """Wherever a span's name is shown, it is shown and does not run."""
    for path in ("/", "/requests", f"/requests/{'ab' * 16}", "/map", f"/compare?a={'ab' * 16}&b={'ab' * 16}"):
        shown(page, f"{server.url}{path}")
        assert page.run("document.body.textContent.includes('<script>document.title')"), path
        assert "taken" not in page.run("document.title")
        assert page.run("document.querySelectorAll('main script:not([type]), img').length") == 0, path
        assert page.complaints == [], path


def test_an_error_stands_where_the_answer_would(page: Page, server: Server) -> None:
    """A form that names an unknown service keeps what was typed, and says which is nearest."""
    shown(page, f"{server.url}/what-if?service=pricin&delay=5ms")
    assert "pricing" in page.run("document.querySelector('.later [role=alert]').textContent")
    assert page.run("document.querySelector('main form [name=service]').value") == "pricin"


def test_the_keyboard_reaches_everything(page: Page, server: Server) -> None:
    """The first stop leads past the navigation; the tab key then comes by every link, field and button in view."""
    shown(page, f"{server.url}/requests")
    seen = set()
    for _ in range(60):
        for kind in ("keyDown", "keyUp"):
            page.command("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        seen.add(
            page.run(
                "document.activeElement.className || document.activeElement.name || document.activeElement.tagName"
            )
        )
    assert {"skip", "brand", "entry", "flag", "value", "a", "b", "scroll"} <= seen


@pytest.mark.parametrize(("width", "phone"), [(1280, False), (390, True)])
@pytest.mark.parametrize(
    "path", ["/", "/causes", "/causes/1", "/map", "/requests", "/compare?flag=flag-0", "/plan", "/history"]
)
def test_sixty_services_fit(page: Page, large: Server, path: str, width: int, phone: bool) -> None:
    """Nothing overlaps and nothing has to be scrolled sideways but drawings and tables in their own boxes."""
    flag = "" if "flag" not in path else page_flag(large)
    shown(page, f"{large.url}{path.replace('flag-0', flag)}", width=width, phone=phone)
    assert page.run("document.scrollingElement.scrollWidth") <= width
    assert page.run(CROWDED) == []
    assert page.run(SPILLED) == []
    assert page.run(TIGHT) == []
    assert page.complaints == []


def page_flag(server: Server) -> str:
    """The first flag that a server knows."""
    with urlopen(f"{server.url}/api/query/flags?format=json") as answer:  # noqa: S310
        rows = json.load(answer)
    return str((rows["rows"] if isinstance(rows, dict) else rows)[0]["flag_key"])


@pytest.mark.node
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_anybody(
    page: Page, server: Server, node_modules: Path, scheme: str
) -> None:
    """Axe finds no serious or critical fault in any view."""
    axe = (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    for path in (
        "/", "/causes", "/causes/1", "/map", "/requests", f"/requests/{'ab' * 16}", "/compare?flag=new-pricing",
        "/what-if?service=pricing&delay=50ms", "/blast-radius?service=pricing", "/plan", "/history", "/?flag=nope",
    ):  # fmt: skip
        shown(page, f"{server.url}{path}", scheme=scheme)
        # Axe itself is no script of the page's policy.
        page.command("Page.setBypassCSP", enabled=True)
        page.open(f"{server.url}{path}")
        page.wait(READY)
        page.run(f"{axe};0")
        assert page.run(SERIOUS) == [], path
