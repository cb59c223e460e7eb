"""A server that is killed, starved of disk and started again amid exporters that never give up, and the count after it.

Each exporter sends one request after the other and repeats what was not acknowledged, as real ones do. So all it needs
to remember is how many were acknowledged: requests `0` to `acknowledged - 1` must be in the store, whole and once; the
next one may be there (its answer got lost) or not; more than that can never be.
"""

import gzip
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.store import open_store

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HEADERS = {"Content-Type": "application/x-protobuf"}
START_SECONDS = 120
_RETRYABLE = {429, 502, 503, 504}
_TRANSPORTS = ("http", "grpc", "gzip")


class Serving:
    """`traceguard serve` in a process of its own, with what it said last."""

    def __init__(self, path: Path, *options: str | Path, env: dict[str, str] | None = None) -> None:
        self.path = path
        begin = time.monotonic()
        addresses = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
        self.running = subprocess.Popen(
            [sys.executable, "-m", "traceguard", "serve", "--db", path, *addresses, *options],
            stderr=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        self.said: deque[str] = deque(maxlen=200)
        for line in self.running.stderr or ():
            self.said.append(line)
            if found := re.search(r"OTLP/gRPC on (\S+), OTLP/HTTP on (\S+)\.$", line):
                self.grpc, self.http = found.groups()
                break
        else:
            raise AssertionError(f"the server ended with {self.running.wait()}: {''.join(self.said)}")
        self.start_seconds = time.monotonic() - begin
        self._listening = threading.Thread(target=lambda: self.said.extend(self.running.stderr or ()), daemon=True)
        self._listening.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.running.pid

    def ask(self, target: str) -> int:
        """The status of a GET."""
        connection = HTTPConnection(self.http, timeout=10)
        connection.request("GET", target)
        status = connection.getresponse().status
        connection.close()
        return status

    @property
    def peak_bytes(self) -> int:
        """The most memory that it has held so far."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])

    def limit_files(self, size: int | None) -> None:
        """Let every write beyond `size` bytes of a file fail, as on a full disk; None lifts that."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def end(self, number: int = signal.SIGKILL, seconds: float = 60) -> int:
        """Send a signal, wait for the end, and give the exit code."""
        self.running.send_signal(number)
        code = self.running.wait(seconds)
        self._listening.join(seconds)
        return code


def spans_of(sender: int, number: int) -> int:
    """How many spans a sender's request holds."""
    return 1 + (7 * number + sender) % 40


def body(sender: int, number: int, *, heavy: bool) -> bytes:
    """A sender's request: a trace with one flag evaluation, which says in its id whose and which it is.

    Every fourth of the heavy ones carries 50 kB a span that no compression makes smaller.
    """
    request = ExportTraceServiceRequest()
    container = request.resource_spans.add()
    container.resource.attributes.add(key="service.name").value.string_value = f"sender-{sender}"
    scope, now = container.scope_spans.add(), time.time_ns()
    for n in range(spans_of(sender, number)):
        span = scope.spans.add(
            trace_id=(1 + sender).to_bytes(8) + (1 + number).to_bytes(8), span_id=(1 + n).to_bytes(8), name="work",
            parent_span_id=b"" if n == 0 else (1).to_bytes(8), start_time_unix_nano=now + n,
            end_time_unix_nano=now + 1000,
        )  # fmt: skip
        span.attributes.add(key="session.id").value.string_value = f"session-{number % 50}"
        note = os.urandom(25_000).hex() if heavy and number % 4 == 0 else "x" * (number % 200)
        span.attributes.add(key="note").value.string_value = note
    event = scope.spans[0].events.add(name="feature_flag.evaluation", time_unix_nano=now)
    event.attributes.add(key="feature_flag.key").value.string_value = "new-cart"
    event.attributes.add(key="feature_flag.result.variant").value.string_value = "on"
    return request.SerializeToString()


@dataclass(slots=True)
class Exporter:
    """One sender over one connection; `where` gives the server that runs now, or None."""

    sender: int
    where: Callable[[], Serving | None]
    chance: Random
    heavy: bool = False
    acknowledged: int = 0
    attempts: int = 0
    refusals: int = 0
    final: list[str] = field(default_factory=list)  # answers that no exporter would repeat: there must be none
    sent_at: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=100_000))
    _server: Serving | None = None
    _connection: HTTPConnection | None = None
    _channel: grpc.Channel | None = None

    def work(self, stop: threading.Event) -> None:
        """Send until told to stop."""
        while not stop.is_set():
            wire = body(self.sender, self.acknowledged, heavy=self.heavy)
            if not self.sent_at or time.time() - self.sent_at[-1][0] > 1:
                self.sent_at.append((time.time(), self.acknowledged))
            while not stop.is_set():
                self.attempts += 1
                if self._attempt(wire):
                    self.acknowledged += 1
                    break
                self.refusals += 1
                stop.wait(0.2 * self.chance.random())
        self._leave()

    def _attempt(self, wire: bytes) -> bool:
        server = self.where()
        if server is None:
            return False
        if server is not self._server:
            self._leave()
            self._server = server
        transport = _TRANSPORTS[self.sender % len(_TRANSPORTS)]
        return self._by_grpc(server, wire) if transport == "grpc" else self._by_http(server, wire, transport)

    def _by_grpc(self, server: Serving, wire: bytes) -> bool:
        if self._channel is None:
            self._channel = grpc.insecure_channel(server.grpc)
        try:
            self._channel.unary_unary(EXPORT)(wire, timeout=15)
        except grpc.RpcError as error:
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                self.final.append(f"{error.code()}: {error.details()}")
            return False
        return True

    def _by_http(self, server: Serving, wire: bytes, transport: str) -> bool:
        packed, headers = wire, HEADERS
        if transport == "gzip":
            packed, headers = gzip.compress(wire, 1), HEADERS | {"Content-Encoding": "gzip"}
        if self._connection is None:
            self._connection = HTTPConnection(server.http, timeout=15)
        try:
            self._connection.request("POST", "/v1/traces", packed, headers)
            answer = self._connection.getresponse()
            told = answer.read()
        except (HTTPException, OSError):
            self._connection.close()
            self._connection = None
            return False
        if answer.status not in {200, *_RETRYABLE}:
            self.final.append(f"{answer.status}: {told[:200]!r}")
        return answer.status == 200

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._channel is not None:
            self._channel.close()
        self._connection = self._channel = None


