"""How fast a server acknowledges spans, beside DuckDB inserting the very same rows.

    python benchmarks/ingest.py [--spans 400000] [--only http,grpc]

Bodies hold 512 spans of about 360 bytes with 8 attributes, under a resource of 7 attributes; 30 of 100 spans carry a
flag event. They are sent by other processes, each body once, on several connections; every answer is awaited. The
yardstick stands in the same run, since machines are shared and differ: DuckDB inserts the same rows from ready Arrow
tables, 20,000 spans and their flag rows a commit, ids as hex text, attributes as MAP(VARCHAR, VARCHAR), default
threads, checkpoints deferred; the best of three. The floor is what one would write first: protobuf objects, a Python
row a span.
"""

import argparse
import http.client
import json
import multiprocessing as mp
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import duckdb
import grpc
import numpy as np
import psutil
import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.otlp import decode
from traceguard.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPANS_A_BODY = 512
TINY = 10
COMMIT = 20_000
PROCESSES, CONNECTIONS = 2, 8
_LISTENING = re.compile(r"OTLP/gRPC on (\S+), OTLP/HTTP on (\S+)\.")
_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_OPERATIONS = [f"GET /v1/carts/{{id}}/items/{number}" for number in range(12)]


# --- the load ---


def body(spans: int, resources: int, seed: int) -> ExportTraceServiceRequest:
    """One request of `spans` spans, dealt to `resources` resources of 7 attributes each."""
    chance = random.Random(seed)
    request = ExportTraceServiceRequest()
    scopes = []
    for number in range(resources):
        container = request.resource_spans.add()
        service = f"service-{(seed + number) % 40}"
        for key, value in {
            "service.name": service, "service.version": f"1.{seed % 3}.0", "service.namespace": "shop",
            "service.instance.id": f"{service}-7c9f8d-{seed % 4}", "deployment.environment.name": "production",
            "telemetry.sdk.language": "go", "k8s.pod.name": f"{service}-7c9f8d-{seed % 4}-x2v",
        }.items():  # fmt: skip
            container.resource.attributes.add(key=key).value.string_value = value
        scopes.append(container.scope_spans.add())
        scopes[-1].scope.name = "go.opentelemetry.io/contrib/net/http/otelhttp"
    now = time.time_ns()
    for number in range(spans):
        begin = now + number * 1000
        span = scopes[number % resources].spans.add(
            trace_id=chance.randbytes(16), span_id=chance.randbytes(8), parent_span_id=chance.randbytes(8),
            name=chance.choice(_OPERATIONS), kind=chance.choice((1, 2, 3)),
            start_time_unix_nano=begin, end_time_unix_nano=begin + chance.randrange(10**8),
        )  # fmt: skip
        for key, value in {
            "http.request.method": "GET", "url.path": f"/v1/carts/{chance.randrange(10**6)}",
            "server.address": "cart.shop.svc", "user_agent.original": "Mozilla/5.0",
            "session.id": f"s-{chance.randrange(10**5)}", "network.protocol.version": "1.1",
        }.items():  # fmt: skip
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="http.response.status_code").value.int_value = 200
        span.attributes.add(key="server.port").value.int_value = 8080
        if chance.random() < 0.3:
            event = span.events.add(name="feature_flag.evaluation", time_unix_nano=begin)
            for key, value in (("feature_flag.key", "new-cart"), ("feature_flag.result.variant", "on")):
                event.attributes.add(key=key).value.string_value = value
    return request


