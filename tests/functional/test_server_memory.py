"""What a refused request may cost the server in memory, measured at a process of its own with the default limit."""

import gzip
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator

import grpc
import psutil
import pytest
import zstandard
from builders.live import JSON, PROTOBUF, Live
from builders.otlp import make_span, trace_request

MIB = 2**20
BODY = 64 * MIB

# The goal is 400 MiB; the figures of a quiet machine are at most 200.
BOUND = 400 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, psutil.Process]]:
    """`traceguard serve` after its first requests, which load what it needs."""
    path = tmp_path_factory.mktemp("memory") / "live.duckdb"
    command = [sys.executable, "-m", "traceguard", "serve", "--db", path]
    with subprocess.Popen(
        [*command, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stderr is not None
            told = (re.search(r"OTLP/gRPC on (\S+), OTLP/HTTP on (\S+)\.$", line) for line in running.stderr)
            addresses = next(found for found in told if found)
            live = Live(addresses[2], addresses[1], path)
            small = trace_request(make_span({"a": "b"})).SerializeToString()
            assert live.grpc("traces", small) == b""
            assert live.http("POST", "/v1/traces", b"{}", Content_Type=JSON).status == 200
            assert live.http("POST", "/v1/metrics", b"{}", Content_Type=JSON).status == 200
            for coding, pack in (("gzip", gzip.compress), ("zstd", zstandard.compress)):
                packed = pack(small)
                taken = live.http("POST", "/v1/traces", packed, Content_Type=PROTOBUF, Content_Encoding=coding)
                assert taken.status == 200
            yield live, psutil.Process(running.pid)
        finally:
            running.kill()


def _added(process: psutil.Process, send: Callable[[], None]) -> int:
    """The most memory in bytes that the process holds above what it held before, while `send` runs."""
    before = process.memory_info().rss
    peak = before
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.003):
            peak = max(peak, process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        send()
    finally:
        done.set()
        watching.join()
    return peak - before


def _zeros(packer: "zlib._Compress | zstandard.ZstdCompressionObj", size: int) -> bytes:
    step = bytes(16 * MIB)
    return b"".join(packer.compress(step) for _ in range(size // len(step))) + packer.flush()


def _cut_off() -> bytes:
    """64 MiB of good spans, but for the last byte."""
    request = trace_request(make_span({f"key.{number}": "some text of a value" for number in range(8)}))
    scope = request.resource_spans[0].scope_spans[0]
    scope.spans.extend([scope.spans[0]] * (BODY // (scope.spans[0].ByteSize() + 4)))
    return request.SerializeToString()[:-1]


def _open_list_of_spans() -> bytes:
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * (BODY // 3 - 20)


BODIES: dict[str, tuple[int, str, str, Callable[[], bytes]]] = {
    "oversize": (413, PROTOBUF, "identity", lambda: bytes(BODY + MIB)),
    "gzip-bomb": (413, PROTOBUF, "gzip", lambda: _zeros(zlib.compressobj(9, wbits=31), 1024 * MIB)),
    "zstd-bomb": (413, JSON, "zstd", lambda: _zeros(zstandard.ZstdCompressor(19).compressobj(), 1024 * MIB)),
    "snappy-lie": (400, PROTOBUF, "snappy", lambda: b"\xff\xff\xff\x1f" + bytes(BODY - 4)),
    "zeros": (400, PROTOBUF, "identity", lambda: bytes(BODY)),
    "cut-off": (400, PROTOBUF, "identity", _cut_off),
    "cut-off-in-gzip": (400, PROTOBUF, "gzip", lambda: gzip.compress(_cut_off(), 1)),
    "empty-spans": (400, JSON, "identity", _open_list_of_spans),
    "empty-metrics": (400, JSON, "identity", lambda: b'{"resourceMetrics":[' + b"{}," * (BODY // 3 - 20)),
    "open-arrays": (400, JSON, "identity", lambda: b"[" * BODY),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_refused_body_over_http_costs_little(server: tuple[Live, psutil.Process], name: str) -> None:
    """Whatever makes up the largest body that is read, its refusal adds less than 400 MiB."""
    live, process = server
    status, kind, coding, make = BODIES[name]
    body = make()

    def send() -> None:
        signal = "metrics" if "metrics" in name else "traces"
        answer = live.http("POST", f"/v1/{signal}", body, Content_Type=kind, Content_Encoding=coding)
        assert answer.status == status

    assert _added(process, send) < BOUND


def test_a_refused_message_over_grpc_costs_little(server: tuple[Live, psutil.Process]) -> None:
    """The same for a message that is too large, one that is cut off, and a bomb of 1 GiB."""
    live, process = server
    large, cut_off = bytes(BODY + MIB), _cut_off()
    bomb = _zeros(zlib.compressobj(9, wbits=31), 1024 * MIB)

    def send(message: bytes, code: grpc.StatusCode) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            live.grpc("traces", message)
        assert caught.value.code() == code

    assert _added(process, lambda: send(large, grpc.StatusCode.RESOURCE_EXHAUSTED)) < BOUND
    assert _added(process, lambda: send(cut_off, grpc.StatusCode.INVALID_ARGUMENT)) < BOUND
    codes: list[int] = []
    assert _added(process, lambda: codes.append(live.frames("traces", bomb, "gzip")[0])) < BOUND
    assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]]


def test_the_server_holds_nothing_of_what_it_refused(server: tuple[Live, psutil.Process]) -> None:
    """After all of it no bytes are reserved, and small requests are still taken."""
    live, _ = server
    assert live.metric("traceguard_pending_bytes") == 0
    assert live.http("POST", "/v1/traces", b"{}", Content_Type=JSON).status == 200
