"""Python's own exporters and flag hooks against a live server: what they send stands in the store."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from builders.live import Live
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from traceguard.server import Server

# Flag, level: what the driver's providers answer. Where there is no variant, the level is the value.
SHOP = {("new-pricing", "on"), ("logo", "red"), ("retries", "three"), ("config", "a")}
BARE = {("bare-bool", "true"), ("bare-text", "blue"), ("bare-whole", "7"), ("bare-float", "0.5")}
EVALUATED = {
    # The older hook writes a value in the variant's place, as Python shows it, and tells nothing of a missing flag.
    "0.2": SHOP | BARE | {("bare-object", '{"b": [1, 2], "a": null}')},
    "0.3": SHOP | BARE | {("bare-object", '{"a":null,"b":[1,2]}'), ("missing", "false")},
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server for all clients."""
    path = tmp_path_factory.mktemp("python") / "live.duckdb"
    with Server(path, "127.0.0.1:0", "127.0.0.1:0") as server:
        yield Live.of(server, path)


def _exporters(live: Live, protocol: str, compression: str) -> tuple[Any, Any]:
    """The SDK's exporters of spans and of log records."""
    if protocol == "grpc":
        chosen = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}[compression]
        options: dict[str, Any] = {"endpoint": live.grpc_address, "insecure": True, "compression": chosen}
        return GrpcSpans(**options), GrpcLogs(**options)
    packed, target = Compression(compression), f"http://{live.http_address}/v1"
    return HttpSpans(f"{target}/traces", compression=packed), HttpLogs(f"{target}/logs", compression=packed)


@pytest.mark.parametrize(
    ("protocol", "compression"),
    [("grpc", "none"), ("grpc", "gzip"), ("http", "none"), ("http", "gzip"), ("http", "deflate")],
)
def test_python_exporters_send_spans_and_logs(
    live: Live, caplog: pytest.LogCaptureFixture, protocol: str, compression: str
) -> None:
    """Spans with all their parts and log records arrive, and the exporters have nothing to complain of."""
    service = f"python-{protocol}-{compression}"
    resource = Resource({"service.name": service, "service.version": "1.2"})
    spans, records = _exporters(live, protocol, compression)
    traces, logs = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(spans))
    logs.add_log_record_processor(BatchLogRecordProcessor(records))
    tracer = traces.get_tracer("test", "1.0")
    values = {"user.id": "u7", "text": 'é "quoted"', "yes": True, "int": 2**62, "float": 0.1, "list": ["a", "b"]}
    with (
        caplog.at_level(logging.WARNING, "opentelemetry"),
        tracer.start_as_current_span("POST /orders", kind=SpanKind.SERVER, attributes=values) as parent,
    ):
        parent.add_event("feature_flag.evaluation", {"feature_flag.key": "f", "feature_flag.result.variant": "on"})
        with tracer.start_as_current_span(
            "SELECT", kind=SpanKind.CLIENT, links=[Link(parent.get_span_context())]
        ) as child:
            child.set_status(Status(StatusCode.ERROR, "no stock"))
        logs.get_logger("test").emit(body="order 7 failed", event_name="order.failed", severity_text="ERROR")
        for number in range(600):
            tracer.start_span("filler", attributes={"number": number}).end()
    traces.shutdown()
    logs.shutdown()
    assert caplog.records == []
    ids = [
        (format(s.get_span_context().trace_id, "032x"), format(s.get_span_context().span_id, "016x"))
        for s in (parent, child)
    ]
    rows = live.rows(
        "SELECT trace_id, span_id, parent_span_id, operation, kind, status, status_message, version, attributes, links"
        " FROM distinct_spans WHERE service = ? AND operation != 'filler' ORDER BY operation",
        service,
    )
    assert rows[0][:8] == (*ids[0], None, "POST /orders", "server", "unset", None, "1.2")
    assert json.loads(rows[0][8]) == values
    assert rows[1][:7] == (*ids[1], ids[0][1], "SELECT", "client", "error", "no stock")
    assert [link["span_id"] for link in json.loads(rows[1][9])] == [ids[0][1]]
    evaluations = "SELECT span_id, flag_key, variant FROM flag_evaluations WHERE trace_id = ?"
    assert live.rows(evaluations, ids[0][0]) == [(ids[0][1], "f", "on")]
    found = live.rows("SELECT trace_id, span_id, event_name, severity_text, body FROM logs WHERE service = ?", service)
    assert found == [(*ids[0], "order.failed", "ERROR", '"order 7 failed"')]
    fillers = live.rows("SELECT count(*) FROM spans WHERE service = ? AND operation = 'filler'", service)
    assert fillers == [(600,)]


def test_openfeature_hooks_tell_each_evaluation_once(
    openfeature_hooks: Path, live: Live, repository: Path, tmp_path: Path
) -> None:
    """Both forms of the hook's event: each evaluation once, on the span that was current, with key and level."""
    version = openfeature_hooks.name.rpartition("-")[2]
    before = {row[0] for row in live.rows("SELECT trace_id FROM spans")}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environment |= {"PYTHONPATH": str(openfeature_hooks), "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{live.http_address}"}
    driver = repository / "tests" / "data" / "drivers" / "openfeature_python.py"
    ran = subprocess.run(
        [sys.executable, driver],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = live.rows(
        "SELECT f.trace_id, operation, flag_key, variant, context_id, provider FROM flag_evaluations AS f"
        " JOIN distinct_spans USING (trace_id, span_id) WHERE service = 'checkout'"
    )
    rows = [row[1:] for row in found if row[0] not in before]
    assert {row[1:3] for row in rows} == EVALUATED[version]
    assert len(rows) == len(EVALUATED[version])
    assert {row[1] for row in rows if row[0] == "charge"} == {"config", "missing"} & {
        key for key, _ in EVALUATED[version]
    }
    contexts = {row[3] for row in rows if row[4] != "bare"}
    assert contexts == ({"user-42"} if version == "0.3" else {None})