def bodies(total: int, spans: int, resources: int) -> list[bytes]:
    """Bodies of `spans` spans, `total` in all, no id twice: a few are built, the others are these with new ids."""
    patterns = []
    for seed in range(min(24, total // spans)):
        request = body(spans, resources, seed)
        ids = [
            value
            for container in request.resource_spans
            for scope in container.scope_spans
            for span in scope.spans
            for value in (span.trace_id, span.span_id)
        ]
        wire = request.SerializeToString()
        places = np.concatenate([wire.index(value) + np.arange(len(value)) for value in ids])
        patterns.append((np.frombuffer(wire, np.uint8), places))
    chance = np.random.default_rng(1)
    made = []
    for number in range(total // spans):
        wire, places = patterns[number % len(patterns)]
        fresh = wire.copy()
        fresh[places] = chance.integers(1, 256, places.size, np.uint8)
        made.append(fresh.tobytes())
    return made


@dataclass(frozen=True, slots=True)
class Sent:
    """What one sender saw: seconds from sending to the answer, a request each, and what was not acknowledged."""

    waits: list[float]
    refused: int


def _http(address: str, share: list[bytes], kind: str) -> Sent:
    waits, refused = [], 0
    connection = http.client.HTTPConnection(address, timeout=60)
    for wire in share:
        begin = time.perf_counter()
        connection.request("POST", "/v1/traces", wire, {"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        waits.append(time.perf_counter() - begin)
        refused += answer.status != 200
    connection.close()
    return Sent(waits, refused)


def _grpc(address: str, share: list[bytes], _kind: str) -> Sent:
    waits, refused = [], 0
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        call = channel.unary_unary(_METHOD)
        for wire in share:
            begin = time.perf_counter()
            try:
                call(wire, timeout=60)
            except grpc.RpcError:
                refused += 1
            waits.append(time.perf_counter() - begin)
    return Sent(waits, refused)


def _sender(way: str, address: str, shares: list[list[bytes]], kind: str, gate: Any, pipe: Any) -> None:
    """A process: one thread and one connection a share, all starting when the gate opens."""
    send = {"http": _http, "grpc": _grpc}[way]
    results: list[Sent] = []
    threads = [
        threading.Thread(target=lambda share=share: results.append(send(address, share, kind)))  # type: ignore[misc]
        for share in shares
    ]
    gate.wait()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(results)
    pipe.close()


def send(way: str, address: str, wires: list[bytes], kind: str, connections: int) -> tuple[float, list[Sent]]:
    """All bodies from `PROCESSES` other processes; seconds from the first to the last answer, and what they saw."""
    context = mp.get_context("spawn")
    gate = context.Barrier(PROCESSES + 1)
    running = []
    for number in range(PROCESSES):
        shares = [wires[number * connections + each :: PROCESSES * connections] for each in range(connections)]
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_sender, args=(way, address, shares, kind, gate, there))
        process.start()
        running.append((process, here))
    gate.wait()
    begin = time.perf_counter()
    results = [sent for _, pipe in running for sent in pipe.recv()]
    seconds = time.perf_counter() - begin
    for process, _ in running:
        process.join()
    return seconds, results


# --- the server ---


class Served:
    """A server process over a new store, its CPU time and peak memory."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "live.duckdb"
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "traceguard", "serve", "--db", self.path,
                "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
            ],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        told: IO[str] = self._process.stderr  # type: ignore[assignment]
        self.grpc, self.http = next(found.groups() for line in told if (found := _LISTENING.search(line)))
        threading.Thread(target=told.read, daemon=True).start()
        self._about = psutil.Process(self._process.pid)

    def cpu(self) -> float:
        """CPU seconds so far, of all threads."""
        times = self._about.cpu_times()
        return float(times.user + times.system)

    def peak(self) -> float:
        """The most memory it held so far, in MiB."""
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.exists():  # not Linux
            return float(self._about.memory_info().rss) / 2**20
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def get(self, target: str) -> Any:
        """A GET as JSON."""
        connection = http.client.HTTPConnection(self.http, timeout=120)
        connection.request("GET", target)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content)
        return json.loads(content)

    def spans(self) -> int:
        """The distinct spans that a reader sees."""
        return sum(int(row["spans"]) for row in self.get("/api/query/services"))

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._process.terminate()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    rate: float
    cpu: float
    waits: list[float]
    refused: int
    queryable: float
    peak: float
    disk: float


def received(name: str, way: str, wires: list[bytes], spans: int, **more: Any) -> Row:
    """Send bodies of `spans` spans each to a new server."""
    kind = more.get("kind", "application/x-protobuf")
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder))
        try:
            before = served.cpu()
            address = served.http if way == "http" else served.grpc
            seconds, sent = send(way, address, wires, kind, more.get("connections", CONNECTIONS))
            cpu = served.cpu() - before
            acknowledged = spans * (len(wires) - sum(each.refused for each in sent))
            begin = time.perf_counter()
            while (seen := served.spans()) < acknowledged:
                time.sleep(0.01)
            queryable = time.perf_counter() - begin
            if seen != acknowledged:
                raise RuntimeError(f"{seen:,} spans are there, {acknowledged:,} were acknowledged")
            waits = sorted(wait for each in sent for wait in each.waits)
            refused = sum(each.refused for each in sent)
            peak = served.peak()
        finally:
            served.stop()
        disk = served.path.stat().st_size / acknowledged
        return Row(name, acknowledged / seconds, cpu / acknowledged * 1e6, waits, refused, queryable, peak, disk)


def best(name: str, way: str, wires: list[bytes], spans: int) -> Row:
    """The best of three, as with the yardstick: what the code can do when others leave the machine alone."""
    return max((received(name, way, wires, spans) for _ in range(3)), key=lambda row: row.rate)


def during_report(name: str, wires: list[bytes], spans: int) -> Row:
    """The same over HTTP while reports on the same store run one after another, none of them idle."""
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder))
        try:
            half = len(wires) // 2
            send("http", served.http, wires[:half], "application/x-protobuf", CONNECTIONS)
            served.get("/api/report")
            over, reports = threading.Event(), []

            def reader() -> None:
                while not over.is_set():
                    begin = time.perf_counter()
                    served.get("/api/report")
                    reports.append(time.perf_counter() - begin)

            thread = threading.Thread(target=reader)
            thread.start()
            before = served.cpu()
            seconds, sent = send("http", served.http, wires[half:], "application/x-protobuf", CONNECTIONS)
            cpu = served.cpu() - before
            over.set()
            thread.join()
            waits = sorted(wait for each in sent for wait in each.waits)
            refused = sum(each.refused for each in sent)
            total = spans * (len(wires) - half - refused)
            label = f"{name} ({len(reports)} reports of {np.mean(reports):.1f} s)"
            peak = served.peak()
        finally:
            served.stop()
        disk = served.path.stat().st_size / (total + spans * half)
        return Row(label, total / seconds, cpu / total * 1e6, waits, refused, 0.0, peak, disk)


# --- what it is measured by ---


def tables(wires: list[bytes]) -> tuple[pa.Table, pa.Table]:
    """All rows as ready Arrow tables, attributes as MAP(VARCHAR, VARCHAR)."""
    decoded = [decode(wire, encoding="protobuf", signal="traces", settings=Settings()) for wire in wires]
    spans = pa.concat_tables([batch.spans for batch in decoded]).unify_dictionaries()
    flags = pa.concat_tables([batch.flag_records for batch in decoded]).combine_chunks()
    maps = pa.map_(pa.string(), pa.string())
    parsed: Iterator[dict[str, Any]] = (json.loads(text) for text in spans["attributes"].to_pylist())
    attributes = pa.array([[(key, str(value)) for key, value in each.items()] for each in parsed], maps)
    spans = spans.set_column(spans.schema.get_field_index("attributes"), "attributes", attributes)
    return spans.combine_chunks(), flags


def yardstick(spans: pa.Table, flags: pa.Table) -> float:
    """Spans/s of DuckDB itself, into a new file."""
    share = flags.num_rows * COMMIT // spans.num_rows + 1
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/yardstick.duckdb") as connection:
        connection.execute("SET checkpoint_threshold = '16GB'")
        for name, table in (("spans", spans), ("flag_records", flags)):
            connection.register("example", table.slice(0, 0))
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM example")  # noqa: S608  (names of this function)
        begin = time.perf_counter()
        for number in range(-(-spans.num_rows // COMMIT)):
            connection.execute("BEGIN")
            connection.register("example", spans.slice(number * COMMIT, COMMIT))
            connection.execute("INSERT INTO spans SELECT * FROM example")
            connection.register("example", flags.slice(number * share, share))
            connection.execute("INSERT INTO flag_records SELECT * FROM example")
            connection.execute("COMMIT")
        return float(spans.num_rows / (time.perf_counter() - begin))


def _text(value: Any) -> str:
    return str(getattr(value, value.WhichOneof("value")))


def python_rows(wires: list[bytes]) -> float:
    """Spans/s of what one would write first: protobuf objects, a Python dict a span, one Arrow table a body."""
    spans = 0
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/rows.duckdb") as connection:
        connection.execute("SET checkpoint_threshold = '16GB'")
        begin = time.perf_counter()
        for wire in wires:
            rows, flags = [], []
            for container in ExportTraceServiceRequest.FromString(wire).resource_spans:
                resource_ = {pair.key: _text(pair.value) for pair in container.resource.attributes}
                for scope in container.scope_spans:
                    for span in scope.spans:
                        trace, own = span.trace_id.hex(), span.span_id.hex()
                        rows.append({
                            "trace_id": trace, "span_id": own, "parent_span_id": span.parent_span_id.hex(),
                            "service": resource_["service.name"], "version": resource_["service.version"],
                            "operation": span.name, "kind": span.kind, "start_ns": span.start_time_unix_nano,
                            "dur_ns": span.end_time_unix_nano - span.start_time_unix_nano, "status": span.status.code,
                            "attributes": json.dumps({pair.key: _text(pair.value) for pair in span.attributes}),
                        })  # fmt: skip
                        for event in span.events:
                            of = {pair.key: _text(pair.value) for pair in event.attributes}
                            flags.append({"trace_id": trace, "span_id": own, **of})
            spans += len(rows)
            connection.execute("BEGIN")
            for name, table in (("spans", pa.Table.from_pylist(rows)), ("flags", pa.Table.from_pylist(flags))):
                connection.register("example", table)
                connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM example LIMIT 0")  # noqa: S608
                connection.execute(f"INSERT INTO {name} SELECT * FROM example")  # noqa: S608
            connection.execute("COMMIT")
        return spans / (time.perf_counter() - begin)


def print_row(row: Row, standard: float) -> None:
    """One line of the table."""
    p50, p99 = (1000 * row.waits[int(share * (len(row.waits) - 1))] for share in (0.5, 0.99))
    print(
        f"{row.name:<46} {row.rate:>9,.0f} {row.rate / standard:>6.2f} {p50:>8.0f} {p99:>8.0f} {row.queryable:>7.2f}"
        f" {row.cpu:>6.1f} {row.peak:>6.0f} {row.disk:>7.0f} {row.refused:>7}",
        flush=True,
    )


def main() -> None:
    """Print the yardsticks, then a row a way in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", help="not used; every benchmark gets it")
    parser.add_argument("--spans", type=int, default=400_000)
    parser.add_argument("--only", default="", help="rows whose name contains one of these words, comma-separated")
    given = parser.parse_args()
    full = bodies(given.spans, SPANS_A_BODY, 1)
    tiny = bodies(given.spans // 10, TINY, TINY)
    size = sum(map(len, full)) / (len(full) * SPANS_A_BODY)
    print(
        f"{len(full) * SPANS_A_BODY:,} spans of {size:.0f} bytes, {PROCESSES} x {CONNECTIONS} connections,"
        f" {os.cpu_count()} CPUs"
    )
    ready = tables(full)
    standard = max(yardstick(*ready) for _ in range(3))
    del ready
    floor = python_rows(full[: max(1, len(full) // 8)])
    print(f"yardstick, DuckDB with MAP attributes, 20,000 a commit: {standard:,.0f} spans/s")
    print(f"protobuf objects plus Python rows, in one process:      {floor:,.0f} spans/s")
    print(
        f"{'':<46} {'spans/s':>9} {'ratio':>6} {'p50 ms':>8} {'p99 ms':>8} {'seen s':>7} {'CPU µs':>6} {'MiB':>6}"
        f" {'B/span':>7} {'refused':>7}"
    )
    rows: list[tuple[str, Callable[[str], Row]]] = [
        ("HTTP, 512 spans a request", lambda name: best(name, "http", full, SPANS_A_BODY)),
        ("gRPC, 512 spans a request", lambda name: best(name, "grpc", full, SPANS_A_BODY)),
        ("HTTP, 10 spans a request, each its resource", lambda name: received(name, "http", tiny, TINY)),
        ("gRPC, 10 spans a request, each its resource", lambda name: received(name, "grpc", tiny, TINY)),
        ("HTTP during reports", lambda name: during_report(name, full, SPANS_A_BODY)),
        (
            "HTTP, four times as long",
            lambda name: received(name, "http", bodies(4 * given.spans, SPANS_A_BODY, 1), SPANS_A_BODY),
        ),
    ]
    words = [word for word in given.only.split(",") if word]
    rates = {}
    for name, run in rows:
        if not words or any(word.lower() in name.lower() for word in words):
            row = run(name)
            rates[name] = row.rate
            print_row(row, standard)
    print(
        "ratio: of the yardstick; seen: until a query sees all; CPU: of the server, a span; MiB: its peak memory;"
        " B/span: on disk after it stopped"
    )
    for name, rate in rates.items():
        if "512" in name:
            print(f"{name}: {rate / standard:.2f} of the yardstick, {rate / floor:.1f} times protobuf objects")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    main()
