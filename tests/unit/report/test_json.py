"""Documents for programs: JSON, frames, CSV."""

import csv
import io
import json
import math
from types import ModuleType

import networkx as nx
import polars as pl
import pyarrow as pa
import pytest

from traceguard import model
from traceguard.errors import InputError, UsageError
from traceguard.graph import Sketch
from traceguard.report import FORMATS, Analysis, Difference, Forecast, Radius, Rollout, Slice, Slices, render
from traceguard.report.edges import from_document, slices_from_document
from traceguard.units import Period


def test_a_report_is_its_document(documents: ModuleType) -> None:
    """The JSON reads back as the same document."""
    report = documents.report()
    text = render(Analysis(report), "json")
    assert model.Report.model_validate_json(text) == report
    assert json.loads(text)["schema_version"] == 1


def test_the_wrappers_give_the_document_as_a_dictionary_and_as_json(documents: ModuleType) -> None:
    """`to_dict` and `to_json` agree for all three kinds."""
    for result in (Analysis(documents.report()), Radius(documents.radius()), Forecast(documents.what_if())):
        assert json.loads(result.to_json()) == result.to_dict()


def test_json_has_no_nan(documents: ModuleType) -> None:
    """What is not finite is null: JSON has no word for it."""
    cause = documents.cause(share=math.nan, effect=model.Effect(estimate=1.0, low=-math.inf, high=math.inf, unit="ms"))
    text = render(Analysis(documents.report(causes=[cause])), "json")
    assert "NaN" not in text
    assert "Infinity" not in text
    found = json.loads(text)["causes"][0]
    assert found["share"] is None
    assert found["effect"]["low"] is None


def test_a_graph_is_networkx_node_link_form(documents: ModuleType) -> None:
    """networkx reads the document back, and so do we, with the same nodes, edges and numbers."""
    shop = documents.graph()
    document = json.loads(render(shop, "json"))
    assert document["directed"] is True
    assert set(document["edges"][0]) == {"source", "target", "calls", "errors", "kind", "p50_ms", "p95_ms"}
    assert set(nx.node_link_graph(document, edges="edges").edges) == set(shop.edges)
    again = from_document(document)
    assert dict(again.nodes(data=True)) == dict(shop.nodes(data=True))
    assert [(a, b, d["kinds"]) for a, b, d in again.edges(data=True)] == [
        (a, b, d["kinds"]) for a, b, d in shop.edges(data=True)
    ]


def test_a_pair_joined_both_ways_has_two_edges(documents: ModuleType) -> None:
    """A synchronous and an asynchronous edge of one pair are two edges of the document, and one of the graph again."""
    shop = documents.graph()
    shop.edges["checkout", "orders"]["kinds"]["sync"] = {
        "kind": "sync",
        "calls": 3,
        "errors": 0,
        "p50_ms": 1.0,
        "p95_ms": 2.0,
    }
    document = json.loads(render(shop, "json"))
    kinds = [e["kind"] for e in document["edges"] if (e["source"], e["target"]) == ("checkout", "orders")]
    assert kinds == ["async", "sync"]
    assert document["multigraph"] is True
    assert from_document(document).number_of_edges() == shop.number_of_edges()


def test_slices_of_a_graph_come_back_from_their_document(documents: ModuleType) -> None:
    """Periods, requests, nodes, edges and sketches survive; the counts of a sketch stand on one line."""
    shop = documents.graph()
    shop.edges["frontend", "cart"]["kinds"]["sync"]["sketch"] = Sketch(320, (4, 0, 2))
    slices = Slices((Slice(Period(60_000_000_000, 120_000_000_000), 7, shop),))
    text = render(slices, "json")
    assert '"counts": [4, 0, 2]' in text
    (back,) = slices_from_document(json.loads(text))
    assert (back.period, back.requests) == (slices[0].period, 7)
    assert back.graph.edges["frontend", "cart"]["sketch"] == Sketch(320, (4, 0, 2))
    assert render(Slices((back,)), "json") == text
    with pytest.raises(InputError, match="no slices"):
        slices_from_document({"nodes": []})


def test_what_is_no_graph_document_is_refused() -> None:
    """Another program's answer is an input error in a sentence."""
    with pytest.raises(InputError, match="not a service graph"):
        from_document({"nodes": [{"name": "x"}]})


def test_causes_become_a_frame(documents: ModuleType) -> None:
    """A row a cause, typed also when there is none."""
    frame = Analysis(documents.report()).to_polars()
    assert frame["service"].to_list() == ["pricing", "payment"]
    assert frame["factors"].to_list() == ["new-pricing=on", "payment 1.8.0"]
    assert frame.schema == Analysis(documents.quiet_report()).to_polars().schema


def test_the_wrapper_shows_what_it_holds(documents: ModuleType) -> None:
    """Shortcuts and the one-line form."""
    analysis = Analysis(documents.report())
    assert analysis.verdict == "regression"
    assert [len(analysis.causes), len(analysis.regressions), len(analysis.improvements), len(analysis.warnings)] == [
        2,
        4,
        1,
        2,
    ]
    assert repr(analysis) == "<Analysis regression: 4 regressions, 2 causes, 2 warnings; 12,480 requests>"
    assert repr(Radius(documents.radius())) == "<Radius pricing: 71.0% of requests, 4 services>"
    assert "in pricing for 5% of requests" in repr(Forecast(documents.what_if()))


def test_a_query_is_a_list_of_objects() -> None:
    """Numbers stay numbers, NaN is null."""
    table = pa.table({"n": [1, 2**62], "x": [math.nan, 0.5], "name": ["a", None], "many": [[1], []]})
    assert json.loads(render(table, "json")) == [
        {"n": 1, "x": None, "name": "a", "many": [1]}, {"n": 2**62, "x": 0.5, "name": None, "many": []},
    ]  # fmt: skip


def test_a_query_is_csv_with_a_header() -> None:
    """Commas and quotes survive, lists become JSON text."""
    frame = pl.DataFrame({"name": ['a,"b', "c"], "many": [[1, 2], []]})
    assert list(csv.reader(io.StringIO(render(frame, "csv")))) == [["name", "many"], ['a,"b', "[1, 2]"], ["c", "[]"]]


def test_every_promised_format_renders(documents: ModuleType) -> None:
    """Each kind of result renders in each of its formats, ending in a line break."""
    results = {
        "report": Analysis(documents.report(), documents.graph()), "graph": documents.graph(),
        "blast-radius": Radius(documents.radius()), "what-if": Forecast(documents.what_if()),
        "query": pa.table({"n": [1]}), "graph-slices": Slices((Slice(Period(0, 60), 7, documents.graph()),)),
        "graph-diff": Difference(documents.graph_diff()), "plan": Rollout(documents.plan()),
    }  # fmt: skip
    assert set(results) == set(FORMATS)
    for kind, formats in FORMATS.items():
        for form in formats:
            assert render(results[kind], form).endswith("\n"), (kind, form)


def test_an_unknown_format_names_the_known_ones(documents: ModuleType) -> None:
    """The error says what can be had."""
    with pytest.raises(UsageError, match="text, json, md, html, junit"):
        render(Analysis(documents.report()), "pdf")


def test_what_is_no_result_is_refused() -> None:
    """Rendering something else is a programmer's error."""
    with pytest.raises(TypeError, match="cannot render a list"):
        render([1], "text")
