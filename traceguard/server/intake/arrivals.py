"""Export requests from their arrival to their answer: timed, and traced where the environment asks for it."""

import threading
import time
from typing import TYPE_CHECKING, Literal, Self

from traceguard.server.watch import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa
    from opentelemetry.trace import Span

    from traceguard.server.watch.counters import Counters
    from traceguard.server.watch.telemetry import Telemetry

Protocol = Literal["grpc", "http"]


class Arrival:
    """One export request; a context manager around the work on it."""

    __slots__ = ("_arrivals", "_began", "_protocol", "span")

    def __init__(self, arrivals: "Arrivals", protocol: Protocol, span: "Span | None") -> None:
        self._arrivals = arrivals
        self._protocol = protocol
        self._began = time.perf_counter()
        self.span = span

    def decoded(self, spans: "pa.Table", size: int) -> None:
        """Note what the request holds; a traceguard's own spans make no further ones (this one never ends)."""
        if self.span is None:
            return
        if telemetry.only_own(spans):
            self.span = None
            return
        self.span.set_attributes({"traceguard.spans": spans.num_rows, "traceguard.body.size": size})

    def answered(self, status: int | str) -> None:
        """Note the answer: a status of HTTP, or the name of one of gRPC."""
        if self.span is not None:
            if isinstance(status, int):
                telemetry.http_answered(self.span, status)
            else:
                telemetry.rpc_answered(self.span, status)

    def __enter__(self) -> Self:
        self._arrivals.come()
        return self

    def __exit__(self, *_: object) -> None:
        self._arrivals.go(self._protocol, time.perf_counter() - self._began)
        if self.span is not None:
            self.span.end()


class Arrivals:
    """All export requests; call it for each that arrives. `telemetry`, set before the first, traces them."""

    def __init__(self, counters: "Counters") -> None:
        self.telemetry: Telemetry | None = None
        self._counters = counters
        self._lock = threading.Lock()
        self._pending = 0
        counters.watch("pending_requests", lambda: float(self._pending))

    def pending(self) -> int:
        """How many have arrived and are not answered yet."""
        return self._pending

    def __call__(
        self, protocol: Protocol, target: str, read_headers: "Callable[[], Iterable[tuple[str, str]]]"
    ) -> Arrival:
        """A request that has just arrived at `target`, a path or a gRPC method; headers are read only if needed."""
        if self.telemetry is None:
            return Arrival(self, protocol, None)
        headers = dict(read_headers())
        if protocol == "grpc":
            attributes = {"rpc.system.name": "grpc", "rpc.method": target}
            return Arrival(self, protocol, self.telemetry.serving(target, attributes, headers))
        attributes = {"http.request.method": "POST", "url.path": target, "http.route": target, "url.scheme": "http"}
        return Arrival(self, protocol, self.telemetry.serving(f"POST {target}", attributes, headers))

    def come(self) -> None:
        """One more is not answered yet."""
        with self._lock:
            self._pending += 1

    def go(self, protocol: Protocol, seconds: float) -> None:
        """One was answered, so long after it came."""
        with self._lock:
            self._pending -= 1
        self._counters.observe("request_duration_seconds", seconds, protocol)
