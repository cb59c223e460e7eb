"""The receiver over the network: what exporters send, what the protocol demands, what is refused and how."""

import gc
import gzip
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from traceguard.errors import StoreError
from traceguard.server import Server
from traceguard.server.intake import calls, otlp_http
from traceguard.server.intake.budget import Reservation
from traceguard.server.intake.decoder import Export
from traceguard.store import open_store

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MIB = 2**20


def _traces(service: str, spans: int, first: int = 1) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = service
    scope = resource.scope_spans.add()
    for n in range(first, first + spans):
        scope.spans.add(
            trace_id=n.to_bytes(16), span_id=n.to_bytes(8), name="GET /", kind=2,
            start_time_unix_nano=time.time_ns(), end_time_unix_nano=time.time_ns() + 1000,
        )  # fmt: skip
    return request


class Client:
    """A server in this process, and HTTP and gRPC by hand."""

    def __init__(self, server: Server, path: Path) -> None:
        self.server = server
        self.path = path

    def ask(
        self, method: str, target: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One HTTP request on a connection of its own; an iterable body is sent in chunks."""
        connection = http.client.HTTPConnection(self.server.http_address, timeout=30)
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def post(self, target: str, body: Any, kind: str = PROTOBUF, **headers: str) -> tuple[int, bytes]:
        """An export over HTTP, which must be answered in its own content type."""
        status, answer, content = self.ask("POST", target, body, Content_Type=kind, **headers)
        assert answer["Content-Type"] == kind
        return status, content

    def call(self, service: str, body: bytes, **options: Any) -> bytes:
        """An export over gRPC, as raw bytes."""
        with grpc.insecure_channel(self.server.grpc_address, options=[("grpc.max_send_message_length", -1)]) as channel:
            method = f"/opentelemetry.proto.collector.{service}/Export"
            answer: bytes = channel.unary_unary(method)(body, timeout=30, **options)
            return answer

    def metric(self, line: str) -> float:
        """One value of /metrics."""
        text = self.ask("GET", "/metrics")[2].decode()
        return next(float(found.split()[-1]) for found in text.splitlines() if found.startswith(line + " "))

    def count(self, service: str) -> int:
        """Distinct spans of a service, as this process sees them beside the server."""
        with open_store(self.path) as store, store.cursor() as cursor:
            found = cursor.execute("SELECT count(*) FROM distinct_spans WHERE service = ?", [service]).fetchall()
            return int(found[0][0])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server on ports of its own, for all tests of this file."""
    path = tmp_path_factory.mktemp("server") / "live.duckdb"
    with Server(path, "127.0.0.1:0", "127.0.0.1:0") as server:
        yield Client(server, path)


def test_protobuf_over_http_is_committed_when_answered(client: Client) -> None:
    """A 200 stands for spans that another reader sees at once; success leaves the answer empty."""
    assert client.post("/v1/traces", _traces("plain", 3).SerializeToString()) == (200, b"")
    assert client.count("plain") == 3


def test_json_over_http(client: Client) -> None:
    """JSON goes in with hex ids and comes back as JSON; the content type may name a charset."""
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "name": "GET /", "kind": 2,
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000, "unknownField": 1,
    }  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "json"}}]}
    body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})
    assert client.post("/v1/traces", body, JSON) == (200, b"{}")
    status, headers, _ = client.ask("POST", "/v1/traces", body, Content_Type=f"{JSON}; charset=utf-8")
    assert (status, headers["Content-Type"]) == (200, JSON)
    assert client.count("json") == 1


def test_gzip_and_chunks(client: Client) -> None:
    """Bodies may be compressed and may come in chunks without a length, as JavaScript's exporters send them."""
    body = _traces("zipped", 50).SerializeToString()
    packed = gzip.compress(body)
    pieces = [packed[:10], packed[10:300], packed[300:]]
    assert client.post("/v1/traces", packed, Content_Encoding="gzip")[0] == 200
    assert client.post("/v1/traces", iter(pieces), Content_Encoding="gzip")[0] == 200
    assert client.post("/v1/traces", body, Content_Encoding="identity")[0] == 200
    assert client.count("zipped") == 50


