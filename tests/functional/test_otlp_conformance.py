"""The duties of an OTLP 1.11 receiver, each one a test against a live server.

| duty | test |
|---|---|
| three signals over gRPC, HTTP with protobuf, HTTP with JSON | `test_full_success_...`, `test_an_empty_request_...` |
| success means committed | `test_success_means_committed` |
| the answer has the request's content type | `test_the_answer_has_the_requests_content_type` |
| some bad: success with counts and a sentence | `test_partial_success_...` |
| metrics: taken and dropped, said so | `test_metrics_are_dropped_...` |
| malformed: 400, INVALID_ARGUMENT, final | `test_malformed_...`, `test_a_body_cut_off_anywhere_...` |
| every error is a google.rpc.Status | `test_every_http_error_is_a_status` and all below |
| 415, 405, 404, UNIMPLEMENTED | `test_other_...`, `test_unknown_...` |
| none and gzip; what the Collector sends besides | `test_every_coding_...`, `test_grpc_takes_...` |
| limits as sent and unpacked: 413, RESOURCE_EXHAUSTED | `test_the_limit_...`, `test_oversize_...`, `test_a_bomb_...` |
| no room: 503 with Retry-After, UNAVAILABLE with RetryInfo | `test_without_room_...` |
| HTTP as clients speak it | `test_chunks_...` and what follows it |
| JSON: ids, enums, numbers, unknown fields, byte-order mark | `test_json_...` |
| values of every type, broken text repaired | `test_values_...`, `test_invalid_utf8_...` |
| duplicates do not count twice | `test_a_retry_does_not_count_twice` |

That a failing disk is retryable and that nothing acknowledged is lost stands in `test_server_durability.py`.
"""

import base64
import gzip
import http.client
import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import grpc
import pyarrow as pa
import pytest
import zstandard
from builders.live import JSON, PROTOBUF, Answer, Live
from builders.otlp import START_NS, log_request, make_log, make_span, trace_request
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from traceguard.server import Server
from traceguard.settings import Settings

MIB = 2**20
WAYS = ("grpc", "protobuf", "json")
SIGNALS = {
    "traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "logs": (ExportLogsServiceRequest, ExportLogsServiceResponse),
    "metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}
KINDS = {"protobuf": PROTOBUF, "json": JSON}
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "none": bytes,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "zstd": zstandard.compress,
    "deflate": zlib.compress,
    "zlib": zlib.compress,
    "lz4": lambda body: pa.compress(body, codec="lz4", asbytes=True),
    "snappy": lambda body: pa.compress(body, codec="snappy", asbytes=True),
}

every_way = pytest.mark.parametrize("way", WAYS)
every_signal = pytest.mark.parametrize("signal", SIGNALS)
both_kinds = pytest.mark.parametrize("kind", [PROTOBUF, JSON])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose bodies may have 1 MiB, for all tests of this file."""
    path = tmp_path_factory.mktemp("conformance") / "live.duckdb"
    with Server(path, "127.0.0.1:0", "127.0.0.1:0", Settings(max_body="1MiB")) as server:
        yield Live.of(server, path)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server that has room for 100 bytes."""
    path = tmp_path_factory.mktemp("full") / "live.duckdb"
    with Server(path, "127.0.0.1:0", "127.0.0.1:0", pending_bytes=100) as server:
        yield Live.of(server, path)


def _spans(service: str, count: int = 1) -> ExportTraceServiceRequest:
    spans = (make_span(span_id=number.to_bytes(8)) for number in range(1, count + 1))
    return trace_request(*spans, resource={"service.name": service})


def _requests(signal: str) -> Message:
    if signal == "traces":
        return _spans("some")
    if signal == "logs":
        return log_request(make_log({"order": 7}))
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
    return request


