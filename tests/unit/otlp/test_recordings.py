"""Recordings of real hooks and exporters (tests/data/record.py makes them) decode to what their drivers did."""

import json
from pathlib import Path
from typing import Any

import pytest

from traceguard.otlp import files
from traceguard.settings import Settings

RECORDINGS = Path(__file__).resolve().parents[2] / "data" / "recordings"

SHOP = {("new-pricing", "on"), ("logo", "red"), ("retries", "three"), ("config", "a")}
BARE = {("bare-bool", "true"), ("bare-text", "blue"), ("bare-whole", "7"), ("bare-float", "0.5")}
JAVASCRIPT = {("new-pricing", "on"), ("logo", "red"), ("ratio", "half"), ("config", "a"), ("missing", "false")}


def decoded(name: str) -> list[Any]:
    """What the recorded files of one name decode to."""
    found = sorted(RECORDINGS.glob(f"{name}.traces.*")) + sorted(RECORDINGS.glob(f"{name}.logs.*"))
    assert found
    return [chunk for file in found for chunk in files.read(file, Settings())]


def records(name: str) -> list[dict[str, Any]]:
    """All flag records of one name."""
    return [record for chunk in decoded(name) for record in chunk.flag_records.to_pylist()]


def operations(name: str) -> dict[str, tuple[str, bool]]:
    """Operation, and whether it only records an evaluation, by span id."""
    rows = [row for chunk in decoded(name) for row in chunk.spans.to_pylist()]
    return {row["span_id"]: (row["operation"], row["evaluation_only"]) for row in rows}


def test_openfeature_python_0_3() -> None:
    """Every evaluation once, on the span that was current; the failed one with its default, its exception ignored."""
    found = records("openfeature-python-0.3")
    expected = SHOP | BARE | {("bare-object", '{"a":null,"b":[1,2]}'), ("missing", "false")}
    assert {(r["flag_key"], r["variant"]) for r in found} == expected
    assert len(found) == len(expected)
    spans = operations("openfeature-python-0.3")
    assert {r["flag_key"] for r in found if spans[r["span_id"]] == ("charge", False)} == {"config", "missing"}
    assert {r["context_id"] for r in found if r["provider"] != "bare"} == {"user-42"}


def test_openfeature_python_0_2() -> None:
    """The older event has no context, and the hook itself writes a value in the variant's place."""
    found = records("openfeature-python-0.2")
    assert {(r["flag_key"], r["variant"]) for r in found} == SHOP | BARE | {("bare-object", '{"b": [1, 2], "a": null}')}
    assert {r["context_id"] for r in found} == {None}
    assert {r["provider"] for r in found} == {"In-Memory Provider", "bare"}


@pytest.mark.parametrize("name", ["openfeature-js", "openfeature-js-protobuf"])
def test_openfeature_javascript(name: str) -> None:
    """Log records, span events and extra spans tell the same, each of them of the application's span."""
    found, spans = records(name), operations(name)
    for hook in ("EventHook", "SpanEventHook", "SpanHook"):
        of_hook = [r for r in found if spans[r["span_id"]] == (hook, False)]
        assert sorted((r["flag_key"], r["variant"]) for r in of_hook) == sorted(JAVASCRIPT)
        assert {r["context_id"] for r in of_hook} == {"user-42"}
    assert len(found) == 3 * len(JAVASCRIPT)
    assert sum(only for _, only in spans.values()) == len(JAVASCRIPT)


def test_launchdarkly_python() -> None:
    """The level is the variation's index; spans that the hook makes are marked and repeat nothing."""
    found = records("launchdarkly-python")
    levels = sorted((r["flag_key"], r["variant"] or "") for r in found)
    assert levels == [
        ("color", "2"),
        ("color", "2"),
        ("new-pricing", "0"),
        ("new-pricing", "0"),
        ("unknown", ""),
        ("unknown", "a"),
    ]
    assert {(r["provider"], r["context_id"]) for r in found} == {("LaunchDarkly", "user-42")}
    spans = operations("launchdarkly-python")
    assert {spans[r["span_id"]] for r in found} == {("GET /cart", False)}
    assert sorted(spans.values()) == [("GET /cart", False)] * 2 + [("variation", True)] * 3


def test_opentelemetry_python() -> None:
    """Kinds, status, links, events, typed attributes, schema URLs and log records of the SDK itself."""
    traces, logs = decoded("opentelemetry-python")
    rows = {row["operation"]: row for row in traces.spans.to_pylist()}
    assert {name: row["kind"] for name, row in rows.items()} == {
        "POST /orders": "server", "SELECT": "client", "publish": "producer", "process": "consumer",
    }  # fmt: skip
    server = rows["POST /orders"]
    assert (server["status"], server["status_message"], server["version"]) == ("error", "no stock", "3.1")
    assert server["attributes"] == (
        '{"text":"é \\"quoted\\"","yes":true,"int":4611686018427387904,"float":0.1,"list":["a","b"],"ints":[1,2],'
        '"floats":[1.0,2.5]}'
    )
    assert json.loads(server["events"])[0]["name"] == "exception"
    (link,) = json.loads(rows["process"]["links"])
    assert (link["span_id"], link["attributes"]) == (rows["publish"]["span_id"], {"link.attribute": 1})
    assert json.loads(server["scope"])["schema_url"] == "https://example.test/scope"
    (log,) = logs.logs.to_pylist()
    assert (log["body"], log["severity_text"], log["span_id"]) == ('"order 7 failed"', "ERROR", server["span_id"])


def test_shared_recordings(shared_data: Path) -> None:
    """The recordings that are not the project's own: counts and levels that were known before."""
    hooks = shared_data / "otlp" / "hooks"
    (python,) = files.read(hooks / "py-cur.traces.1.pb", Settings())
    assert (python.received, python.flag_records.num_rows) == (8, 16)
    (large,) = files.read(shared_data / "otlp" / "generated" / "traces_large.pb", Settings())
    assert (large.spans.num_rows, len(set(large.spans["service"].to_pylist()))) == (2621, 8)
    warnings: list[str] = []
    for file in files.find([shared_data / "otlp"], warnings.append):
        for chunk in files.read(file, Settings(), warnings.append):
            assert chunk.refused == {}
    assert sum("metrics" in warning for warning in warnings) == 1
