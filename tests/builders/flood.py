"""Several times more than a server can take, from several processes: large bodies, bombs, no pause after a refusal.

Each answer is timed from the first byte sent, and held to what the protocol promises: what is refused says whether and
when to come again, and what is acknowledged is remembered, so that the store can be held against it.
"""

import multiprocessing as mp
import random
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import zstandard
from builders.ordeal import EXPORT, HEADERS
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.store import open_store

MIB = 2**20
# Kind of body: spans in it, and how often it is sent. A span has about 360 bytes; the largest come near the limit.
_BODIES = {"small": (64, 30), "batch": (512, 40), "large": (24_000, 15), "huge": (160_000, 5)}
_BOMBS = {"gzip": 5, "zstd": 5}
_BOMB_BYTES = 512 * MIB
_MARK = bytes(range(101, 117))  # where the trace id goes


@dataclass(frozen=True, slots=True)
class Pattern:
    """A request whose every span carries the same trace id, and where that stands in the bytes."""

    wire: NDArray[np.uint8]
    places: NDArray[np.int64]
    spans: int

    def body(self, sender: int, number: int) -> bytes:
        """The request with the trace id that names it."""
        wire = self.wire.copy()
        wire[self.places[:, None] + np.arange(16)] = np.frombuffer(_trace_id(sender, number), np.uint8)
        return wire.tobytes()


@dataclass(slots=True)
class Seen:
    """What senders saw: answers by kind, seconds until each, and the acknowledged requests with their spans."""

    answers: Counter[str] = field(default_factory=Counter)
    waits: dict[str, list[float]] = field(default_factory=dict)
    acknowledged: dict[tuple[int, int], int] = field(default_factory=dict)
    offered_bytes: int = 0
    acknowledged_bytes: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, kind: str, seconds: float) -> None:
        """One answer."""
        self.answers[kind] += 1
        self.waits.setdefault(kind, []).append(seconds)

    def merge(self, other: "Seen") -> None:
        """Add what others saw."""
        self.answers += other.answers
        for kind, waits in other.waits.items():
            self.waits.setdefault(kind, []).extend(waits)
        self.acknowledged |= other.acknowledged
        self.offered_bytes += other.offered_bytes
        self.acknowledged_bytes += other.acknowledged_bytes
        self.wrong += other.wrong

    @property
    def slowest(self) -> float:
        """Seconds that the slowest answer took."""
        return max((max(waits) for waits in self.waits.values()), default=0.0)

    @property
    def refused(self) -> float:
        """The share of requests that was told to come again."""
        again = sum(self.answers[f"{protocol} come again"] for protocol in ("HTTP", "gRPC"))
        return again / self.answers.total() if again else 0.0


def _trace_id(sender: int, number: int) -> bytes:
    return (1 + sender).to_bytes(8) + (1 + number).to_bytes(8)


