"""The live page over plain HTTP: every view, its policy, links that keep filters, errors told in place."""

import gzip
import http.client
import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from traceguard import query
from traceguard.server import Server
from traceguard.server.page.filters import Filters
from traceguard.settings import Settings
from traceguard.simulate import generate, shop
from traceguard.simulate.wire import bodies
from traceguard.store import open_store, verdicts
from traceguard.store.verdicts import Verdict

START = 1_800_000_000
VIEWS = ("/", "/causes", "/map", "/requests", "/compare", "/blast-radius", "/what-if", "/plan", "/history")

Answer = tuple[int, http.client.HTTPMessage, str]


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))


def get(server: Server, target: str, **params: str) -> Answer:
    """GET a page."""
    connection = http.client.HTTPConnection(server.http_address, timeout=120)
    connection.request("GET", f"{target}?{urlencode(params)}" if params else target, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, content


def send(server: Server, requests: int = 1500) -> None:
    """Export a shop with its planted regression."""
    recording = generate(shop(), requests=requests, seed=3, start_ns=START * 10**9, duration_ns=600 * 10**9)
    for body in bodies(recording):
        connection = http.client.HTTPConnection(server.http_address, timeout=120)
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        assert connection.getresponse().status == 200
        connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has received the shop."""
    with Server(tmp_path_factory.mktemp("page") / "live.duckdb", "127.0.0.1:0", "127.0.0.1:0") as running:
        send(running)
        yield running


@pytest.fixture(scope="module")
def trace_ids(server: Server) -> list[str]:
    """Traces of the list of requests, the slowest first."""
    return list(dict.fromkeys(re.findall(r'href="/requests/([0-9a-f]{32})"', get(server, "/requests")[2])))


@pytest.mark.parametrize("path", VIEWS)
def test_every_view_has_an_address_and_a_strict_policy(server: Server, path: str) -> None:
    """Only scripts of the server itself may run, no handler stands in an attribute, and one link is the current one."""
    status, headers, source = get(server, path)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    directives = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert (directives["default-src"], directives["script-src"]) == ("'none'", "'self'")
    elements = Elements(source).found
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    for tag, attributes in elements:
        address = attributes.get("src") or (attributes.get("href") if tag == "link" else None) or ""
        assert address.startswith(("/static/", "data:,")) or not address
    current = [a["href"] for tag, a in elements if tag == "a" and a.get("aria-current") == "page"]
    assert current == [path]


def test_the_files_of_the_page_may_be_kept(server: Server) -> None:
    """Each file that a view names is served, with a type of its own; other names are not."""
    source = get(server, "/")[2]
    for address in re.findall(r'"(/static/[^"]+)"', source):
        status, headers, content = get(server, address)
        assert (status, bool(content), "max-age" in headers["Cache-Control"]) == (200, True, True)
    assert get(server, "/static/../pyproject.toml")[0] == 404
    assert get(server, "/static/other.js")[0] == 404


def test_the_overview_counts_requests_by_entry_point(server: Server) -> None:
    """Traffic, errors and latency are drawn with units, and flags with what they were exposed to."""
    source = get(server, "/")[2]
    assert "1,500" in re.sub(r"<[^>]*>", "", source)
    for words in ("POST /checkout", "new-pricing", "requests a minute", "median"):
        assert words in source


def test_links_keep_the_time_and_the_filters(server: Server) -> None:
    """Whoever gets a link sees the same requests; the form carries what it does not show."""
    chosen = {"since": "2027-01-15T08:00:00Z", "until": "2027-01-15T08:05:00Z", "flag": "new-pricing"}
    source = get(server, "/requests", **chosen, order="failed")[2]
    elements = Elements(source).found
    for path in ("/", "/causes", "/map", "/compare"):
        link = next(a["href"] for tag, a in elements if tag == "a" and urlsplit(str(a["href"])).path == path)
        kept = {name: values[0] for name, values in parse_qs(urlsplit(str(link)).query).items()}
        # The map shows all services, whatever else is narrowed down to one.
        assert kept == (chosen if path != "/map" else {name: chosen[name] for name in ("since", "until")})
    hidden = {a["name"]: a["value"] for tag, a in elements if tag == "input" and a.get("type") == "hidden"}
    assert hidden["order"] == "failed"


def test_a_filter_leaves_other_requests_out(server: Server) -> None:
    """An entry point, a service that took part, and a flag's variant each narrow the overview down."""

    def requests(**filters: str) -> int:
        text = re.sub(r"<[^>]*>", " ", get(server, "/", **filters)[2])
        found = re.search(r"Requests\s+([\d,]+)\s", text)
        assert found is not None
        return int(found[1].replace(",", ""))

    everything = requests()
    for filters in ({"entry": "POST /checkout"}, {"service": "payment"}, {"flag": "new-pricing=on"}):
        assert 0 < requests(**filters) < everything, filters
    assert requests(last="all") == everything
    assert requests(until="2027-01-15T08:05:00Z") + requests(since="2027-01-15T08:05:00Z") == everything


def test_an_id_is_found_whenever_it_was(server: Server, trace_ids: list[str]) -> None:
    """A trace id, like a user's or a session's, is looked for in the whole store unless a time was chosen."""
    for more, there in (({}, True), ({"since": "2027-01-15T08:09:59Z"}, False)):
        source = get(server, "/requests", value=trace_ids[0].upper(), **more)[2]
        assert (f'href="/requests/{trace_ids[0]}' in source) == there


def test_a_request_is_shown_with_its_critical_path(server: Server, trace_ids: list[str]) -> None:
    """The waterfall and the table of what it waited for, which adds up to no more than its duration."""
    status, _, source = get(server, f"/requests/{trace_ids[0]}")
    assert status == 200
    assert 'class="drawing waterfall"' in source
    shares = [float(share) for share in re.findall(r'<td class="num">([\d.]+)%</td>', source.split("</section>")[0])]
    assert shares
    assert sum(shares[:12]) <= 100.5


def test_two_requests_stand_side_by_side(server: Server, trace_ids: list[str]) -> None:
    """Both are drawn on one scale, and the table says where their time differs."""
    source = get(server, "/compare", a=trace_ids[0], b=trace_ids[-1])[2]
    assert source.count('class="drawing waterfall"') == 2
    assert "B − A" in source


def test_two_variants_are_compared_where_most_requests_are(server: Server) -> None:
    """The call paths of both sides; a variant or an entry point can be named."""
    source = get(server, "/compare", flag="new-pricing")[2]
    assert source.count('class="drawing flame"') == 2
    assert "on against off" in source
    turned = get(server, "/compare", flag="new-pricing", entry="POST /checkout", **{"from": "on", "to": "off"})[2]
    assert "POST /checkout of frontend: off against on" in turned


def test_two_versions_are_compared_the_first_against_the_next(server: Server) -> None:
    """A service that was released meanwhile shows both sides; one that was not says so."""
    source = get(server, "/compare", service="catalog")[2]
    assert source.count('class="drawing flame"') == 2
    title = re.search(r"<h2>([^<]+ of frontend: [^<]+ against [^<]+)</h2>", source)
    assert title is not None
    first, second = title[1].partition(": ")[2].split(" against ")[::-1]
    turned = get(server, "/compare", service="catalog", **{"from": second, "to": first})[2]
    assert f"{first} against {second}" in turned
    assert "no two versions" in get(server, "/compare", service="pricing")[2]


def test_the_causes_come_with_the_page_where_one_waits(server: Server) -> None:
    """Without scripts a link waits for the report; a cause then has a view of its own, with its pictures."""
    assert "pricing" in get(server, "/causes", wait="1")[2].partition("<main")[2]
    source = get(server, "/causes/1", wait="1")[2]
    for drawing in ("waterfall", "flame", "map"):
        assert f"drawing {drawing}" in source or f'class="{drawing}"' in source, drawing
    assert "/compare?a=" in source
    status, _, source = get(server, "/causes/99", wait="1")
    assert (status, "has no cause 99" in source) == (400, True)


@pytest.mark.parametrize(
    ("path", "params", "words"),
    [
        ("blast-radius", {"service": "pricing"}, "If pricing goes wrong"),
        ("what-if", {"service": "pricing", "delay": "50ms", "slo": "p99<1s"}, "p99&lt;1s"),
        ("what-if", {"flag": "new-pricing", "exposure": "90%"}, "What if"),
        ("plan", {"service": "pricing", "delay": "20ms"}, "Rollout plan"),
    ],
)
def test_forms_are_answered_below_themselves(server: Server, path: str, params: dict[str, str], words: str) -> None:
    """The part that the script fetches is what stands in the page for those who wait."""
    status, headers, part = get(server, f"/part/{path}", **params)
    assert (status, words in part, "<html" in part) == (200, True, False)
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert words in get(server, f"/{path}", **params, wait="1")[2]


@pytest.mark.parametrize(
    ("target", "params", "status", "words"),
    [
        ("/", {"flag": "new-pricin"}, 404, "new-pricing"),
        ("/", {"colour": "red"}, 400, "no parameter"),
        ("/", {"since": "yesterdayish"}, 400, "yesterdayish"),
        ("/", {"since": "2027-01-15T09:00:00Z", "until": "2027-01-15T08:00:00Z"}, 400, "The window is empty"),
        ("/", {"last": "long"}, 400, "long"),
        ("/requests", {"order": "random"}, 400, "no order"),
        ("/", {"flag": "new-pricing=om"}, 404, "variant of new-pricing"),
        ("/requests/ffff", {}, 404, "no trace"),
        ("/compare", {"a": "ffff", "b": "eeee"}, 404, "no trace"),
        ("/compare", {"flag": "new-pricing", "to": "om"}, 404, "did you mean"),
        ("/part/what-if", {"service": "pricin", "delay": "1ms"}, 404, "pricing"),
        ("/part/what-if", {"service": "pricing", "slo": "/etc/passwd"}, 400, "/etc/passwd"),
    ],
)
def test_an_error_is_one_sentence_in_place(
    server: Server, target: str, params: dict[str, str], status: int, words: str
) -> None:
    """The page stays a page: the sentence stands where the answer would."""
    found, headers, source = get(server, target, **params)
    assert (found, headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert 'role="alert"' in source
    assert words in source


def test_a_refused_filter_can_be_mended_and_left(server: Server) -> None:
    """It stands in its field as it was given, and no link leads back to it; the stretch of time stays, if it is one."""
    source = get(server, "/causes", service="pricin", last="all")[2]
    elements = Elements(source).found
    assert [a["value"] for tag, a in elements if tag == "input" and a.get("name") == "service"] == ["pricin"]
    links = [str(a["href"]) for tag, a in elements if tag == "a" and str(a.get("href")).startswith("/")]
    assert not [link for link in links if "pricin" in link]
    assert "/requests?last=all" in links
    source = get(server, "/", since="yesterdayish")[2]
    assert "/requests" in [a.get("href") for tag, a in Elements(source).found if tag == "a"]


def test_an_address_without_a_view_is_told_to_people_as_a_page(server: Server) -> None:
    """It leads back; a program gets its sentence as before."""
    status, headers, source = get(server, "/nothing")
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at /nothing" in source
    assert 'href="/causes"' in source


def test_scripts_are_sent_packed_to_those_who_can_unpack(server: Server) -> None:
    """The layout engine has over a megabyte; the text is the same."""
    address = re.search(r'data-worker="([^"]+)"', get(server, "/map")[2])
    assert address is not None
    answers = []
    for encoding in ("identity", "gzip, br"):
        connection = http.client.HTTPConnection(server.http_address, timeout=120)
        connection.request("GET", address[1], headers={"Accept-Encoding": encoding})
        answer = connection.getresponse()
        answers.append((answer.headers["Content-Encoding"], answer.read()))
        connection.close()
    (plain, text), (coding, packed) = answers
    assert (plain, coding) == (None, "gzip")
    assert len(packed) < len(text) / 3
    assert gzip.decompress(packed) == text


def test_a_service_that_just_came_is_known_at_once(tmp_path: Path) -> None:
    """Names are read every ten seconds, but no filter is refused for that."""
    with Server(tmp_path / "live.duckdb", "127.0.0.1:0", "127.0.0.1:0") as running:
        for service in ("first", "second"):
            span = {
                "traceId": "ab" * 16, "spanId": "cd" * 8, "name": "GET /", "kind": 2,
                "startTimeUnixNano": f"{START}000000000", "endTimeUnixNano": f"{START}000000001",
            }  # fmt: skip
            resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
            body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})
            connection = http.client.HTTPConnection(running.http_address, timeout=120)
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200
            connection.close()
            assert get(running, "/", service=service)[0] == 200
        assert get(running, "/", service="third")[0] == 404


