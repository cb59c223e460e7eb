"""HTML reports and the server's page."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from types import ModuleType

import altair as alt
import pytest

from traceguard.report import Analysis, Forecast, Radius, render, report_page
from traceguard.report.against import read_older, with_against
from traceguard.report.cards import cause_cards, regression_cards
from traceguard.report.charts import distribution
from traceguard.report.scripts import content_security_policy
from traceguard.settings import Settings

HOSTILE = "</script><script>alert(1)</script><img src=http://e.example/x onerror=alert(1)>\"' --> <!-- {{ 7*7 }}"
CARRIES_SCRIPTS = {"report", "pictured", "forecast"}


class Page(HTMLParser):
    """What a page holds: its elements with attributes, its scripts, and the text outside of scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside: str | None = None
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        self.text += " "
        if tag in {"script", "style"}:
            self._inside = tag
            if tag == "script":
                self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        """Leave a script or style."""
        self.text += " "
        self._inside = None if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        """Keep text where it belongs."""
        if self._inside == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif self._inside is None:
            self.text += data


def hostile(documents: ModuleType) -> Analysis:
    """A report in which every text that can come from spans is hostile."""
    factor = documents.flag(HOSTILE, HOSTILE, HOSTILE)
    entry = documents.entry(HOSTILE, HOSTILE, HOSTILE)
    cause = documents.cause(
        factors=[factor], service=HOSTILE, operation=HOSTILE, summary=HOSTILE, inseparable_from=[[factor]],
        exemplars=documents.model.Exemplars(affected=[HOSTILE], reference=[HOSTILE]),
        entries=[documents.cause().entries[0].model_copy(update={"entry": entry})], over_time=documents.over_time(),
        accepted=documents.model.Accepted(until=HOSTILE, reason=HOSTILE),
    )  # fmt: skip
    part = documents.model.Part(service=HOSTILE, operation=HOSTILE, locus="self", delta_ms=1.0)
    regression = documents.regression(entry=entry, factors=[factor], parts=[part], distribution=documents.histogram())
    warning = documents.model.Warning(code=HOSTILE, message=HOSTILE)
    graph = documents.graph()
    graph.add_node(HOSTILE, spans=1, errors=1, type=HOSTILE)
    graph.add_edge("frontend", HOSTILE, kinds={"sync": {"kind": "sync", "calls": 1, "errors": 0}})
    asked = documents.model.Asked(flag=HOSTILE, where=[HOSTILE])
    report = documents.report(
        causes=[cause], regressions=[regression], improvements=[cause], warnings=[warning], asked=asked
    )
    report = with_against(
        report, read_older(documents.report(causes=[cause.model_copy(update={"service": HOSTILE * 2})]))
    )
    settings = Settings(trace_links={HOSTILE: "https://t.example/{trace_id}"}, owners={HOSTILE: HOSTILE})
    return Analysis(report, graph, settings, documents.pictures(HOSTILE))


@pytest.fixture
def pages(documents: ModuleType) -> dict[str, str]:
    """Every page that the package can make."""
    return {
        "report": render(Analysis(documents.report(), documents.graph()), "html"),
        "pictured": render(Analysis(documents.report(), documents.graph(), pictures=documents.pictures()), "html"),
        "quiet": render(Analysis(documents.quiet_report()), "html"),
        "graph": render(documents.graph(), "html"),
        "radius": render(Radius(documents.radius()), "html"),
        "forecast": render(Forecast(documents.what_if()), "html"),
    }  # fmt: skip


def test_no_page_loads_anything(pages: dict[str, str]) -> None:
    """No source, no stylesheet, no import: the file is complete."""
    for name, source in pages.items():
        page = Page(source)
        assert not [e for e in page.elements if e[0] in {"link", "iframe", "object", "embed", "base"}], name
        assert not [a for _, a in page.elements if "src" in a or "srcset" in a or "xlink:href" in a], name
        style = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
        assert not re.search(r"url\(|@import", "".join(style)), name


def test_pages_are_small(pages: dict[str, str]) -> None:
    """A report stays under three megabytes, one without charts under fifty kilobytes."""
    assert len(pages["report"].encode()) < 3_000_000
    assert len(pages["quiet"].encode()) < 50_000


