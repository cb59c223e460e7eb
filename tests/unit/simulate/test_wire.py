"""Recordings as OTLP bytes say the same as their tables, read by the protocol's own classes."""

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from polars.testing import assert_frame_equal

from traceguard.otlp import decode
from traceguard.settings import Settings
from traceguard.simulate import Fleet, Recording, generate, random_fleet, shop
from traceguard.simulate.files import json_lines, write
from traceguard.simulate.wire import log_bodies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Three hundred requests of the shop."""
    return generate(shop(), requests=300, seed=3, start_ns=1_780_000_000_000_000_000, duration_ns=600_000_000_000)


def plain(pairs: "Iterable[KeyValue]") -> dict[str, object]:
    """Attributes as a dictionary."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


def row_of(span: Span, resource: dict[str, object]) -> dict[str, object]:
    """A protobuf span as the columns of the span table that it decides."""
    return {
        "trace_id": span.trace_id.hex(), "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() or None,
        "service": resource["service.name"], "operation": span.name, "kind": KINDS[span.kind],
        "start_ns": span.start_time_unix_nano,
        "dur_ns": span.end_time_unix_nano - span.start_time_unix_nano,
        "status": ("unset", "ok", "error")[span.status.code],
        "status_message": span.status.message or None, "version": resource["service.version"],
        "environment": resource["deployment.environment.name"], "instance": resource["service.instance.id"],
        "attributes": plain(span.attributes),
        "events": [
            {"name": event.name, "time_ns": event.time_unix_nano, "attributes": plain(event.attributes)}
            for event in span.events
        ],
        "resource": {"attributes": resource}, "flags": span.flags,
    }  # fmt: skip


def test_bodies_carry_the_spans_of_the_table(recording: Recording) -> None:
    """Every span arrives once with its ids, times, attributes, events, status and resource."""
    found = [
        row_of(span, plain(of_resource.resource.attributes))
        for body in recording.bodies(100)
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]
    expected = recording.spans.select(list(found[0])).to_pylist()
    for row in expected:
        row |= {key: json.loads(row[key] or "[]") for key in ("attributes", "events", "resource")}
    assert sorted(found, key=lambda row: str(row["span_id"])) == sorted(expected, key=lambda row: str(row["span_id"]))


def test_bodies_keep_to_their_size_and_process(recording: Recording) -> None:
    """A body has the spans of one process, no more than asked."""
    for body in recording.bodies(64):
        (of_resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
        (of_scope,) = of_resource.scope_spans
        assert 0 < len(of_scope.spans) <= 64
        assert of_scope.scope.name == "traceguard.simulate"


def test_log_bodies_carry_the_log_table(recording: Recording) -> None:
    """Every logged evaluation arrives once, tied to its span."""
    found = [
        {
            "trace_id": record.trace_id.hex(), "span_id": record.span_id.hex(), "time_ns": record.time_unix_nano,
            "observed_ns": record.observed_time_unix_nano, "severity": record.severity_number,
            "severity_text": record.severity_text,
            "event_name": record.event_name, "attributes": plain(record.attributes), "flags": record.flags,
        }
        for body in log_bodies(recording)
        for of_resource in ExportLogsServiceRequest.FromString(body).resource_logs
        for of_scope in of_resource.scope_logs
        for record in of_scope.log_records
    ]  # fmt: skip
    expected = recording.logs.select(list(found[0])).to_pylist()
    for row in expected:
        row["attributes"] = json.loads(row["attributes"])
    key = lambda row: (row["time_ns"], row["span_id"])  # noqa: E731
    assert sorted(found, key=key) == sorted(expected, key=key)


def test_json_lines_have_hex_ids_and_equal_the_bodies(recording: Recording) -> None:
    """OTLP/JSON differs from protobuf's JSON in its ids only."""
    for line, body in zip(json_lines(recording), recording.bodies(), strict=True):
        mine = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        theirs = MessageToDict(ExportTraceServiceRequest.FromString(body), use_integers_for_enums=True)
        for span, other in zip(mine, theirs["resourceSpans"][0]["scopeSpans"][0]["spans"], strict=True):
            assert int(span["traceId"], 16)
            assert {k: v for k, v in span.items() if not k.endswith("Id")} == {
                k: v for k, v in other.items() if not k.endswith("Id")
            }


def test_written_files_are_the_same_every_time(recording: Recording, tmp_path: Path) -> None:
    """Files are length-prefixed protobuf and JSON lines, and equal recordings give equal bytes."""
    traces, logs = write(recording, tmp_path / "one")
    again = write(recording, tmp_path / "two")
    assert [path.read_bytes() for path in again] == [traces.read_bytes(), logs.read_bytes()]
    data = gzip.decompress(traces.read_bytes())
    count = 0
    while data:
        length = int.from_bytes(data[:4], "big")
        message = ExportTraceServiceRequest.FromString(data[4 : 4 + length])
        count += len(message.resource_spans[0].scope_spans[0].spans)
        data = data[4 + length :]
    assert count == recording.span_count
    lines = gzip.decompress(logs.read_bytes()).decode().splitlines()
    assert all("resourceLogs" in json.loads(line) for line in lines)


@pytest.mark.parametrize("fleet", [shop(), random_fleet(5, services=8)], ids=["shop", "random"])
def test_decoded_bodies_equal_the_tables(fleet: Fleet) -> None:
    """What the tables claim to be is what the decoder makes of the bytes, in every column."""
    recording = generate(fleet, requests=200, seed=5, start_ns=1_780_000_000_000_000_000, duration_ns=600_000_000_000)
    parts = [decode(body, encoding="protobuf", signal="traces", settings=Settings()) for body in recording.bodies()]
    parts += [decode(body, encoding="protobuf", signal="logs", settings=Settings()) for body in log_bodies(recording)]
    orders = {
        "spans": ["span_id"],
        "flag_records": ["span_id", "flag_key"],
        "correlations": ["span_id", "key"],
        "logs": ["span_id", "attributes"],
    }
    for name, order in orders.items():
        plain_text = pl.col(pl.Categorical).cast(pl.String)
        found = pl.concat([pl.DataFrame(getattr(part, name)).with_columns(plain_text) for part in parts])
        wanted = pl.DataFrame(getattr(recording.decoded(), name)).with_columns(plain_text)
        assert_frame_equal(found.sort(order), wanted.sort(order))