def test_hostile_filters_stay_text(server: Server) -> None:
    """What stands in an address never becomes an element."""
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    for target, name in (("/", "entry"), ("/requests", "value"), ("/what-if", "delay"), ("/compare", "a")):
        elements = Elements(get(server, target, **{name: hostile})[2]).found
        assert not [tag for tag, _ in elements if tag == "img"]
        assert [a.get("src") for tag, a in elements if tag == "script"] == [
            a["src"] for tag, a in elements if tag == "script" and str(a.get("src")).startswith("/static/live.js")
        ]


def test_a_verdict_stands_in_the_history(server: Server) -> None:
    """A report for the API leads to its page; one that says the same again is the same row."""
    get(server, "/api/report", flag="new-pricing", format="json")
    source = get(server, "/history")[2]
    assert "/api/report?flag=new-pricing&amp;format=html" in source
    assert get(server, "/api/report", flag="new-pricing", format="html")[0] == 200
    get(server, "/api/report", flag="new-pricing", format="json")
    again = get(server, "/history")[2]
    assert source.count("<li class=") + 1 == again.count("<li class="), "another format is another address"
    assert "said 2 times" in again
    assert "Regression" in source


def test_the_history_leads_to_the_same_requests(server: Server) -> None:
    """A verdict of the page links to the view over the requests that were judged then."""
    get(server, "/part/verdict", service="pricing")
    links = [str(a.get("href")) for tag, a in Elements(get(server, "/history")[2]).found if tag == "a"]
    link = next(link for link in links if link.startswith("/causes?since=") and link.endswith("service=pricing"))
    asked = {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}
    assert asked.keys() == {"service", "since", "until"}
    assert "1,500" in re.sub(r"<[^>]*>", "", get(server, "/", since=asked["since"], until=asked["until"])[2])