@dataclass(frozen=True, slots=True)
class Count:
    """What a store holds of what was acknowledged. `rows` counts duplicates as well, which retries leave behind."""

    acknowledged: int
    spans: int
    rows: int
    wrong: tuple[str, ...]


class Ordeal:
    """A server, its exporters and what befalls it.

    `options` go to `serve`. Requests are `heavy` if checkpoints shall fall into a round of at most `longest` seconds.
    With `keep_seconds` older spans may be gone.
    """

    def __init__(
        self, path: Path, seed: int, *options: str | Path, senders: int = 6, heavy: bool = False, longest: float = 1.5,
        keep_seconds: float | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        self.server: Serving | None = None
        self.longest_silence = 0.0  # from the moment the disk had room again to the first acknowledgement
        self._options = options
        self._longest = longest
        self._keep_seconds = keep_seconds
        self._chance = Random(seed)
        self._stop = threading.Event()
        self.exporters = [Exporter(n, lambda: self.server, Random(seed + n), heavy=heavy) for n in range(senders)]
        self._threads = [threading.Thread(target=e.work, args=(self._stop,), daemon=True) for e in self.exporters]
        for thread in self._threads:
            thread.start()

    def begin(self) -> Serving:
        """Start the server if it does not run."""
        if self.server is None:
            self.server = Serving(self.path, *self._options)
        return self.server

    def work(self, seconds: float) -> None:
        """Let the exporters work for so long, and until something was acknowledged."""
        before = self.acknowledged
        time.sleep(seconds)
        self._wait_for_more(before)

    @property
    def acknowledged(self) -> int:
        """Requests acknowledged so far."""
        return sum(exporter.acknowledged for exporter in self.exporters)

    def kill(self) -> None:
        """SIGKILL at this very moment."""
        server, self.server = self.begin(), None
        server.end()

    def stop(self) -> None:
        """SIGTERM, which must end with 0."""
        server, self.server = self.begin(), None
        code = server.end(signal.SIGTERM)
        if code != 0:
            raise AssertionError(f"a stop ended with {code}: {''.join(server.said)}")

    def starve(self, seconds: float) -> None:
        """A disk that is full for so long; then writing must work again by itself."""
        server = self.begin()
        files = [self.path, self.path.with_name(self.path.name + ".wal")]
        largest = max(file.stat().st_size if file.exists() else 0 for file in files)
        server.limit_files(self._chance.choice((4096, largest, largest + self._chance.randrange(200_000))))
        time.sleep(seconds)
        before, lifted = self.acknowledged, time.monotonic()
        server.limit_files(None)
        self._wait_for_more(before)
        self.longest_silence = max(self.longest_silence, time.monotonic() - lifted)

    def round(self) -> str:
        """Some work, then one of the things that befall servers; says which."""
        self.begin()
        self.work(self._chance.uniform(0.05, self._longest))
        match self._chance.randrange(8):
            case 0 | 1 | 2:
                self.kill()
                return "killed"
            case 3:
                self.stop()
                return "stopped"
            case 4 | 5:
                self.starve(self._chance.uniform(0.1, 1.5))
                return "starved"
            case 6:
                self.starve(self._chance.uniform(0.1, 0.5))
                self.kill()
                return "starved and killed"
            case _:
                self.begin().limit_files(self._chance.randrange(4096, 400_000))
                time.sleep(self._chance.uniform(0, 1))
                self.kill()
                return "killed while starved"

    def rest(self) -> None:
        """End the server if it runs, so that the store can be counted."""
        if self.server is not None:
            self._chance.choice((self.kill, self.stop))()

    def finish(self) -> None:
        """End the exporters, then the server."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.server is not None:
            self.kill()

    def count(self) -> Count:
        """Hold the store against the exporters, while no server runs."""
        sent = [(e.acknowledged, self._first_to_be_kept(e)) for e in self.exporters]
        wrong = [f"sender {e.sender} was refused for good: {said}" for e in self.exporters for said in e.final]
        with open_store(self.path) as store, store.cursor() as cursor:
            (rows,) = cursor.execute("SELECT count(*) FROM spans").fetchone() or (0,)
            (spans,) = cursor.execute("SELECT count(*) FROM distinct_spans").fetchone() or (0,)
            for sender, (acknowledged, first) in enumerate(sent):
                asked = {"sender": sender, "acknowledged": acknowledged, "first": first}
                found = cursor.execute(_COUNT, asked).fetchone() or ()
                for number, what in zip(found, _WRONGS, strict=True):
                    if number:
                        wrong.append(f"sender {sender} ({acknowledged} acknowledged): {number} {what}")
        return Count(sum(acknowledged for acknowledged, _ in sent), spans, rows, tuple(wrong))

    def _first_to_be_kept(self, exporter: Exporter) -> int:
        """The first of an exporter's requests that retention must not have removed."""
        if self._keep_seconds is None:
            return 0
        edge = time.time() - self._keep_seconds
        return next((number for sent, number in exporter.sent_at if sent > edge), exporter.acknowledged)

    def _wait_for_more(self, before: int) -> None:
        deadline = time.monotonic() + 60
        while self.acknowledged <= before + len(self.exporters):
            if time.monotonic() > deadline:
                said = "".join(self.server.said) if self.server else "no server"
                raise AssertionError(f"nothing was acknowledged for a minute; the server said: {said}")
            time.sleep(0.01)


_WRONGS = (
    "acknowledged requests are missing",
    "requests are there that were never sent",
    "requests are not whole, or counted twice",
    "requests have lost or doubled flag evaluations",
)
_COUNT = """
WITH mine AS (
    SELECT trace_id, ('0x' || substr(trace_id, 17))::UBIGINT::BIGINT - 1 AS number, count(*) AS spans
    FROM distinct_spans
    WHERE substr(trace_id, 1, 16) = printf('%016x', $sender + 1)
    GROUP BY trace_id
),
flags AS (
    SELECT trace_id, count(*) AS evaluations
    FROM flag_evaluations
    WHERE substr(trace_id, 1, 16) = printf('%016x', $sender + 1)
    GROUP BY trace_id
)
SELECT
    $acknowledged - $first - count(*) FILTER (number >= $first AND number < $acknowledged),
    count(*) FILTER (number > $acknowledged),
    count(*) FILTER (spans <> 1 + (7 * number + $sender) % 40),
    count(*) FILTER (evaluations IS DISTINCT FROM 1)
FROM mine LEFT JOIN flags USING (trace_id)
"""
