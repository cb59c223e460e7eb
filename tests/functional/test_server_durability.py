"""Acknowledged means committed: the server as a process that is killed, stopped, starved and started twice."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.store import open_store

resource = pytest.importorskip("resource", reason="limits of a process are a matter of Unix")
if not hasattr(resource, "prlimit"):
    pytest.skip("limits of another process are a matter of Linux", allow_module_level=True)

from builders.ordeal import EXPORT, HEADERS, START_SECONDS, Ordeal, Serving  # noqa: E402  (needs those limits)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Serving]]:
    """Starts servers over one store, and ends those that still run."""
    started: list[Serving] = []

    def begin() -> Serving:
        started.append(Serving(tmp_path / "live.duckdb"))
        return started[-1]

    yield begin
    for process in started:
        process.end()


def _body(number: int, padding: int = 0) -> bytes:
    """A request of 20 spans."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n in range(20):
        span = scope.spans.add(
            trace_id=(1 + number).to_bytes(16), span_id=(1 + n).to_bytes(8), name="work", start_time_unix_nano=1,
            end_time_unix_nano=2,
        )  # fmt: skip
        if padding:
            span.attributes.add(key="padding").value.string_value = os.urandom(padding // 2).hex()
    return request.SerializeToString()


def _kept(path: Path) -> dict[int, int]:
    """The spans of each request in a store."""
    with open_store(path) as store, store.cursor() as cursor:
        rows = cursor.execute("SELECT trace_id, count(*) FROM distinct_spans GROUP BY trace_id").fetchall()
    return {int(trace, 16) - 1: spans for trace, spans in rows}


def test_what_was_acknowledged_is_there_exactly_once(tmp_path: Path) -> None:
    """Killed, stopped and starved of disk amid work from six connections; clients repeat as real ones do."""
    ordeal = Ordeal(tmp_path / "live.duckdb", 1)
    try:
        befell = [ordeal.round() for _ in range(5)]
    finally:
        ordeal.finish()
    count = ordeal.count()
    assert count.wrong == (), befell
    assert count.acknowledged > 100, befell


def test_every_acknowledged_span_survives_kill_9(tmp_path: Path) -> None:
    """Killed twice without a clean end in between, the store opens with all that was acknowledged, whole."""
    ordeal = Ordeal(tmp_path / "live.duckdb", 1)
    try:
        for _ in range(2):
            ordeal.begin()
            ordeal.work(0.5)
            ordeal.kill()
    finally:
        ordeal.finish()
    count = ordeal.count()
    assert count.wrong == ()
    assert count.spans > 1000


def test_sigterm_finishes_what_was_taken_and_exits_cleanly(tmp_path: Path) -> None:
    """A stop amid work answers what runs, exits with 0, and leaves one whole file behind."""
    ordeal = Ordeal(tmp_path / "live.duckdb", 1)
    try:
        server = ordeal.begin()
        assert server.ask("/readyz") == server.ask("/healthz") == 200
        ordeal.work(0.5)
        ordeal.stop()
    finally:
        ordeal.finish()
    told = "".join(server.said)
    assert "everything that was acknowledged is in" in told
    assert "Traceback" not in told
    assert [file.name for file in tmp_path.iterdir()] == ["live.duckdb"]
    assert ordeal.count().wrong == ()


def test_a_second_process_on_the_same_store_is_refused(start: Callable[[], Serving]) -> None:
    """Whoever opens a live store from another process is told who holds it and how to ask it."""
    process = start()
    for command in (["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"], ["query", "services"]):
        ran = subprocess.run(
            [sys.executable, "-m", "traceguard", *command, "--db", process.path],
            capture_output=True, text=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip
        assert ran.returncode == 2
        assert f"held by another process (PID {process.pid})" in ran.stderr
        assert ran.stdout == ""
        assert len(ran.stderr.strip().splitlines()) == 1


def test_a_full_disk_is_a_retry_and_passes(start: Callable[[], Serving]) -> None:
    """Where commits fail the answer is 503 and the server is not ready; with room again both recover."""
    process = start()
    connection = HTTPConnection(process.http, timeout=30)

    def post(number: int, padding: int = 0) -> tuple[int, str | None]:
        connection.request("POST", "/v1/traces", _body(number, padding), HEADERS)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Retry-After"]

    assert post(0) == (200, None)
    process.limit_files(300_000)
    assert post(1, padding=100_000) == (503, "5")
    assert process.ask("/readyz") == 503
    assert process.ask("/healthz") == 200
    with grpc.insecure_channel(process.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(EXPORT)(_body(2, 100_000), timeout=30)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    process.limit_files(None)
    assert post(3, padding=100_000) == (200, None)
    assert process.ask("/readyz") == 200
    process.end()
    assert _kept(process.path) == {0: 20, 3: 20}