def test_grpc_takes_traces_logs_and_metrics(client: Client) -> None:
    """All three services answer; full success is an empty message, also to an empty request."""
    assert client.call("trace.v1.TraceService", _traces("grpc", 4).SerializeToString()) == b""
    packed = client.call(
        "trace.v1.TraceService", _traces("grpc", 4, 10).SerializeToString(), compression=grpc.Compression.Gzip
    )
    assert packed == b""
    assert client.call("trace.v1.TraceService", b"") == b""
    assert client.call("logs.v1.LogsService", ExportLogsServiceRequest().SerializeToString()) == b""
    assert client.call("metrics.v1.MetricsService", ExportMetricsServiceRequest().SerializeToString()) == b""
    assert client.count("grpc") == 8


def test_logs_over_http(client: Client) -> None:
    """Log records are kept, in both encodings."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1, event_name="started")
    record.body.string_value = "hello"
    before = client.metric("traceguard_log_records_committed_total")
    assert client.post("/v1/logs", request.SerializeToString()) == (200, b"")
    assert client.post("/v1/logs", "{}", JSON) == (200, b"{}")
    assert client.metric("traceguard_log_records_committed_total") == before + 1


def test_metrics_are_accepted_and_dropped_with_a_word(client: Client) -> None:
    """A metrics exporter is told how much was dropped and is not made to retry."""
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
    for answer in (
        client.post("/v1/metrics", request.SerializeToString())[1],
        client.call("metrics.v1.MetricsService", request.SerializeToString()),
    ):
        told = ExportMetricsServiceResponse.FromString(answer).partial_success
        assert (told.rejected_data_points, told.error_message != "") == (1, True)
    assert client.post("/v1/metrics", "{}", JSON) == (200, b"{}")


def test_spans_that_cannot_be_kept_are_told_apart(client: Client) -> None:
    """Bad spans are rejected by number and reason, good ones of the same request stay."""
    request = _traces("partly", 2)
    request.resource_spans[0].scope_spans[0].spans.add(trace_id=b"short", span_id=b"x", name="bad")
    for answer in (
        client.post("/v1/traces", request.SerializeToString())[1],
        client.call("trace.v1.TraceService", request.SerializeToString()),
    ):
        told = ExportTraceServiceResponse.FromString(answer).partial_success
        assert told.rejected_spans == 1
        assert told.error_message
    assert client.count("partly") == 2


@pytest.mark.parametrize("target", ["/v1/traces", "/v1/logs", "/v1/metrics"])
@pytest.mark.parametrize(("kind", "body"), [(PROTOBUF, b"\x0a\xff\xff"), (JSON, b"{"), (JSON, b"\xff\xfe")])
def test_malformed_bodies_are_final(client: Client, target: str, kind: str, body: bytes) -> None:
    """What does not parse is a 400 with a Status in the request's encoding, which clients do not retry."""
    status, content = client.post(target, body, kind)
    told = json.loads(content) if kind == JSON else Status.FromString(content)
    assert status == 400
    assert (told["code"] if kind == JSON else told.code) == 3
    assert told["message"] if kind == JSON else told.message


def test_malformed_over_grpc_is_invalid_argument(client: Client) -> None:
    """The same over gRPC, with the Status beside the code."""
    with pytest.raises(grpc.RpcError) as caught:
        client.call("trace.v1.TraceService", b"\x0a\xff\xff")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert Status.FromString(details).message == caught.value.details()


