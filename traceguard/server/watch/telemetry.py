"""The server's own spans through OpenTelemetry, where the environment (`OTEL_*`) asks for them; else nothing is loaded.

Spans of export requests and questions follow the semantic conventions for HTTP and RPC servers; a transaction has a
span that links to the requests in it. What always holds: traceguard never feeds itself. An endpoint that is this server
is refused with one warning; exports that another traceguard's own exporter sends bear a marker, and those that hold
nothing but traceguard's own spans are known by their scope (a Collector in between drops the marker): neither makes a
span. A collector that does not answer costs spans, never a request, and at most 5 seconds at the end.
"""

import os
import threading
import uuid
from typing import TYPE_CHECKING, Any, Self

import traceguard
from traceguard.server.watch import log
from traceguard.server.watch.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from traceguard.server.door.address import Address

SCOPE = "traceguard.server"
MARKER = "traceguard-own-spans"
FLUSH_SECONDS = 5.0

# Statuses of gRPC for which the server is to blame, as the semantic conventions list them.
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}

_EXPORTERS = {"otlp": None, "otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}


class Telemetry:
    """A tracer of the server's own work; made by `start`."""

    def __init__(self, exporter: "SpanExporter") -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._exporter = exporter
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SCOPE, traceguard.__version__)
        self._propagator = TraceContextTextMapPropagator()

    def serving(self, name: str, attributes: "Mapping[str, Any]", headers: "Mapping[str, str]") -> "Span | None":
        """A span of kind SERVER, child of the caller's; None if not sampled, or from a traceguard's exporter."""
        if MARKER in headers:
            return None
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract(headers)
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, dict(attributes))
        return span if span.is_recording() else None

    def inside(self, name: str, parent: "Span") -> "Span":
        """A span of a part of the work that `parent` stands for."""
        return self._tracer.start_span(name, _context(parent))

    def committed(self, traced: "Iterable[Span | None]", began_ns: int, *, failed: bool, **numbers: int) -> None:
        """A span of a transaction that began at `began_ns` and ended now; none if none of its requests has one."""
        from opentelemetry.trace import Link, StatusCode

        spans = [span for span in traced if span is not None]
        if not spans:
            return
        links = [Link(span.get_span_context()) for span in spans]
        attributes = {f"traceguard.commit.{name}": number for name, number in numbers.items()}
        span = self._tracer.start_span(
            "commit", _root(), attributes=attributes, links=links, start_time=began_ns, record_exception=False
        )
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send what is left, for at most `FLUSH_SECONDS`."""
        flushing = threading.Thread(target=self._provider.shutdown, name="traceguard-own-spans", daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)
        if flushing.is_alive():
            log.warning("own_spans_lost", "The server's own spans could not be sent in time; the last are lost.")
            self._exporter.shutdown()


class Stages:
    """Spans of one question's work: one for the whole, and inside it one for each stage that it names in turn."""

    def __init__(self, telemetry: Telemetry, parent: "Span", name: str) -> None:
        self._telemetry = telemetry
        self._whole = telemetry.inside(name, parent)
        self._stage: Span | None = None
        self._name = ""

    def __call__(self, name: str) -> None:
        """The work goes on with this stage."""
        if name == self._name:
            return
        if self._stage is not None:
            self._stage.end()
        self._name, self._stage = name, self._telemetry.inside(name, self._whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        from opentelemetry.trace import StatusCode

        for span in (self._stage, self._whole):
            if span is not None:
                if kind is not None:
                    span.set_attribute("error.type", kind.__name__)
                    span.set_status(StatusCode.ERROR)
                span.end()


def start(own: "Sequence[Address]", environ: "Mapping[str, str]" = os.environ) -> Telemetry | None:
    """Telemetry as `environ` asks for it, None where it does not; `own` are the addresses that this server listens on.

    What is asked for and cannot be is told in one warning, and the server goes on without.
    """
    try:
        exporter = _exporter(own, environ)
        return None if exporter is None else Telemetry(exporter)
    except _NoTelemetryError as error:
        log.warning("own_spans_off", f"{error} The server's own spans are off.")
    except Exception as error:  # noqa: BLE001  (settings that the SDK refuses must not keep the server from starting)
        log.failure(
            "own_spans_off", "OpenTelemetry refuses its OTEL_* settings; the server's own spans are off.", error
        )
    return None


def only_own(spans: "pa.Table") -> bool:
    """Whether spans there are, and all of them were made by a traceguard of itself."""
    if not spans.num_rows:
        return False
    import pyarrow.compute as pc

    name = f'"name":"{SCOPE}"'
    return all(name in (scope or "") for scope in pc.unique(spans["scope"]).to_pylist())


def http_answered(span: "Span", status: int) -> None:
    """Note the answer to an HTTP request; a status from 500 is an error of the server."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(StatusCode.ERROR)


def rpc_answered(span: "Span", status: str) -> None:
    """Note the answer to a gRPC call, by the name of its status."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("rpc.response.status_code", status)
    if status != "OK":
        span.set_attribute("error.type", status)
    if status in _FAULTS:
        span.set_status(StatusCode.ERROR)


class _NoTelemetryError(Exception):
    """Why the environment's wish cannot be met; one sentence."""


def _exporter(own: "Sequence[Address]", environ: "Mapping[str, str]") -> "SpanExporter | None":
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not named and Endpoint.named(environ):
        named = "otlp"
    if named in {"", "none"}:
        return None
    if named == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if named not in _EXPORTERS:
        raise _NoTelemetryError(f"OTEL_TRACES_EXPORTER is {named!r}; traceguard can use otlp or console.")
    endpoint = Endpoint.of(environ, _EXPORTERS[named])
    if endpoint.protocol not in {"grpc", "http/protobuf"}:
        raise _NoTelemetryError(f"The OTLP protocol {endpoint.protocol!r} is not grpc or http/protobuf.")
    if endpoint.is_one_of(own):
        raise _NoTelemetryError(
            f"{endpoint.shown} is this very server, which must not trace its own exports to itself."
        )
    return _otlp(endpoint, environ)


def _otlp(endpoint: Endpoint, environ: "Mapping[str, str]") -> "SpanExporter":
    from opentelemetry.util.re import parse_env_headers

    given = environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    headers = {**parse_env_headers(given, liberal=True), MARKER: "1"}
    if endpoint.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

        return OverGrpc(endpoint=endpoint.url, headers=headers)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

    return OverHttp(endpoint=endpoint.url, headers=headers)


def _resource() -> "Resource":
    """What the environment says of this service, over what is true anyway."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    known = {
        "service.name": "traceguard",
        "service.version": traceguard.__version__,
        "service.instance.id": str(uuid.uuid4()),
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
    }
    return Resource(known).merge(OTELResourceDetector().detect())


def _context(span: "Span") -> "Context":
    from opentelemetry.trace import set_span_in_context

    return set_span_in_context(span, _root())


def _root() -> "Context":
    from opentelemetry.context import Context

    return Context()
