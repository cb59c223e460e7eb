"""Jaeger's JSON becomes the spans that OTLP would have brought."""

import json
from pathlib import Path
from typing import Any

from traceguard.otlp import files
from traceguard.settings import Settings

START_US = 1_485_467_191_639_875


def tag(key: str, type_: str, value: Any) -> dict[str, Any]:
    """A tag as Jaeger writes it."""
    return {"key": key, "type": type_, "value": value}


def span(**members: Any) -> dict[str, Any]:
    """A span as Jaeger writes it."""
    return {
        "traceID": "abc123", "spanID": "1", "operationName": "op", "references": [], "startTime": START_US,
        "duration": 5, "tags": [], "logs": [], "processID": "p1", "warnings": None,
    } | members  # fmt: skip


def rows(tmp_path: Path, *spans: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a document with these spans in one trace."""
    processes = {
        "p1": {"serviceName": "front", "tags": [tag("service.version", "string", "1.0")]},
        "p2": {"serviceName": 'b"ack', "tags": []},
    }
    trace = {"traceID": "abc123", "spans": list(spans), "processes": processes, "warnings": None}
    file = tmp_path / "trace.json"
    file.write_text(json.dumps({"data": [trace], "total": 0, "limit": 0, "errors": None}))
    return [found for chunk in files.read(file, Settings()) for found in chunk.spans.to_pylist()]


def test_ids_times_and_process(tmp_path: Path) -> None:
    """Short ids are padded, microseconds become nanoseconds, the process is the resource."""
    (found,) = rows(tmp_path, span(flags=1))
    assert (found["trace_id"], found["span_id"]) == ("00000000000000000000000000abc123", "0000000000000001")
    assert (found["start_ns"], found["dur_ns"], found["flags"]) == (START_US * 1000, 5000, 1)
    assert (found["service"], found["version"], found["parent_span_id"]) == ("front", "1.0", None)


def test_tags_keep_their_types(tmp_path: Path) -> None:
    """Whole numbers stay exact, a float64 without a fraction is a double, binary is bytes."""
    tags = [
        tag("n", "int64", 9007199254740993), tag("text", "int64", "12"), tag("f", "float64", 3),
        tag("g", "float64", 3.25),
        tag("b", "binary", "AAAwOQ=="), tag("yes", "bool", value=True), tag("no", "bool", "false"),
        tag("s", "string", "x"),
        tag("odd", "int64", "x1"), tag("max", "float64", 2**63 - 1),
    ]  # fmt: skip
    (found,) = rows(tmp_path, span(tags=tags))
    assert found["attributes"] == (
        '{"n":9007199254740993,"text":12,"f":3.0,"g":3.25,"b":"AAAwOQ==","yes":true,"no":false,"s":"x","odd":"x1",'
        '"max":9.223372036854776e+18}'
    )


def test_kind_and_status_come_from_tags(tmp_path: Path) -> None:
    """`span.kind`, `error` and OpenTelemetry's own tags."""
    tags = [
        tag("span.kind", "string", "client"),
        tag("error", "bool", value=True),
        tag("otel.status_description", "string", "no"),
    ]
    (found,) = rows(tmp_path, span(tags=tags))
    assert (found["kind"], found["status"], found["status_message"]) == ("client", "error", "no")
    (found,) = rows(tmp_path, span(tags=[tag("otel.status_code", "string", "OK"), tag("error", "bool", value=False)]))
    assert (found["kind"], found["status"], found["status_message"]) == ("unspecified", "ok", None)


def test_references_are_parent_and_links(tmp_path: Path) -> None:
    """The first CHILD_OF of the trace is the parent; every other reference is a link that says its type."""
    references = [
        {"refType": "FOLLOWS_FROM", "traceID": "ABC123", "spanID": "7"},
        {"refType": "CHILD_OF", "traceID": "000abc123", "spanID": "1"},
        {"refType": "CHILD_OF", "traceID": "ff", "spanID": "9"},
    ]
    (found,) = rows(tmp_path, span(spanID="2a", references=references, processID="p2"))
    assert (found["parent_span_id"], found["service"]) == ("0000000000000001", 'b"ack')
    assert [(link["span_id"][-1], *link["attributes"].values()) for link in json.loads(found["links"])] == [
        ("7", "follows_from"), ("9", "child_of"),
    ]  # fmt: skip


def test_a_span_that_only_follows_has_a_parent_and_a_link(tmp_path: Path) -> None:
    """As in Jaeger's model, and the link tells that nobody waited."""
    (found,) = rows(
        tmp_path, span(spanID="2", references=[{"refType": "FOLLOWS_FROM", "traceID": "abc123", "spanID": "1"}])
    )
    assert found["parent_span_id"] == "0000000000000001"
    assert json.loads(found["links"])[0]["attributes"] == {"opentracing.ref_type": "follows_from"}


def test_logs_are_events(tmp_path: Path) -> None:
    """The field `event` is the name, so flag evaluations in logs are found."""
    fields = [
        tag("event", "string", "feature_flag"),
        tag("feature_flag.key", "string", "x"),
        tag("feature_flag.variant", "string", "on"),
    ]
    file = tmp_path / "trace.json"
    trace = {"traceID": "1", "spans": [span(logs=[{"timestamp": START_US, "fields": fields}])], "processes": {}}
    file.write_text(json.dumps({"data": [trace]}))
    (chunk,) = files.read(file, Settings())
    (event,) = json.loads(chunk.spans["events"][0].as_py())
    assert (event["name"], event["time_ns"]) == ("feature_flag", START_US * 1000)
    assert chunk.flag_records.select(["flag_key", "variant"]).to_pylist() == [{"flag_key": "x", "variant": "on"}]
    assert chunk.spans["service"].to_pylist() == ["unknown_service"]