def _in_json(message: Message) -> bytes:
    """OTLP's JSON: as protobuf's, but with ids in hexadecimal."""

    def hexadecimal(value: Any) -> Any:
        if isinstance(value, list):
            return [hexadecimal(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64decode(item).hex() if key in {"traceId", "spanId", "parentSpanId"} else hexadecimal(item)
            for key, item in value.items()
        }

    return json.dumps(hexadecimal(json_format.MessageToDict(message, use_integers_for_enums=True))).encode()


def _body(way: str, request: Message) -> bytes:
    return _in_json(request) if way == "json" else request.SerializeToString()


def _export(live: Live, way: str, signal: str, request: Message) -> Any:
    """The answer to an export that must succeed."""
    answer = SIGNALS[signal][1]()
    if way == "grpc":
        answer.ParseFromString(live.grpc(signal, request.SerializeToString()))
        return answer
    got = live.http("POST", f"/v1/{signal}", _body(way, request), Content_Type=KINDS[way])
    assert (got.status, got.headers["Content-Type"]) == (200, KINDS[way])
    return json_format.Parse(got.content, answer) if way == "json" else answer.FromString(got.content)


def _status(answer: Answer) -> Status:
    """The Status in an HTTP error."""
    if answer.headers["Content-Type"] == JSON:
        return json_format.Parse(answer.content, Status())
    assert answer.headers["Content-Type"] == PROTOBUF
    return Status.FromString(answer.content)


def _refusal(live: Live, way: str, signal: str, body: bytes, **headers: Any) -> tuple[Any, Status]:
    """The code (gRPC's or HTTP's) and the Status of an export that must be refused."""
    if way != "grpc":
        answer = live.http("POST", f"/v1/{signal}", body, Content_Type=KINDS[way], **headers)
        assert answer.headers["Content-Type"] == KINDS[way]
        return answer.status, _status(answer)
    with pytest.raises(grpc.RpcError) as caught:
        live.grpc(signal, body, **headers)
    told = dict(caught.value.trailing_metadata() or ()).get("grpc-status-details-bin")
    status = Status.FromString(told) if told else Status(code=caught.value.code().value[0])
    assert not told or (status.code, status.message) == (caught.value.code().value[0], caught.value.details())
    return caught.value.code(), status


# Answers.


@every_signal
@every_way
def test_an_empty_request_is_a_success(live: Live, way: str, signal: str) -> None:
    """A request without anything in it is answered as one with everything kept."""
    assert not _export(live, way, signal, SIGNALS[signal][0]()).HasField("partial_success")


@pytest.mark.parametrize("signal", ["traces", "logs"])
@every_way
def test_full_success_leaves_partial_success_unset(live: Live, way: str, signal: str) -> None:
    """A client that sees the field would log a warning."""
    assert not _export(live, way, signal, _requests(signal)).HasField("partial_success")


@every_way
def test_success_means_committed(live: Live, way: str) -> None:
    """Another process reads the spans as soon as the answer is there."""
    _export(live, way, "traces", _spans(f"committed-{way}", 3))
    found = live.rows("SELECT count(*) FROM distinct_spans WHERE service = ?", f"committed-{way}")
    assert found == [(3,)]


@every_way
def test_log_records_are_kept(live: Live, way: str) -> None:
    """Logs are taken as traces are."""
    request = log_request(make_log({"order": way}, event_name=f"taken.{way}"))
    _export(live, way, "logs", request)
    assert live.rows("SELECT count(*) FROM logs WHERE event_name = ?", f"taken.{way}") == [(1,)]


@pytest.mark.parametrize(
    "kind",
    [PROTOBUF, JSON, f"{JSON}; charset=utf-8", "Application/JSON", f"{PROTOBUF};x=y", f" {JSON} ; charset=UTF-8"],
)
def test_the_answer_has_the_requests_content_type(live: Live, kind: str) -> None:
    """Parameters and case of the content type do not matter, also in an error."""
    plain = JSON if "json" in kind.lower() else PROTOBUF
    empty, bad = (b"{}", b"{") if plain == JSON else (b"", b"\x0a")
    taken = live.http("POST", "/v1/traces", empty, Content_Type=kind)
    assert (taken.status, taken.headers["Content-Type"]) == (200, plain)
    refused = live.http("POST", "/v1/traces", bad, Content_Type=kind)
    assert (refused.status, refused.headers["Content-Type"]) == (400, plain)


BAD_SPANS = {
    "short-trace-id": {"trace_id": b"short"}, "long-trace-id": {"trace_id": b"x" * 17},
    "no-trace-id": {"trace_id": b""}, "zero-trace-id": {"trace_id": bytes(16)},
    "short-span-id": {"span_id": b"short"}, "long-span-id": {"span_id": b"x" * 9},
    "no-span-id": {"span_id": b""}, "zero-span-id": {"span_id": bytes(8)},
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD_SPANS)
@every_way
def test_partial_success_counts_the_bad_and_keeps_the_good(live: Live, way: str, bad: str) -> None:
    """Spans with wrong ids are told with number and reason, the rest of the request stays."""
    service = f"partly-{way}-{bad}"
    good, wrong = make_span(), make_span(**BAD_SPANS[bad])
    told = _export(live, way, "traces", trace_request(good, wrong, wrong, resource={"service.name": service}))
    assert told.partial_success.rejected_spans == 2
    assert ("trace_id" if "trace" in bad else "span_id") in told.partial_success.error_message
    assert live.rows("SELECT count(*) FROM spans WHERE service = ?", service) == [(1,)]


@every_way
def test_metrics_are_dropped_with_a_partial_success(live: Live, way: str) -> None:
    """A metrics exporter learns how many points are gone, and is not made to retry."""
    told = _export(live, way, "metrics", _requests("metrics")).partial_success
    assert (told.rejected_data_points, "metrics are dropped" in told.error_message) == (1, True)


# Errors that are final.


@every_signal
@pytest.mark.parametrize(
    ("way", "body"),
    [
        ("grpc", b"\x0a\xff\xff"), ("grpc", b"\xff"), ("protobuf", b"\x0a\xff\xff"), ("protobuf", b"{}"),
        ("json", b"{"), ("json", b""), ("json", b"[]"), ("json", b"\x0a\x00"),
        ("json", b'{"resourceSpans":7,"resourceLogs":7,"resourceMetrics":7}'),
    ],
)  # fmt: skip
def test_malformed_bodies_are_final(live: Live, way: str, signal: str, body: bytes) -> None:
    """What does not parse is 400 or INVALID_ARGUMENT, with a sentence and without a word of retrying."""
    code, status = _refusal(live, way, signal, body)
    assert code in {400, grpc.StatusCode.INVALID_ARGUMENT}
    assert (status.code, list(status.details)) == (3, [])
    assert status.message


@pytest.mark.parametrize("signal", ["traces", "logs"])
@both_kinds
def test_a_body_cut_off_anywhere_is_refused_whole(live: Live, signal: str, kind: str) -> None:
    """Each beginning of a request is malformed, but for protobuf's empty one; nothing of it is kept."""
    request = trace_request(
        make_span({"a": [1, "x"]}, events=[("e", {"k": True})]), resource={"service.name": "cut-off"}
    )
    if signal == "logs":
        request = log_request(make_log({"a": {"b": 1.5}}, event_name="cut-off"), resource={"service.name": "cut-off"})
    body = _in_json(request) if kind == JSON else request.SerializeToString()
    with closing(http.client.HTTPConnection(live.http_address, timeout=60)) as connection:
        for end in range(0 if kind == JSON else 1, len(body)):
            connection.request("POST", f"/v1/{signal}", body[:end], {"Content-Type": kind})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 400, body[:end]
    assert live.rows("SELECT count(*) FROM spans WHERE service = 'cut-off'") == [(0,)]
    assert live.rows("SELECT count(*) FROM logs WHERE event_name = 'cut-off'") == [(0,)]


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/grpc", "application/octet-stream", "application/jsonx"]
)
def test_other_content_types_are_415(live: Live, kind: str) -> None:
    """A type that OTLP does not know is refused in JSON, which people can read."""
    answer = live.http("POST", "/v1/traces", b"x", Content_Type=kind)
    assert (answer.status, _status(answer).code, answer.headers["Content-Type"]) == (415, 3, JSON)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@every_signal
