"""The documents' JSON Schemas (draft 2020-12), made from the models: what a script may rely on, machine-readable.

Fields are added, never renamed: a schema therefore allows more than it names. A number that is not finite is null.
"""

from __future__ import annotations

from typing import Any

from traceguard import model

_DRAFT = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: dict[str, type[model.Document]] = {
    "report": model.Report, "graph": model.Graph, "graph-slices": model.GraphSlices,
    "graph-difference": model.GraphDiff, "blast-radius": model.BlastRadius, "what-if": model.WhatIf, "plan": model.Plan,
}  # fmt: skip
"""Documents by the name of their schema's file."""


def schema(name: str) -> dict[str, Any]:
    """The schema of the document `name`."""
    made = DOCUMENTS[name].model_json_schema(mode="serialization")
    return {"$schema": _DRAFT, "$id": f"urn:traceguard:{name}:{model.SCHEMA_VERSION}", **_loosened(made)}


def _loosened(part: Any) -> Any:
    if isinstance(part, list):
        return [_loosened(item) for item in part]
    if not isinstance(part, dict):
        return part
    found = {key: _loosened(value) for key, value in part.items() if key != "additionalProperties"}
    if found.get("type") == "number":
        found["type"] = ["number", "null"]
    return found