@cache
def pattern(spans: int) -> Pattern:
    """A request of so many spans of about 360 bytes, with 8 attributes each."""
    request = ExportTraceServiceRequest()
    container = request.resource_spans.add()
    container.resource.attributes.add(key="service.name").value.string_value = "cart"
    scope, now = container.scope_spans.add(), time.time_ns()
    for number in range(min(spans, 512)):
        span = scope.spans.add(
            trace_id=_MARK, span_id=bytes(8), name="GET /v1/carts/{id}/items", kind=2, start_time_unix_nano=now,
            end_time_unix_nano=now + 1000 * number,
        )  # fmt: skip
        for name in ("http.request.method", "url.path", "server.address", "user_agent.original", "session.id"):
            span.attributes.add(key=name).value.string_value = f"some text of usual length {number}"
        for name in ("http.response.status_code", "server.port", "k8s.replicas"):
            span.attributes.add(key=name).value.int_value = 200 + number
    one = np.frombuffer(request.SerializeToString(), np.uint8)
    wire = np.tile(one, -(-spans // 512))
    matches = np.flatnonzero(wire[: wire.size - 15] == _MARK[0])
    places = matches[(wire[matches[:, None] + np.arange(16)] == np.frombuffer(_MARK, np.uint8)).all(axis=1)]
    # The span id follows the trace id: two bytes of tag and length, then eight.
    wire = wire.copy()
    wire[places[:, None] + 18 + np.arange(8)] = (np.arange(places.size) + 1).astype(">u8").view(np.uint8).reshape(-1, 8)
    return Pattern(wire, places, places.size)


@cache
def bomb(coding: str) -> bytes:
    """Half a gibibyte of zeros, packed."""
    packer: Any = zlib.compressobj(1, wbits=31) if coding == "gzip" else zstandard.ZstdCompressor(3).compressobj()
    step = bytes(16 * MIB)
    return b"".join(packer.compress(step) for _ in range(_BOMB_BYTES // len(step))) + packer.flush()


def flood(
    http: str,
    grpc_address: str,
    *,
    seconds: float,
    processes: int = 3,
    connections: int = 24,
    huge: bool = True,
    first: int = 0,
) -> Seen:
    """Flood a server and give what all senders saw; `first` numbers the senders, each has trace ids of its own."""
    context = mp.get_context("spawn")
    answers: Any = context.Queue()
    ready = context.Barrier(processes)
    running = [
        context.Process(
            target=_process,
            args=(http, grpc_address, seconds, connections, huge, first + n * connections, ready, answers),
        )
        for n in range(processes)
    ]
    for process in running:
        process.start()
    seen = Seen()
    for _ in running:
        seen.merge(answers.get(timeout=seconds + 300))
    for process in running:
        process.join()
    return seen


def _process(
    http: str, grpc_address: str, seconds: float, connections: int, huge: bool, first: int, ready: Any, answers: Any
) -> None:
    # Made before, as a sender that waits for another's patterns would count its waiting as the server's.
    for spans, _ in _BODIES.values():
        pattern(spans)
    for coding in _BOMBS:
        bomb(coding)
    ready.wait()
    until = time.time() + seconds
    seen = [Seen() for _ in range(connections)]
    threads = [
        threading.Thread(target=_send, args=(http, grpc_address, until, huge, first + n, seen[n]))
        for n in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for others in seen[1:]:
        seen[0].merge(others)
    answers.put(seen[0])


def _send(http: str, grpc_address: str, until: float, huge: bool, sender: int, seen: Seen) -> None:
    """One sender over one connection, which never waits after a refusal."""
    chance = random.Random(sender)
    kinds = {name: often for name, (_, often) in _BODIES.items() if huge or name != "huge"}
    over_http = sender % 2 == 0
    if over_http:
        kinds |= _BOMBS
    connection = HTTPConnection(http, timeout=60)
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(grpc_address, options) as channel:
        call = channel.unary_unary(EXPORT)
        number = 0
        while time.time() < until:
            (kind,) = chance.choices(list(kinds), list(kinds.values()))
            if kind in _BOMBS:
                _send_bomb(connection, kind, seen)
                continue
            request = pattern(_BODIES[kind][0])
            wire = request.body(sender, number)
            seen.offered_bytes += len(wire)
            taken = _by_http(connection, wire, seen) if over_http else _by_grpc(call, wire, seen)
            if taken:
                seen.acknowledged[sender, number] = request.spans
                seen.acknowledged_bytes += len(wire)
            number += 1
    connection.close()


def _send_bomb(connection: HTTPConnection, coding: str, seen: Seen) -> None:
    status, _, begin = _post(connection, bomb(coding), seen, **{"Content-Encoding": coding})
    if status is None:
        return
    kind = {413: "bomb refused", 503: "come again"}.get(status, "wrong")
    seen.note(f"HTTP {kind}", time.monotonic() - begin)
    if status not in {413, 503}:
        seen.wrong.append(f"a bomb was answered with {status}")


def _by_http(connection: HTTPConnection, wire: bytes, seen: Seen) -> bool:
    status, retry_after, begin = _post(connection, wire, seen)
    if status is None:
        return False
    again = status == 503 and retry_after.isdigit()
    kind = "acknowledged" if status == 200 else "come again" if again else "wrong"
    seen.note(f"HTTP {kind}", time.monotonic() - begin)
    if status != 200 and not again:
        seen.wrong.append(f"HTTP {status}, Retry-After {retry_after!r}")
    return status == 200


def _post(connection: HTTPConnection, wire: bytes, seen: Seen, **headers: str) -> tuple[int | None, str, float]:
    """The status of the answer, when to come again, and when it began; no status if the connection broke, noted."""
    begin = time.monotonic()
    try:
        connection.request("POST", "/v1/traces", wire, HEADERS | headers)
        answer = connection.getresponse()
        answer.read()
    except (HTTPException, OSError) as error:
        connection.close()
        seen.note("HTTP connection lost", time.monotonic() - begin)
        seen.wrong.append(f"a request of {len(wire)} bytes over HTTP lost its connection: {error!r}")
        return None, "", begin
    return answer.status, answer.headers["Retry-After"] or "", begin


def _by_grpc(call: Any, wire: bytes, seen: Seen) -> bool:
    begin = time.monotonic()
    try:
        call(wire, timeout=60)
    except grpc.RpcError as error:
        told = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        again = error.code() == grpc.StatusCode.UNAVAILABLE and b"google.rpc.RetryInfo" in told
        seen.note(f"gRPC {'come again' if again else 'wrong'}", time.monotonic() - begin)
        if not again:
            seen.wrong.append(f"gRPC {error.code()}: {error.details()}")
        return False
    seen.note("gRPC acknowledged", time.monotonic() - begin)
    return True


def lost(path: Path, acknowledged: dict[tuple[int, int], int]) -> int:
    """How many acknowledged requests are not in the store, whole and once."""
    with open_store(path) as store, store.cursor() as cursor:
        rows = cursor.execute("SELECT trace_id, count(*) FROM distinct_spans GROUP BY trace_id").fetchall()
    kept = dict(rows)
    return sum(kept.get(_trace_id(*which).hex()) != spans for which, spans in acknowledged.items())