def test_other_methods_are_405(live: Live, method: str, signal: str) -> None:
    """The answer names the method that is taken."""
    answer = live.http(method, f"/v1/{signal}")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert answer.content == b"" if method == "HEAD" else _status(answer).message


@pytest.mark.parametrize(
    "target", ["/v1/profiles", "/v1/traces/", "/v1", "/V1/TRACES", "/v1/traces/more", "/v2/traces"]
)
@both_kinds
def test_unknown_paths_are_404(live: Live, target: str, kind: str) -> None:
    """Also with a slash too many: exporters do not follow redirects."""
    answer = live.http("POST", target, b"", Content_Type=kind)
    assert (answer.status, _status(answer).code, answer.headers["Content-Type"]) == (404, 5, kind)


def test_unknown_methods_are_unimplemented_over_grpc(live: Live) -> None:
    """A service or method that OTLP does not have is gRPC's own refusal, which is final."""
    with grpc.insecure_channel(live.grpc_address) as channel:
        for method in ("profiles.v1development.ProfilesService/Export", "trace.v1.TraceService/Import"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/opentelemetry.proto.collector.{method}")(b"", timeout=60)
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip", "x-snappy-framed"])
@both_kinds
def test_other_codings_are_415_and_the_answer_offers_what_is_taken(live: Live, kind: str, coding: str) -> None:
    """`Accept-Encoding` in the answer says what to send instead."""
    answer = live.http("POST", "/v1/traces", b"x", Content_Type=kind, Content_Encoding=coding)
    assert (answer.status, _status(answer).code) == (415, 3)
    offered = answer.headers["Accept-Encoding"].split(", ")
    assert set(offered) == set(CODINGS) - {"none", "x-gzip"}


def test_other_codings_are_final_over_grpc(live: Live) -> None:
    """gRPC for Python knows gzip and deflate; it refuses zstd itself, with a code that no client retries."""
    code, sentence = live.frames("traces", zstandard.compress(_body("grpc", _spans("zstd"))), "zstd")
    assert code == grpc.StatusCode.INTERNAL.value[0]
    assert "grpc-encoding" in sentence


@pytest.mark.parametrize("coding", [name for name in CODINGS if CODINGS[name] is not bytes])
@both_kinds
def test_bodies_that_are_not_packed_as_they_say_are_malformed(live: Live, kind: str, coding: str) -> None:
    """A wrong Content-Encoding, or a body cut off, is the client's mistake and final."""
    packed = CODINGS[coding](_body("json" if kind == JSON else "protobuf", _spans("unpacked")))
    for body in (b"{}", b"", packed[:-1], packed + b"x"):
        answer = live.http("POST", "/v1/traces", body, Content_Type=kind, Content_Encoding=coding)
        assert (answer.status, _status(answer).code) == (400, 3)


# Codings.


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("way", ["protobuf", "json"])
def test_every_coding_of_the_collector_is_taken(live: Live, way: str, coding: str) -> None:
    """None and gzip are duties; zstd and the rest are what its exporters may be set to."""
    service = f"coded-{way}-{coding}"
    body = CODINGS[coding](_body(way, _spans(service, 5)))
    answer = live.http("POST", "/v1/traces", body, Content_Type=KINDS[way], Content_Encoding=coding)
    assert (answer.status, "Content-Encoding" in answer.headers) == (200, False)
    assert live.rows("SELECT count(*) FROM spans WHERE service = ?", service) == [(5,)]


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_grpc_takes_plain_gzip_and_deflate(live: Live, compression: grpc.Compression) -> None:
    """What gRPC for Python, C++ and Go can send is unpacked here."""
    service = f"grpc-{compression.name}"
    assert live.grpc("traces", _body("grpc", _spans(service, 5)), compression=compression) == b""
    assert live.rows("SELECT count(*) FROM spans WHERE service = ?", service) == [(5,)]


# Limits.


def _large(way: str, size: int) -> bytes:
    """A well-formed request of exactly so many bytes."""
    if way == "json":
        return b"{" + b" " * (size - 2) + b"}"
    request = _spans("large")
    request.resource_spans[0].schema_url = "x" * (size - len(request.SerializeToString()) - 9)
    request.resource_spans[0].schema_url += "x" * (size - len(request.SerializeToString()))
    assert len(request.SerializeToString()) == size
    return request.SerializeToString()


@every_way
def test_the_limit_is_exact(live: Live, way: str) -> None:
    """A body as large as the limit is taken, one more byte is not."""
    if way == "grpc":
        assert live.grpc("traces", _large(way, MIB)) == b""
    else:
        assert live.http("POST", "/v1/traces", _large(way, MIB), Content_Type=KINDS[way]).status == 200
    code, status = _refusal(live, way, "traces", _large(way, MIB + 1))
    assert code in {413, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert (status.code, list(status.details)) == (8, [])


@pytest.mark.parametrize("chunked", [False, True])
@both_kinds
def test_oversize_bodies_are_413_for_clients_that_write_before_they_read(live: Live, kind: str, chunked: bool) -> None:
    """The whole body is taken and thrown away, so that the client sees the answer and not a broken connection."""
    piece = bytes(MIB)
    with closing(http.client.HTTPConnection(live.http_address, timeout=60)) as connection:
        body = (piece for _ in range(40)) if chunked else piece * 40
        connection.request("POST", "/v1/traces", body, {"Content-Type": kind}, encode_chunked=chunked)
        answer = connection.getresponse()
        told = Answer(answer.status, answer.headers, answer.read())
    assert (told.status, told.headers["Connection"], _status(told).code) == (413, "close", 8)
    assert "larger than 1 MiB" in _status(told).message
    assert "Retry-After" not in told.headers


def test_an_announced_oversize_is_answered_before_the_body_is_sent(live: Live) -> None:
    """A client that reads while it writes, or waits for 100 Continue, is told at once."""
    head = f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: 99999999\r\n"
    for more in ("", "Expect: 100-continue\r\n"):
        assert live.raw(f"{head}{more}\r\n".encode(), b"}").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate", "lz4", "snappy"])
@both_kinds
def test_a_bomb_is_413(live: Live, kind: str, coding: str) -> None:
    """A small body that unpacks beyond the limit is refused as a large one; the connection may be used again."""
    bomb = CODINGS[coding](bytes(MIB + 1))
    answer = live.http("POST", "/v1/traces", bomb, Content_Type=kind, Content_Encoding=coding)
    assert (answer.status, _status(answer).code, answer.headers["Connection"]) == (413, 8, None)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_bomb_is_resource_exhausted_over_grpc(live: Live, coding: str, pack: Callable[[bytes], bytes]) -> None:
    """gRPC leaves unpacking to the receiver, which counts the bytes and says how many are taken."""
    code, sentence = live.frames("traces", pack(bytes(MIB + 1)), coding)
    assert (code, sentence) == (8, "The body is larger than 1 MiB; send smaller batches.")


def test_refused_bodies_leave_no_bytes_behind(live: Live) -> None:
    """Room that a refused request took is given back."""
    live.http("POST", "/v1/traces", gzip.compress(bytes(2 * MIB)), Content_Type=JSON, Content_Encoding="gzip")
    live.http("POST", "/v1/traces", b"{", Content_Type=JSON)
    assert live.metric("traceguard_pending_bytes") == 0


# Errors that are retryable.


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@every_way
def test_without_room_clients_are_told_to_come_again(full: Live, way: str, coding: str) -> None:
    """503 with Retry-After, UNAVAILABLE with RetryInfo; in HTTP's Status, too."""
    body = _body(way, _spans("full", 50))
    if way == "grpc":
        compression = grpc.Compression.Gzip if coding == "gzip" else grpc.Compression.NoCompression
        code, status = _refusal(full, way, "traces", body, compression=compression)
        assert code == grpc.StatusCode.UNAVAILABLE
    else:
        answer = full.http(
            "POST", "/v1/traces", CODINGS[coding](body), Content_Type=KINDS[way], Content_Encoding=coding
        )
        status = _status(answer)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    info = RetryInfo()
    assert status.code == 14
    assert status.details[0].Unpack(info)
    assert info.retry_delay.seconds == 1


@every_way
def test_what_fits_is_taken_while_others_wait(full: Live, way: str) -> None:
    """A server without room for large requests is not closed to small ones."""
    assert not _export(full, way, "traces", SIGNALS["traces"][0]()).HasField("partial_success")


# HTTP as clients speak it.


def test_every_http_error_is_a_status(live: Live, full: Live) -> None:
    """Whatever goes wrong with an export, its body is a google.rpc.Status in the request's encoding."""
    post = {"method": "POST", "target": "/v1/traces"}
    large = b"{" + b" " * 200 + b"}"
    for kind in (PROTOBUF, JSON):
        asked = [
            (live, 400, post | {"body": b"{" if kind == JSON else b"\x0a"}, {}),
            (live, 404, post | {"target": "/v1/none"}, {}),
            (live, 405, post | {"method": "PUT"}, {}),
            (live, 413, post | {"body": bytes(2 * MIB)}, {}),
            (live, 415, post | {"body": b""}, {"Content_Encoding": "br"}),
            (full, 503, post | {"body": large}, {}),
        ]
        for server, code, request, headers in asked:
            answer = server.http(**request, Content_Type=kind, **headers)
            assert (answer.status, answer.headers["Content-Type"]) == (code, kind)
            assert _status(answer).code
            assert _status(answer).message.endswith((".", "header."))


@both_kinds
def test_chunks_without_a_length_are_one_body(live: Live, kind: str) -> None:
    """JavaScript's exporters send their bodies in chunks, of any size."""
    service = f"chunks-{kind}"
    body = _body("json" if kind == JSON else "protobuf", _spans(service, 20))
    pieces = (body[at : at + 7] for at in range(0, len(body), 7))
    assert live.http("POST", "/v1/traces", pieces, Content_Type=kind).status == 200
    assert live.rows("SELECT count(*) FROM spans WHERE service = ?", service) == [(20,)]


def test_a_connection_is_kept_through_successes_and_errors(live: Live) -> None:
    """Exporters hold one connection; a refused body does not end it."""
    with closing(http.client.HTTPConnection(live.http_address, timeout=60)) as connection:
        sockets = []
        for body, kind, status in [(b"{}", JSON, 200), (b"{", JSON, 400), (b"x", "a/b", 415), (b"", PROTOBUF, 200)] * 3:
            connection.request("POST", "/v1/traces", body, {"Content-Type": kind})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
            sockets.append(connection.sock)
        assert None not in sockets
        assert len(set(sockets)) == 1


@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}])
def test_a_refusal_by_its_headers_reaches_clients_that_still_write(
    live: Live, size: int, headers: dict[str, str]
) -> None:
    """A 415 is decided before the body is there, which must not break the connection below the client."""
    answer = live.http("POST", "/v1/traces", bytes(size), Content_Type=JSON, Content_Encoding="br", **headers)
    assert answer.status == 415


