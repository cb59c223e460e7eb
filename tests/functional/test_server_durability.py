"""Acknowledged means committed: the server as a process that is killed, stopped, starved and started twice."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.store import open_store

resource = pytest.importorskip("resource", reason="limits of a process are a matter of Unix")

_HEADERS = {"Content-Type": "application/x-protobuf"}
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_START_SECONDS = 120


class Process:
    """`traceguard serve` in a process of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.running = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "traceguard",
                "serve",
                "--db",
                path,
                "--grpc",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.running.stderr is not None
        for line in self.running.stderr:
            if found := re.search(r"OTLP/gRPC on (\S+), OTLP/HTTP on (\S+)\.$", line):
                self.grpc, self.http = found.groups()
                return
        raise AssertionError(f"the server ended with {self.running.wait()}")

    def ask(self, target: str) -> int:
        """The status of a GET."""
        connection = HTTPConnection(self.http, timeout=10)
        connection.request("GET", target)
        status = connection.getresponse().status
        connection.close()
        return status


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts servers over one store, and ends those that still run."""
    started: list[Process] = []

    def begin() -> Process:
        started.append(Process(tmp_path / "live.duckdb"))
        return started[-1]

    yield begin
    for process in started:
        process.running.kill()
        process.running.communicate()


def _body(sender: int, number: int, spans: int = 20, padding: int = 0) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n in range(spans):
        span = scope.spans.add(
            trace_id=(1 + sender).to_bytes(8) + (1 + number).to_bytes(8), span_id=(1 + n).to_bytes(8), name="work",
            start_time_unix_nano=1, end_time_unix_nano=2,
        )  # fmt: skip
        if padding:
            span.attributes.add(key="padding").value.string_value = os.urandom(padding // 2).hex()
    return request.SerializeToString()


def _send(process: Process, sender: int, acknowledged: set[tuple[int, int]], stop: threading.Event) -> None:
    """Export as fast as the answers come, over HTTP or gRPC, until the server is gone; note what was acknowledged."""
    connection = HTTPConnection(process.http, timeout=10)
    with grpc.insecure_channel(process.grpc) as channel:
        call = channel.unary_unary(_EXPORT)
        for number in range(1_000_000):
            if stop.is_set():
                return
            try:
                if sender % 2:
                    call(_body(sender, number), timeout=10)
                else:
                    connection.request("POST", "/v1/traces", _body(sender, number), _HEADERS)
                    answer = connection.getresponse()
                    answer.read()
                    assert answer.status == 200
            except (grpc.RpcError, HTTPException, OSError):
                return
            acknowledged.add((sender, number))


def _kept(path: Path) -> dict[tuple[int, int], int]:
    with open_store(path) as store, store.cursor() as cursor:
        rows = cursor.execute("SELECT trace_id, count(*) FROM distinct_spans GROUP BY trace_id").fetchall()
    return {(int(trace[:16], 16) - 1, int(trace[16:], 16) - 1): spans for trace, spans in rows}


def _under_load(process: Process, senders: int, end: Callable[[], None]) -> set[tuple[int, int]]:
    """Run senders, call `end` amid their work, and give what was acknowledged."""
    acknowledged: set[tuple[int, int]] = set()
    stop = threading.Event()
    threads = [threading.Thread(target=_send, args=(process, n, acknowledged, stop)) for n in range(senders)]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + 60
        while len(acknowledged) < 100 and time.monotonic() < deadline:
            time.sleep(0.01)
        end()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return acknowledged


def test_every_acknowledged_span_survives_kill_9(start: Callable[[], Process]) -> None:
    """Killed amid work from several connections, twice, the store opens with all that was acknowledged, whole."""
    everything: set[tuple[int, int]] = set()
    for round_ in range(2):
        process = start()
        acknowledged = _under_load(process, 6, lambda process=process: process.running.send_signal(signal.SIGKILL))
        process.running.wait()
        assert len(acknowledged) >= 100, round_
        everything |= acknowledged
        kept = _kept(process.path)
        assert everything <= set(kept)
        assert set(kept.values()) == {20}


def test_sigterm_finishes_what_was_taken_and_exits_cleanly(start: Callable[[], Process]) -> None:
    """A stop answers what runs, exits with 0, and leaves one whole file behind."""
    process = start()
    assert process.ask("/readyz") == process.ask("/healthz") == 200
    acknowledged = _under_load(process, 4, lambda: process.running.send_signal(signal.SIGTERM))
    _, told = process.running.communicate(timeout=30)
    assert process.running.returncode == 0
    assert "everything that was acknowledged is in" in told
    assert "Traceback" not in told
    assert acknowledged <= set(_kept(process.path))
    assert [file.name for file in process.path.parent.iterdir()] == [process.path.name]


def test_a_second_process_on_the_same_store_is_refused(start: Callable[[], Process]) -> None:
    """Whoever opens a live store from another process is told who holds it and how to ask it."""
    process = start()
    for command in (["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"], ["query", "services"]):
        ran = subprocess.run(
            [sys.executable, "-m", "traceguard", *command, "--db", process.path],
            capture_output=True, text=True, timeout=_START_SECONDS, check=False,
        )  # fmt: skip
        assert ran.returncode == 2
        assert f"held by another process (PID {process.running.pid})" in ran.stderr
        assert ran.stdout == ""
        assert len(ran.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are a matter of Linux")
def test_a_full_disk_is_a_retry_and_passes(start: Callable[[], Process]) -> None:
    """Where commits fail the answer is 503 and the server is not ready; with room again both recover."""
    process = start()
    pid = process.running.pid
    connection = HTTPConnection(process.http, timeout=30)

    def post(number: int, padding: int = 0) -> tuple[int, str | None]:
        connection.request("POST", "/v1/traces", _body(0, number, padding=padding), _HEADERS)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Retry-After"]

    assert post(0) == (200, None)
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (300_000, hard))
    assert post(1, padding=100_000) == (503, "5")
    assert process.ask("/readyz") == 503
    assert process.ask("/healthz") == 200
    with grpc.insecure_channel(process.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(_EXPORT)(_body(0, 2, padding=100_000), timeout=30)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert post(3, padding=100_000) == (200, None)
    assert process.ask("/readyz") == 200
    process.running.send_signal(signal.SIGKILL)
    process.running.wait()
    assert _kept(process.path) == {(0, 0): 20, (0, 3): 20}
