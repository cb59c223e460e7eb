"""The published JSON Schemas: current, valid, and what real documents look like."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import networkx as nx
import pytest
from builders.graphs import append, make_row
from builders.scenes import DURATION_NS, START_NS, recorded, reported

import traceguard
from traceguard.report import Analysis, Difference, Forecast, Radius, render
from traceguard.report.schemas import DOCUMENTS, schema
from traceguard.simulate import Plant, shop
from traceguard.store import Store, open_store
from traceguard.units import Period

GRAPHS: dict[str, dict[str, Any]] = {
    "services": {},
    "operations": {"level": "operation"},
    "sketches": {"sketches": True},
    "operations with sketches": {"level": "operation", "sketches": True},
    "no requests": {"until": 1},
    "slices": {"every": "10m"},
    "slices of operations with sketches": {"every": "10m", "level": "operation", "sketches": True},
    "no slices": {"every": "10m", "until": 1},
}
"""What a graph can be asked for, by what comes out."""


@pytest.fixture(scope="module")
def traffic() -> Iterator[Store]:
    """Half an hour of the shop; an hour later a service calls another and sends it messages, too."""
    later = START_NS + 3 * DURATION_NS
    with open_store(":memory:", mode="write") as store:
        store.append([recorded(shop(), requests=400).decoded()])
        rows = [
            make_row("01", None, "checkout", operation="pay", start_ns=later),
            make_row("02", "01", "mailer", operation="mail", start_ns=later + 1),
            make_row("03", "01", "mailer", operation="mail", start_ns=later + 2, kind="consumer"),
        ]
        append(store, rows)
        yield store


def published(repository: Path, name: str) -> dict[str, Any]:
    """The schema in docs/."""
    found: dict[str, Any] = json.loads((repository / "docs" / "schema" / f"{name}.schema.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_published_schemas_are_current(repository: Path, name: str) -> None:
    """`make schemas` was run after the last change of a document."""
    assert published(repository, name) == schema(name)
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_documents_are_valid(repository: Path, documents: ModuleType) -> None:
    """Of every kind, also with numbers that are not finite."""
    odd = documents.report(causes=[documents.cause(share=math.nan)])
    for name, result in (
        ("report", Analysis(documents.report())), ("report", Analysis(odd)),
        ("report", Analysis(documents.period_report())),
        ("blast-radius", Radius(documents.radius())), ("what-if", Forecast(documents.what_if())),
        ("graph-difference", Difference(documents.graph_diff())),
    ):  # fmt: skip
        jsonschema.validate(json.loads(render(result, "json")), published(repository, name))


def test_a_real_report_is_valid_and_a_wrong_one_is_not(repository: Path) -> None:
    """Of flags and of periods, with everything that an analysis adds."""
    plant = Plant("pricing", "ComputeQuote", flags=(("new-pricing", "on"),), self_ms=30)
    recording, half = recorded(shop(plants=(plant,))), START_NS + DURATION_NS // 2
    periods = {"baseline": Period(START_NS, half), "candidate": Period(half, START_NS + DURATION_NS)}
    for asked in ({}, periods):
        document = json.loads(reported(recording, draw_map=False, **asked).to_json())
        jsonschema.validate(document, published(repository, "report"))
    document["verdict"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, published(repository, "report"))


@pytest.mark.parametrize("asked", GRAPHS.values(), ids=GRAPHS)
def test_every_form_of_a_graph_is_valid(repository: Path, traffic: Store, asked: dict[str, Any]) -> None:
    """Of services and operations, with sketches and without, whole and by slices; the models know every field of it."""
    document = json.loads(render(traceguard.graph(traffic, **asked), "json"))
    name = "graph-slices" if "every" in asked else "graph"
    jsonschema.validate(document, published(repository, name))
    read = DOCUMENTS[name].model_validate(document)
    assert read.model_dump(mode="json", exclude_unset=True) == document


def test_a_graph_holds_what_its_schema_tells_of(traffic: Store) -> None:
    """Inferred nodes, both kinds of edges of one pair, slices without requests, sketches that count every call."""
    document = json.loads(render(traceguard.graph(traffic, sketches=True, level="operation"), "json"))
    assert document["multigraph"] is True
    assert {node["operation"] is None for node in document["nodes"] if node["inferred"]} == {True}
    assert all(sum(edge["sketch"]["counts"]) == edge["calls"] > 0 for edge in document["edges"])
    assert nx.node_link_graph(document, edges="edges").number_of_edges() == len(document["edges"])
    slices = json.loads(render(traceguard.graph(traffic, every="10m"), "json"))["slices"]
    assert {(each["requests"] == 0, each["nodes"] == []) for each in slices} == {(True, True), (False, False)}


@pytest.mark.parametrize(("part", "field", "value"), [("nodes", "type", "planet"), ("edges", "kind", "perhaps")])
def test_a_wrong_graph_is_not_valid(repository: Path, traffic: Store, part: str, field: str, value: str) -> None:
    """Another word than the schema's, or a promised field that is missing."""
    document = json.loads(render(traceguard.graph(traffic), "json"))
    kept = document[part][0].pop(field)
    with pytest.raises(jsonschema.ValidationError, match="required property"):
        jsonschema.validate(document, published(repository, "graph"))
    document[part][0][field] = value
    with pytest.raises(jsonschema.ValidationError, match=f"'{value}' is not one of"):
        jsonschema.validate(document, published(repository, "graph"))
    document[part][0][field] = kept
    jsonschema.validate(document, published(repository, "graph"))