def test_requests_may_follow_each_other_unanswered(live: Live) -> None:
    """Two pipelined requests get two answers in order."""
    one = f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: 2\r\n\r\n".encode()
    answers = live.raw(one + b"{}" + one + b"[]", b'"details": []}')
    assert [answers.count(f"HTTP/1.1 {status} ".encode()) for status in (200, 400)] == [1, 1]


def test_http_1_0_is_answered(live: Live) -> None:
    """Old proxies speak it; the connection ends with the answer."""
    answer = live.raw(
        f"POST /v1/traces HTTP/1.0\r\nContent-Type: {JSON}\r\nContent-Length: 2\r\n\r\n{{}}".encode(), b"never"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n{}")


def test_a_client_that_waits_for_100_continue_gets_it(live: Live) -> None:
    """curl asks before it sends a large body."""
    head = f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: 2\r\n"
    told = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert live.raw(f"{head}Expect: 100-continue\r\n\r\n".encode(), told) == told


def test_a_client_that_goes_away_amid_its_body_leaves_nothing(live: Live) -> None:
    """Half a body is no request, and its bytes are given back."""
    head = f"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: 500\r\n\r\n{{"
    host, port = live.http_address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode())
        _wait(lambda: live.metric("traceguard_pending_bytes") == 1)
    _wait(lambda: live.metric("traceguard_pending_bytes") == 0)


