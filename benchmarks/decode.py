"""How fast OTLP becomes Arrow columns, and how much memory a large file takes on the way.

    python benchmarks/decode.py

Spans of about 340 bytes with 8 attributes, in bodies of several sizes, on one core and on two threads; the same with
rules that hide attributes, in turns with none so that both meet the same machine; OTLP/JSON of the same spans; and a
file of a million spans read in chunks. The best of several runs is printed: what the code can do when
nothing else runs.
"""

import base64
import json
import os
import random
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.otlp import decode, files
from traceguard.settings import Settings

SETTINGS = Settings()
RULES = Settings(
    drop_attributes=("http.request.header.*", "*password*", "user_agent.*"), hash_attributes=("session.id", "enduser.*")
)
ATTRIBUTES: dict[str, str | int] = {
    "http.request.method": "GET", "url.path": "/cart/items/abcdef", "http.response.status_code": 200,
    "server.address": "cart.shop.svc", "server.port": 8080, "network.protocol.version": "1.1",
    "user_agent.original": "Mozilla/5.0 (X11; Linux)", "session.id": "session-1",
}  # fmt: skip


def request(spans: int) -> ExportTraceServiceRequest:
    """A request of one service."""
    body = ExportTraceServiceRequest()
    container = body.resource_spans.add()
    for key, value in (("service.name", "cart"), ("service.version", "1.2"), ("service.instance.id", "cart-1")):
        container.resource.attributes.add(key=key).value.string_value = value
    scoped = container.scope_spans.add()
    scoped.scope.name = "http"
    for number in range(spans):
        start = 1_795_438_718_976_888_958 + number
        span = scoped.spans.add(
            trace_id=os.urandom(16), span_id=os.urandom(8), parent_span_id=os.urandom(8),
            name=f"GET /cart/{number % 7}",
            kind=2, start_time_unix_nano=start, end_time_unix_nano=start + random.randrange(10**8), flags=257,
        )  # fmt: skip
        for key, value in ATTRIBUTES.items():
            pair = span.attributes.add(key=key)
            if isinstance(value, int):
                pair.value.int_value = value
            else:
                pair.value.string_value = value
    return body


def as_json(body: ExportTraceServiceRequest) -> bytes:
    """The same request as OTLP/JSON, ids in hexadecimal."""
    document = json_format.MessageToDict(body)
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for key in ("traceId", "spanId", "parentSpanId"):
            span[key] = base64.b64decode(span[key]).hex()
    return json.dumps(document, separators=(",", ":")).encode()


def best(run: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of several runs."""
    fastest = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest


def decoded(body: bytes, encoding: Literal["protobuf", "json"] = "protobuf", settings: Settings = SETTINGS) -> None:
    """One body through the decoder."""
    decode(body, encoding=encoding, signal="traces", settings=settings)


def bodies() -> None:
    """Bodies of several sizes, then two threads, then JSON."""
    for spans in (64, 512, 4096):
        body = request(spans).SerializeToString()
        seconds = best(lambda body=body: decoded(body), max(20, 40_000 // spans))  # type: ignore[misc]
        print(f"protobuf, {spans:>5} spans a body: {spans / seconds:>12,.0f} spans/s {len(body) / spans:.0f} B a span")

    body = request(512).SerializeToString()

    def many() -> None:
        for _ in range(100):
            decoded(body)

    def on_two_threads() -> None:
        threads = [threading.Thread(target=many) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    print(f"protobuf,   512 spans, 2 threads: {2 * 100 * 512 / best(on_two_threads, 5):>10,.0f} spans/s")
    text = as_json(request(512))
    seconds = best(lambda: decoded(text, "json"), 60)
    print(f"JSON,       512 spans a body: {512 / seconds:>12,.0f} spans/s  {len(text) / 512:.0f} bytes a span")


def privacy() -> None:
    """Five rules, of which two find something on every span, against none."""
    os.environ["TRACEGUARD_HASH_KEY"] = "0123456789abcdef" * 4
    for spans in (512, 4096):
        body = request(spans).SerializeToString()
        plain = hidden = float("inf")
        for _ in range(40):
            plain = min(plain, best(lambda body=body: decoded(body), 5))  # type: ignore[misc]
            hidden = min(hidden, best(lambda body=body: decoded(body, settings=RULES), 5))  # type: ignore[misc]
        print(
            f"protobuf, {spans:>5} spans, 5 rules: {spans / hidden:>12,.0f} spans/s"
            f" ({hidden / plain - 1:+.0%} time against {spans / plain:,.0f} without)"
        )


def large_file() -> None:
    """A million spans from a file; the peak is of the whole process."""
    body = request(5_000).SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.pb"
        with file.open("wb") as stream:
            for _ in range(200):
                stream.write(body)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        spans = sum(chunk.spans.num_rows for chunk in files.read(file, SETTINGS))
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"file of {file.stat().st_size / 2**20:.0f} MiB: {spans:,} spans at {spans / seconds:,.0f} spans/s,"
            f" peak memory {peak / 1024:.0f} MiB ({(peak - before) / 1024:+.0f} MiB)"
        )


if __name__ == "__main__":
    decoded(request(1).SerializeToString())
    decoded(as_json(request(1)), "json")
    bodies()
    privacy()
    large_file()