def test_verdicts_outlive_the_server(tmp_path: Path) -> None:
    """The next server over the same store shows them, the query lists them, and one that says the same goes on."""
    for times in (1, 2):
        with Server(tmp_path / "live.duckdb", "127.0.0.1:0", "127.0.0.1:0") as running:
            if times == 1:
                assert "--judge-every 10m" in get(running, "/history")[2]
                send(running)
            get(running, "/part/verdict")
            assert "pricing ComputeQuote" in get(running, "/history")[2]
            (row,) = json.loads(get(running, "/api/query/verdicts")[2])
            assert (row["times"], row["verdict"], row["asked_by"]) == (times, "regression", "page")
    assert query(tmp_path / "live.duckdb", "verdicts", limit=1)["cause"].to_list() == ["pricing ComputeQuote"]


def test_a_server_judges_while_nobody_looks(tmp_path: Path) -> None:
    """With an interval the history fills by itself, a gauge tells the verdict, and the first visitor finds it."""
    settings = Settings(judge_every="1s")
    with Server(tmp_path / "live.duckdb", "127.0.0.1:0", "127.0.0.1:0", settings) as running:
        assert "by itself once spans have come in" in get(running, "/history")[2]
        send(running)
        until = time.monotonic() + 120
        while 'traceguard_verdict{verdict="regression"} 1' not in get(running, "/metrics")[2]:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert "the schedule" in get(running, "/history")[2]
        assert "pricing" in get(running, "/")[2].partition("<main")[2].partition("headline")[2][:400]