def _wait(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# JSON.


def _json_span(live: Live, service: str, **fields: Any) -> list[tuple[Any, ...]]:
    """What the store holds of one span that is sent as JSON with these members."""
    span = {
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "GET /", "kind": 2,
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000",
    } | fields  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})
    answer = live.http("POST", "/v1/traces", body, Content_Type=JSON)
    assert answer.status == 200
    return live.rows(
        "SELECT trace_id, span_id, parent_span_id, kind, status, start_ns, dur_ns FROM spans WHERE service = ?", service
    )


def test_json_ids_are_hexadecimal_in_any_case(live: Live) -> None:
    """Ids are not base64, as in protobuf's own JSON."""
    ids = {
        "traceId": "5B8EFFf798038103d269b633813fc60C",
        "spanId": "EEE19b7ec3c1b174",
        "parentSpanId": "EEE19B7EC3C1B173",
    }
    found = _json_span(live, "json-ids", **ids)
    assert found[0][:3] == tuple(text.lower() for text in ids.values())
    assert _json_span(live, "json-base64", traceId=base64.b64encode(bytes(range(16))).decode()) == []


@pytest.mark.parametrize("start", ["1544712660000000123", 1544712660000000123])
def test_json_64_bit_numbers_are_text_or_numbers(live: Live, start: Any) -> None:
    """Both are exact to the nanosecond."""
    found = _json_span(live, f"json-{type(start).__name__}", startTimeUnixNano=start)
    assert found[0][5:] == (1544712660000000123, 999999877)


