"""Results as a pull request's comment."""

import re
from types import ModuleType

import networkx as nx
from markdown_it import MarkdownIt

from traceguard.report import Analysis, Forecast, Radius, render
from traceguard.report.markdown import LIMIT, code, prose

HOSTILE = "a|b`c<img src=x>@team #12 [x](http://e.example) *bold*\n# big"


def test_a_comment_can_be_found_again_and_leads_with_the_verdict(documents: ModuleType) -> None:
    """The first line marks the comment, the heading is the verdict."""
    lines = render(Analysis(documents.report()), "md").split("\n")
    assert lines[0] == "<!-- traceguard:report -->"
    assert lines[2] == "## :red_circle: Regression"
    assert lines[4].startswith("**POST /checkout of frontend got 92.3 ms slower")


def test_a_comment_has_causes_tables_and_warnings(documents: ModuleType) -> None:
    """Causes stand open, tables fold away."""
    text = render(Analysis(documents.report()), "md")
    assert "1. `pricing ComputeQuote`, its own time, under `new-pricing=on`: **+84.2 ms** a request" in text
    assert "| `POST /checkout of frontend` | `payment 1.8.0` | error rate | 0.6% | 4.5% | +3.9 pp |" in text
    assert text.count("<details") == text.count("</details>") == 2
    assert "(`collinear_factors`)" in text


def test_the_map_comes_with_a_graph_and_marks_the_cause(documents: ModuleType) -> None:
    """GitHub draws the Mermaid block."""
    text = render(Analysis(documents.report(), documents.graph()), "md")
    assert "```mermaid\nflowchart LR\n" in text
    assert "class n3 blamed" in text


def test_a_comment_fits_whatever_the_report_holds(documents: ModuleType) -> None:
    """Rows and the map go before the limit is reached, and the reader is told."""
    name = "x" * 200
    causes = [documents.cause(rank=rank, service=name, summary=name) for rank in range(1, 400)]
    regressions = [documents.regression(entry=documents.entry(f"{name}{n}", name)) for n in range(400)]
    graph = nx.DiGraph()
    for n in range(300):
        graph.add_edge(
            f"{name}{n}", f"{name}{n + 1}", kind="sync", calls=1, kinds={"sync": {"kind": "sync", "calls": 1}}
        )
    text = render(Analysis(documents.report(causes=causes, regressions=regressions), graph), "md")
    assert len(text.encode()) <= LIMIT
    assert "more rows are in the JSON report" in text
    assert text.count("<details") == text.count("</details>")


def test_names_from_spans_cannot_act(documents: ModuleType) -> None:
    """No mention, image, link, heading or extra table cell comes from a name."""
    cause = documents.cause(service=HOSTILE, operation=HOSTILE, summary=HOSTILE)
    regression = documents.regression(entry=documents.entry(HOSTILE, HOSTILE))
    text = render(Analysis(documents.report(causes=[cause], regressions=[regression])), "md")
    tokens = [
        t for block in MarkdownIt("commonmark").enable("table").parse(text) for t in (block, *(block.children or []))
    ]
    assert {t.type for t in tokens}.isdisjoint({"image", "link_open"})
    ours = re.compile(r"</?(details|summary|sub)( open)?>|<!-- (traceguard:report )?-->|\s")
    assert ours.sub("", "".join(t.content for t in tokens if t.type.startswith("html"))) in {
        "",
        "Whatgotworse",
        "WhatgotworseWhatgotbetter",
    }
    assert "@team" not in " ".join(t.content for t in tokens if t.type == "text")
    assert "\n# big" not in text
    row = next(line for line in text.split("\n") if line.startswith("| ``a"))
    assert row.replace("\\|", "").count("|") == 9


def test_code_spans_hold_any_backticks() -> None:
    """The fence is longer than any run inside."""
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert code("a|b", cell=True) == "`a\\|b`"


def test_prose_defuses_mentions_issues_links_and_markup() -> None:
    """What GitHub would act on is broken up or escaped."""
    assert prose("@team *x* <b>") == "@<!-- -->team \\*x\\* &lt;b&gt;"
    assert "http://" not in prose("http://e.example")
    assert "\\#12" in prose("see #12")


def test_other_results_have_markers_of_their_own(documents: ModuleType) -> None:
    """Two comments of one pull request do not overwrite each other."""
    assert render(Radius(documents.radius()), "md").startswith(
        "<!-- traceguard:blast-radius -->\n\n## Blast radius of `pricing`"
    )
    assert render(Forecast(documents.what_if()), "md").startswith("<!-- traceguard:what-if -->")