def test_a_page_that_would_be_too_large_leaves_pictures_out(
    documents: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last causes' pictures go first, and the page says how many."""
    causes = [documents.cause(rank=rank) for rank in (1, 2, 3, 4)]
    first = documents.pictures().causes[0]
    pictures = documents.pictures().model_copy(
        update={"causes": [first.model_copy(update={"rank": rank}) for rank in (1, 2, 3, 4)]}
    )
    result = Analysis(documents.report(causes=causes), documents.graph(), pictures=pictures)
    whole = render(result, "html")
    assert "are left out to keep this file small" not in whole
    monkeypatch.setattr(report_page, "LIMIT", len(whole.encode()) - 1)
    less = render(result, "html")
    assert len(less.encode()) < len(whole.encode())
    assert "are left out to keep this file small" in less
    assert 0 < less.count('class="drawing flame"') < whole.count('class="drawing flame"')


def test_only_our_scripts_may_run(pages: dict[str, str]) -> None:
    """The policy names each script by its hash and allows no evaluation; pages without charts run none."""
    for name, source in pages.items():
        policy = content_security_policy(source)
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
        running = [text for attributes, text in Page(source).scripts if attributes.get("type") != "application/json"]
        assert bool(running) == (name in CARRIES_SCRIPTS), name
        for text in running:
            digest = hashlib.sha256(text.encode()).digest()
            assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_hostile_names_stay_text(documents: ModuleType) -> None:
    """No element, attribute, script or template expression comes from a span."""
    result = hostile(documents)
    calm = Page(render(Analysis(documents.report()), "html"))
    for source in (
        render(result, "html"), render(result.graph, "html"), result._repr_html_(),
    ):  # fmt: skip
        page = Page(source)
        assert not [e for e in page.elements if e[0] == "img"]
        assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
        running = {text for attributes, text in page.scripts if attributes.get("type") != "application/json"}
        assert running <= {text for _, text in calm.scripts}
        assert "<script>alert(1)</script>" in page.text


def test_the_document_travels_in_the_page(documents: ModuleType) -> None:
    """The report's JSON can be read out of its page, hostile names included."""
    result = hostile(documents)
    blocks = {a.get("id"): text for a, text in Page(render(result, "html")).scripts}
    assert json.loads(blocks["traceguard-report"]) == result.to_dict()


def test_the_page_says_what_the_report_says(documents: ModuleType) -> None:
    """Verdict, causes, intervals, warnings and the way to repeat it stand in the text."""
    text = " ".join(Page(render(Analysis(documents.report(), documents.graph()), "html")).text.split())
    for part in (
        "POST /checkout of frontend got 92.3 ms slower",
        "pricing ComputeQuote its own time, under flag new-pricing=on vs off",
        "a request, 95%: +78 to +90.4 ms", "1,512 (12.1%)", "The data cannot tell this apart from fast-retry=true.",
        "together +92.3 ms of mean latency", "2.1% of requests miss spans", "collinear_factors",
        "traceguard report --db STORE --since 2026-11-23T12:00:00Z --until 2026-11-23T13:00:00Z --alpha 0.05",
    ):  # fmt: skip
        assert part in text


def test_the_page_tells_how_to_ask_the_same_again(documents: ModuleType) -> None:
    """Every option that was given stands in the command, quoted for a shell, and in the table of parameters."""
    asked = documents.model.Asked(flag="new pricing", where=["tenant.id=t42"], ignore_watermark=True)
    text = " ".join(Page(render(Analysis(documents.report(asked=asked)), "html")).text.split())
    assert "--flag 'new pricing' --where tenant.id=t42 --ignore-watermark --alpha 0.05" in text
    assert "Where tenant.id=t42" in text


def test_a_cause_shows_all_its_pictures(documents: ModuleType) -> None:
    """Drawings of both sides, what to do, links with span and time, owner, and that it is accepted."""
    settings = Settings(
        trace_links={"jaeger": "https://j.example/{trace_id}?s={span_id}&t={start_ms}"},
        owners={"pricing": "team-money"},
    )
    cause = documents.cause(
        over_time=documents.over_time(), accepted=documents.model.Accepted(until="2027-01-31", reason="OPS-12")
    )
    result = Analysis(documents.report(causes=[cause]), documents.graph(), settings, documents.pictures())
    source = render(result, "html")
    for kind, least in (("flame", 2), ("waterfall", 3), ("slices", 1)):
        assert source.count(f'class="drawing {kind}"') == least, kind
    page = Page(source)
    text = " ".join(page.text.split())
    for words in (
        "Accepted until 2027-01-31: OPS-12", "Owner team-money", "What to do next Set new-pricing back to off.",
        "Whom it hits 1,512 requests", "+84 ms; the whole request +84 ms", "4 smaller spans left out",
    ):  # fmt: skip
        assert words in text
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert "https://j.example/4bf92f3577b34da6a3ce929d0e0e4736?s=00f067aa0ba902b7&t=1795435200000" in links
    bare = Page(render(Analysis(result.document, result.graph, pictures=documents.pictures()), "html"))
    assert not [a["href"] for tag, a in bare.elements if tag == "a" and str(a["href"]).startswith("http")]


def test_traces_owners_and_runbooks_are_links_only_to_the_web(documents: ModuleType) -> None:
    """A configured template makes trace ids links; any other scheme is left out."""
    web = Settings(
        trace_url="https://traces.example/t/{trace_id}",
        owners={"pricing": "team-money"},
        runbooks={"pricing": "https://w.example/p"},
    )
    source = render(Analysis(documents.report(), settings=web), "html")
    links = [a["href"] for tag, a in Page(source).elements if tag == "a"]
    assert "https://traces.example/t/5b8efff798038103d269b633813fc60c" in links
    assert "https://w.example/p" in links
    assert "team-money" in source
    script = Settings(trace_url="javascript:alert('{trace_id}')", runbooks={"pricing": "javascript:alert(1)"})
    source = render(Analysis(documents.report(), settings=script), "html")
    assert "javascript:" not in source


def test_cards_share_a_scale_and_hold_numbers(documents: ModuleType) -> None:
    """Intervals of one unit are drawn on one track, from zero."""
    report = documents.report(
        causes=[
            documents.cause(),
            documents.cause(rank=2, effect=documents.model.Effect(estimate=45.2, low=42.0, high=48.0, unit="ms")),
        ]
    )
    first, second = cause_cards(report.causes, report, Settings())
    assert first.bar.zero == second.bar.zero == 0
    assert first.bar.mark == pytest.approx(931.4)
    assert second.bar.mark == pytest.approx(500.0)
    assert first.share_bar == 910


def test_parts_add_up_to_what_is_shown(documents: ModuleType) -> None:
    """Small parts are one row, so that the rows sum to the total."""
    parts = [documents.model.Part(service=f"s{n}", operation="o", locus="self", delta_ms=float(n)) for n in range(12)]
    card = regression_cards(documents.report(regressions=[documents.regression(parts=parts)]))[0]
    assert card.change is not None
    assert len(card.change.rows) == 9
    assert card.change.rows[-1].name == "4 smaller parts"
    assert card.change.rows[-1].value == "+6 ms"
    assert card.change.total == "+66 ms of mean latency"


def test_a_distribution_is_a_valid_chart_without_sources(documents: ModuleType) -> None:
    """Altair accepts the specification, data is inline, colours come from the page."""
    spec = distribution(documents.histogram(bins=200), (96.0, 188.0))
    assert alt.Chart.from_dict(spec) is not None
    assert '"url"' not in json.dumps(spec)
    values = (
        next(v for v in spec["datasets"].values() if len(v) > 2)
        if "datasets" in spec
        else spec["layer"][0]["data"]["values"]
    )
    assert sum(row["share"] for row in values if row["side"] == "seen with it") == pytest.approx(1.0, abs=0.05)
    assert len(values) < 2 * 60


def test_vendored_scripts_are_what_their_table_says() -> None:
    """Each script has the checksum in the table, and Vega-Lite is the version that Altair writes for."""
    folder = files("traceguard.report") / "vendor"
    table = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (\S+\.js) \| (\S+) \| (\S+) \| \S+ \| ([0-9a-f]{64}) \|", table)
    assert len(rows) == 6
    for name, _, _, checksum in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    versions = {package: version for _, package, version, _ in rows}
    assert f"v{versions['vega-lite']}" == alt.SCHEMA_VERSION
    assert "vega-lite" in (folder / "LICENSES.txt").read_text(encoding="utf-8")
    for package in ("cytoscape", "elkjs"):
        assert f"{package} {versions[package]}" in (folder / "LICENSES-map.txt").read_text(encoding="utf-8")


def test_a_page_that_is_not_ours_has_no_policy() -> None:
    """The server never sends a page without one."""
    with pytest.raises(ValueError, match="no Content-Security-Policy"):
        content_security_policy("<html></html>")


def test_notebooks_get_a_piece_without_scripts(documents: ModuleType) -> None:
    """Every wrapper shows itself, without a script, and with its rows."""
    for result, words in (
        (Analysis(documents.report()), "pricing ComputeQuote"),
        (Radius(documents.radius()), "Entry points it can hurt"),
        (Forecast(documents.what_if()), "+46 ms"),
    ):  # fmt: skip
        shown = result._repr_html_()
        assert words in shown
        assert "<script" not in shown