def test_json_enums_are_numbers(live: Live) -> None:
    """Kind and status code come as integers; names, which OTLP does not have, are understood as well."""
    for kind, code in ((3, 2), ("SPAN_KIND_CLIENT", "STATUS_CODE_ERROR")):
        found = _json_span(live, f"json-enum-{kind}", kind=kind, status={"code": code})
        assert found[0][3:5] == ("client", "error")


def test_json_unknown_members_are_ignored(live: Live) -> None:
    """A newer client's fields do no harm, whatever is in them."""
    for number, unknown in enumerate([1, "x", None, True, [1, [2]], {"a": {"b": []}}]):
        assert _json_span(live, f"json-unknown-{number}", someNewField=unknown)[0][1] == "eee19b7ec3c1b174"


def test_json_may_begin_with_a_byte_order_mark(live: Live) -> None:
    """Some tools write one."""
    for signal in SIGNALS:
        assert live.http("POST", f"/v1/{signal}", b"\xef\xbb\xbf{}", Content_Type=JSON).status == 200


# What is inside.


@every_way
def test_values_of_every_type_arrive(live: Live, way: str) -> None:
    """Empty values, bytes, mixed arrays and nested lists are legible afterwards, integers exact."""
    values = {
        "text": "é", "yes": True, "int": 2**62 + 1, "float": 0.1, "bytes": b"\x00\xff", "empty": None,
        "array": [1, "x", [True, None]], "map": {"a": {"b": [1]}},
    }  # fmt: skip
    service = f"values-{way}"
    _export(live, way, "traces", trace_request(make_span(values), resource={"service.name": service}))
    columns = ", ".join(f"attr('{key}')" for key in values)
    found = live.rows(f"SELECT {columns} FROM spans WHERE service = ?", service)[0]  # noqa: S608  (our own keys)
    assert found[:4] == ("é", "true", str(2**62 + 1), "0.1")
    assert [json.loads(text) for text in found[6:]] == [[1, "x", [True, None]], {"a": {"b": [1]}}]