def test_unsupported_types_methods_and_paths(client: Client) -> None:
    """415, 405 and 404, each with a Status; 405 names what is allowed."""
    for kind in ("text/plain", ""):
        status, headers, content = client.ask("POST", "/v1/traces", b"x", Content_Type=kind)
        assert (status, headers["Content-Type"], json.loads(content)["code"]) == (415, JSON, 3)
    assert client.post("/v1/traces", b"x", Content_Encoding="br")[0] == 415
    status, headers, content = client.ask("GET", "/v1/traces")
    assert (status, "POST" in headers["Allow"]) == (405, True)
    assert json.loads(content)["message"]
    status, content = client.post("/v1/profiles", b"x")
    assert (status, Status.FromString(content).code) == (404, 5)


def test_oversize_is_final_in_both_protocols(client: Client) -> None:
    """Beyond 64 MiB, announced or decompressed, the answers are 413 and RESOURCE_EXHAUSTED, without a retry."""
    large = bytes(65 * MIB)
    assert client.ask("POST", "/v1/traces", b"", Content_Type=PROTOBUF, Content_Length=str(65 * MIB))[0] == 413
    status, content = client.post("/v1/traces", gzip.compress(large, 1), Content_Encoding="gzip")
    assert (status, Status.FromString(content).code) == (413, 8)
    with pytest.raises(grpc.RpcError) as caught:
        client.call("trace.v1.TraceService", large)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError) as caught:
        client.call("trace.v1.TraceService", large, compression=grpc.Compression.Gzip)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.metric("traceguard_pending_bytes") == 0


def test_a_flood_is_told_to_come_again(tmp_path: Path) -> None:
    """Without room the answers are 503 with Retry-After and UNAVAILABLE with RetryInfo; what fits is still taken."""
    large, small = (_traces("flood", n).SerializeToString() for n in (100, 1))
    path = tmp_path / "live.duckdb"
    with Server(path, "127.0.0.1:0", "127.0.0.1:0", pending_bytes=1000) as server:
        client = Client(server, path)
        status, headers, content = client.ask("POST", "/v1/traces", large, Content_Type=PROTOBUF)
        assert (status, headers["Retry-After"], Status.FromString(content).code) == (503, "1", 14)
        with pytest.raises(grpc.RpcError) as caught:
            client.call("trace.v1.TraceService", large)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        info = RetryInfo()
        told = Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
        assert told.details[0].Unpack(info)
        assert info.retry_delay.seconds == 1
        assert client.post("/v1/traces", small)[0] == 200
        assert client.metric('traceguard_requests_refused_total{reason="busy"}') == 2
        assert client.metric("traceguard_pending_bytes") == 0


def test_metrics_count_what_came_and_what_was_kept(client: Client) -> None:
    """Received, committed and refused spans add up."""
    names = ("traceguard_spans_received_total", "traceguard_spans_committed_total")
    before = [client.metric(name) for name in names]
    request = _traces("counted", 5)
    request.resource_spans[0].scope_spans[0].spans.add(trace_id=b"short", span_id=b"x", name="bad")
    client.post("/v1/traces", request.SerializeToString())
    received, committed = (client.metric(name) - was for name, was in zip(names, before, strict=True))
    assert (received, committed) == (6, 5)


def test_a_body_that_stops_amid_gives_its_room_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who announces more than arrives is asked to come again before others lack the room that it holds."""
    monkeypatch.setattr(otlp_http, "_SILENCE_SECONDS", 0.2)
    connection = http.client.HTTPConnection(client.server.http_address, timeout=30)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", PROTOBUF)
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"x" * 10)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Retry-After"], answer.headers["Connection"]) == (503, "1", "close")
    assert Status.FromString(answer.read()).code == 14
    assert client.metric("traceguard_pending_bytes") == 0


def test_an_answer_that_does_not_come_in_time_is_a_retry(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store cannot be written for long, exporters are asked to come again; the bytes are held until then."""
    monkeypatch.setattr(otlp_http, "ANSWER_SECONDS", 0.2)
    body = _traces("late", 2).SerializeToString()
    receiver = client.server._receiver
    assert receiver is not None
    store = receiver._decoder._committer._store
    with store._writer:
        status, headers, content = client.ask("POST", "/v1/traces", body, Content_Type=PROTOBUF)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert Status.FromString(content).code == 14
        assert client.metric("traceguard_pending_bytes") == len(body)
    deadline = time.monotonic() + 10
    while client.metric("traceguard_pending_bytes") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client.metric("traceguard_pending_bytes") == 0
    assert client.post("/v1/traces", body) == (200, b"")
    assert client.count("late") == 2


