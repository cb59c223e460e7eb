"""The published JSON Schemas: current, valid, and what real documents look like."""

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from builders.scenes import DURATION_NS, START_NS, recorded, reported

from traceguard.report import Analysis, Difference, Forecast, Radius, render
from traceguard.report.schemas import DOCUMENTS, schema
from traceguard.simulate import Plant, shop
from traceguard.units import Period


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