def test_only_the_latest_verdicts_are_listed(tmp_path: Path) -> None:
    """Beyond two hundred a note says that there are more."""
    path = tmp_path / "live.duckdb"
    with open_store(path, mode="write") as store:
        for n in range(201):
            said = Verdict("api", f"/api/report?flag=f{n}", "no_data", f"Nothing {n}.", "", None, None, 0.05)
            verdicts.say(store, said, (START + n) * 10**9, patience=5)
    with Server(path, "127.0.0.1:0", "127.0.0.1:0") as running:
        source = get(running, "/history")[2]
    assert source.count("<li class=") == 200
    assert "The latest 200" in source
    assert "Nothing 0." not in source


def test_an_empty_store_tells_where_to_send_spans(tmp_path: Path) -> None:
    """Every view answers before the first span is there."""
    with Server(tmp_path / "empty.duckdb", "127.0.0.1:0", "127.0.0.1:0") as running:
        assert f"OTEL_EXPORTER_OTLP_ENDPOINT={running.url}" in get(running, "/")[2]
        for path in VIEWS:
            assert get(running, path)[0] == 200
        status, _, part = get(running, "/part/what-if", service="x", delay="1ms")
        assert (status, "no span yet" in part) == (400, True)
        assert get(running, "/part/verdict")[0] == 200


def test_a_stretch_of_time_counts_back_from_the_newest_span() -> None:
    """A recording of last year shows itself, and a link with its times spelled out shows the same."""
    hour = 3600 * 10**9
    first, last = START * 10**9, START * 10**9 + 24 * hour
    chosen = Filters(last="1h").stretch(first, last)
    assert last - hour - 61 * 10**9 < chosen.since <= last - hour
    assert (chosen.until, chosen.open_end, chosen.whole) == (last + 1, True, False)
    fixed = Filters(last="1h").fixed(chosen).stretch(first, last + hour)
    assert (fixed.since, fixed.until) == (chosen.since, chosen.until)
    assert Filters(last="all").stretch(first, last).asked == {"since": None, "until": None}