def test_a_refused_request_leaves_nothing_behind(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a refused request held goes with its answer, and does not wait until Python looks for cycles."""
    store = client.server._receiver._decoder._committer._store  # type: ignore[union-attr]

    def full(_batches: object) -> None:
        message = "the disk is full"
        raise StoreError(message)

    def alive() -> int:
        return sum(isinstance(kept, (Reservation, Export)) for kept in gc.get_objects())

    monkeypatch.setattr(type(store), "append", lambda _store, batches: full(batches))
    body = _traces("refused", 50).SerializeToString()
    gc.collect()
    gc.disable()
    try:
        assert client.post("/v1/traces", body[:-1])[0] == 400
        assert client.post("/v1/traces", b"no gzip", Content_Encoding="gzip")[0] == 400
        assert client.post("/v1/traces", body)[0] == 503
        for sent, code in ((body[:-1], "INVALID_ARGUMENT"), (body, "UNAVAILABLE")):
            with pytest.raises(grpc.RpcError) as told:
                client.call("trace.v1.TraceService", sent)
            assert told.value.code().name == code
        deadline = time.monotonic() + 5
        while alive() and time.monotonic() < deadline:
            time.sleep(0.05)  # the last thread is about to end its call
        assert alive() == 0
    finally:
        gc.enable()


def test_calls_without_a_message_keep_nobody_waiting(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that never send their message are cancelled, and meanwhile others are served or told to come again."""
    monkeypatch.setattr(calls, "MESSAGE_SECONDS", 1.0)
    monkeypatch.setattr(calls, "TURN_SECONDS", 0.2)
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait(30)
        yield from ()

    body = _traces("patient", 1).SerializeToString()
    with grpc.insecure_channel(client.server.grpc_address) as channel:
        silent = [channel.stream_unary(method).future(nothing()) for _ in range(40)]
        time.sleep(0.3)
        with pytest.raises(grpc.RpcError) as caught:
            client.call("trace.v1.TraceService", body)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        deadline = time.monotonic() + 20
        answer = None
        while answer is None and time.monotonic() < deadline:
            try:
                answer = client.call("trace.v1.TraceService", body)
            except grpc.RpcError:
                time.sleep(0.1)
        assert answer == b""
        over.set()
        for call in silent:
            assert call.exception(timeout=30) is not None or call.result() == b""
    assert client.count("patient") == 1


def test_a_call_of_two_messages_is_malformed(client: Client) -> None:
    """An export is one message: a second one is refused with the first, since an OK would lose it."""
    body = _traces("twice", 1).SerializeToString()
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    with grpc.insecure_channel(client.server.grpc_address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(method)(iter([body, body]), timeout=30)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert client.count("twice") == 0


def test_a_client_that_goes_away_is_no_fault_of_ours(client: Client) -> None:
    """A call that ends before its message counts as slow, and not as a failure of the server."""
    slow, faults = (f'traceguard_requests_refused_total{{reason="{reason}"}}' for reason in ("slow", "internal"))
    before = client.metric(slow)
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait(30)
        yield from ()

    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    with grpc.insecure_channel(client.server.grpc_address) as channel:
        call = channel.stream_unary(method).future(nothing())
        time.sleep(0.5)
        call.cancel()
        over.set()
        deadline = time.monotonic() + 10
        while client.metric(slow) == before and time.monotonic() < deadline:
            time.sleep(0.02)
    assert client.metric(slow) == before + 1
    assert faults not in client.ask("GET", "/metrics")[2].decode()