@every_way
def test_invalid_utf8_is_repaired_and_not_refused(live: Live, way: str) -> None:
    """Broken text becomes the replacement character; the spans around it stay."""
    service = f"broken-{way}"
    body = _body(way, trace_request(make_span(name="GET /@@"), resource={"service.name": service}))
    body = body.replace(b"GET /@@", b"GET /\xff\xfe")
    if way == "grpc":
        live.grpc("traces", body)
    else:
        assert live.http("POST", "/v1/traces", body, Content_Type=KINDS[way]).status == 200
    assert live.rows("SELECT operation FROM spans WHERE service = ?", service) == [("GET /\ufffd\ufffd",)]


@every_way
def test_an_end_before_its_start_is_kept_as_zero(live: Live, way: str) -> None:
    """Clocks go wrong; the span is still a call."""
    service = f"backwards-{way}"
    span = make_span(end_time_unix_nano=START_NS - 1)
    assert not _export(live, way, "traces", trace_request(span, resource={"service.name": service})).HasField(
        "partial_success"
    )
    assert live.rows("SELECT dur_ns FROM spans WHERE service = ?", service) == [(0,)]


def test_a_retry_does_not_count_twice(live: Live) -> None:
    """A client that lost the answer sends again, perhaps another way; every result counts the span once."""
    request = _spans("again", 4)
    for way in WAYS * 2:
        _export(live, way, "traces", request)
    assert live.rows("SELECT count(*) FROM distinct_spans WHERE service = 'again'") == [(4,)]
    nodes = json.loads(live.http("GET", "/api/graph").content)["nodes"]
    assert [node["spans"] for node in nodes if node["id"] == "again"] == [4]
