"""A replay through the OpenTelemetry SDK delivers the recording and says what was not delivered."""

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from traceguard.errors import InputError
from traceguard.simulate import Recording, generate, shop
from traceguard.simulate.emit import replay


class Receiver(trace_grpc.TraceServiceServicer, logs_grpc.LogsServiceServicer):
    """A plain OTLP receiver that keeps every request, by way and signal."""

    def __init__(self) -> None:
        self.traces: list[tuple[str, trace_pb2.ExportTraceServiceRequest]] = []
        self.logs: list[tuple[str, logs_pb2.ExportLogsServiceRequest]] = []

    def Export(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002, N802  (gRPC's name)
        """Keep a request that came over gRPC."""
        if isinstance(request, trace_pb2.ExportTraceServiceRequest):
            self.traces.append(("grpc", request))
            return trace_pb2.ExportTraceServiceResponse()
        self.logs.append(("grpc", request))
        return logs_pb2.ExportLogsServiceResponse()


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str, str]]:
    """A running receiver with its gRPC and HTTP addresses."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        """Keeps requests that come over HTTP."""

        def do_POST(self) -> None:
            """Keep one."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            way = "http"
            if self.headers.get("Content-Encoding") == "gzip":
                body, way = gzip.decompress(body), "http+gzip"
            if self.path == "/v1/traces":
                kept.traces.append((way, trace_pb2.ExportTraceServiceRequest.FromString(body)))
            else:
                kept.logs.append((way, logs_pb2.ExportLogsServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_grpc.add_TraceServiceServicer_to_server(kept, server)
    logs_grpc.add_LogsServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, f"127.0.0.1:{port}", f"127.0.0.1:{web.server_port}"
    server.stop(None)
    web.shutdown()
    web.server_close()
    thread.join(5)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Sixty requests of the shop."""
    return generate(shop(), requests=60, seed=3, start_ns=1_780_000_000_000_000_000, duration_ns=600_000_000_000)


def test_everything_arrives_as_recorded(recording: Recording, receiver: tuple[Receiver, str, str]) -> None:
    """Ids, parents, times, kinds, status and evaluations are the recording's, whichever way they came."""
    kept, grpc_address, http_address = receiver
    told: list[tuple[str, float, float | None]] = []
    sent = replay(recording, grpc_address, http_address, lambda *what: told.append(what))
    assert (sent.spans, sent.log_records) == (recording.span_count, recording.logs.num_rows)
    assert told[-1] == ("Sending spans", recording.span_count, recording.span_count)
    assert {way for way, _ in kept.traces} == {"grpc", "http", "http+gzip"}
    found = {
        (s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex() or None, s.name, s.start_time_unix_nano,
         s.end_time_unix_nano - s.start_time_unix_nano, s.flags, s.status.code, len(s.events))
        for _, request in kept.traces
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for s in of_scope.spans
    }  # fmt: skip
    names = ("trace_id", "span_id", "parent_span_id", "operation", "start_ns", "dur_ns", "flags", "status", "events")
    expected = {
        (
            *(row[name] for name in names[:-2]),
            2 if row["status"] == "error" else 0,
            (row["events"] or "").count("time_ns"),
        )
        for row in recording.spans.select(names).to_pylist()
    }
    assert found == expected


def test_resources_are_the_services_own(recording: Recording, receiver: tuple[Receiver, str, str]) -> None:
    """Each process names its service, version, instance and environment, and the SDK that really sent."""
    kept, grpc_address, http_address = receiver
    replay(recording, grpc_address, http_address)
    wanted = (
        "service.name",
        "service.version",
        "service.instance.id",
        "deployment.environment.name",
        "telemetry.sdk.language",
    )
    found = set()
    for _, request in kept.traces:
        for of_resource in request.resource_spans:
            attributes = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
            found.add(tuple(attributes[key] for key in wanted))
    columns = recording.spans.select(["service", "version", "instance", "environment"])
    assert found == {(*row.values(), "python") for row in columns.to_pylist()}


def test_log_records_are_evaluations_of_their_span(recording: Recording, receiver: tuple[Receiver, str, str]) -> None:
    """A service that logs its evaluations sends events named as the semantic conventions say."""
    kept, grpc_address, http_address = receiver
    replay(recording, grpc_address, http_address)
    records = [
        record
        for _, request in kept.logs
        for of_resource in request.resource_logs
        for of_scope in of_resource.scope_logs
        for record in of_scope.log_records
    ]
    assert {record.event_name for record in records} == {"feature_flag.evaluation"}
    found = {(record.trace_id.hex(), record.span_id.hex(), record.time_unix_nano) for record in records}
    expected = recording.logs.select(["trace_id", "span_id", "time_ns"]).to_pylist()
    assert found == {tuple(row.values()) for row in expected}


def test_a_refused_recording_is_an_error(recording: Recording, receiver: tuple[Receiver, str, str]) -> None:
    """A receiver that refuses every HTTP request loses the HTTP services' spans, and the replay says so."""
    kept, grpc_address, _ = receiver

    class Refusing(BaseHTTPRequestHandler):
        """Answers 400 to everything."""

        def do_POST(self) -> None:
            """Refuse one."""
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match=f"[0-9]+ of {recording.span_count} spans"):
            replay(recording, grpc_address, f"127.0.0.1:{web.server_port}")
        web.shutdown()
    assert kept.traces
