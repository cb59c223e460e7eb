"""A recording sent for real: every process of the fleet replays its spans through its own OpenTelemetry SDK.

Half of the services export over OTLP/gRPC, the others over OTLP/HTTP, every second of those compressed. Ids, parents,
times, events and status are the recording's; the rest (batching, encoding, resource) is the SDK's own work. Flag
evaluations go out as span events or, for services that say so, as log records. This is the one place that handles spans
one at a time: the SDK has no other way.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AnyValue

from traceguard.errors import InputError
from traceguard.simulate import tables
from traceguard.simulate.recording import Recording

_AT_ONCE = 5_000  # rows turned into Python values together
_TIMEOUT_S = 20
_SPAN_COLUMNS = (
    "trace_id", "span_id", "parent_span_id", "operation", "kind", "start_ns", "dur_ns", "status", "status_message",
    "attributes", "events", "flags",
)  # fmt: skip
_REMOTE = tables.IS_REMOTE
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


Show = Callable[[str, float, float | None], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """What the receivers acknowledged: all of a recording."""

    spans: int
    log_records: int


def replay(recording: Recording, grpc_address: str, http_address: str, progress: Show | None = None) -> Sent:
    """Send a recording as fast as the exporters go; addresses are `HOST:PORT`.

    Returns after everything was acknowledged, and raises InputError where something was not. A process whose export
    fails tries no further, so that a dead receiver costs seconds and not minutes. `progress` is told what is being
    done, how many spans of it are done, and of how many.
    """
    skeleton = recording.skeleton
    spans = np.bincount(skeleton.rows.process, minlength=len(skeleton.resources))
    numbers = {service.name: number for number, service in enumerate(recording.fleet.services)}
    processes = [
        _Process(dict(resource), numbers[str(resource["service.name"])], int(count), grpc_address, http_address)
        for resource, count in zip(skeleton.resources, spans, strict=True)
    ]
    try:
        _replay_spans(recording, processes, progress)
        _replay_logs(recording, processes)
    finally:
        for process in processes:
            process.close()
    sent = Sent(
        sum(process.spans.delivered for process in processes), sum(process.logs.delivered for process in processes)
    )
    # Counted from what arrived: a span that the SDK dropped on the way would be in no exporter's failures.
    lost = recording.span_count - sent.spans, recording.logs.num_rows - sent.log_records
    if any(lost):
        raise InputError(
            f"{lost[0]} of {recording.span_count} spans and {lost[1]} of {recording.logs.num_rows} log records were not"
            f" acknowledged; check that receivers of OTLP run at {grpc_address} (gRPC) and {http_address} (HTTP)."
        )
    return sent


class _GivenIds(IdGenerator):
    """Hands out the ids that the recording prescribes."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _CountedSpans(SpanExporter):
    """Passes spans to an exporter and counts what became of them, which the SDK's batch processor does not tell."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter
        self.delivered = 0
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE if self.failed else self.exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.delivered += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self.exporter.shutdown()


class _CountedLogs(LogRecordExporter):
    """The same for log records."""

    def __init__(self, exporter: LogRecordExporter) -> None:
        self.exporter = exporter
        self.delivered = 0
        self.failed = 0

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        result = LogRecordExportResult.FAILURE if self.failed else self.exporter.export(batch)
        if result is LogRecordExportResult.SUCCESS:
            self.delivered += len(batch)
        else:
            self.failed += len(batch)
        return result

    def shutdown(self) -> None:
        self.exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return self.exporter.force_flush(timeout_millis)


class _Process:
    """One instance of a service with its SDK. `number` is the service's: it decides the way of export."""

    def __init__(
        self, resource: dict[str, AnyValue], number: int, spans: int, grpc_address: str, http_address: str
    ) -> None:
        own = Resource.create({key: value for key, value in resource.items() if not key.startswith("telemetry.sdk.")})
        compression = Compression.Gzip if number % 4 == 3 else Compression.NoCompression
        over_grpc = number % 2 == 0
        self.spans = _CountedSpans(
            GrpcSpanExporter(endpoint=grpc_address, insecure=True, timeout=_TIMEOUT_S) if over_grpc
            else HttpSpanExporter(f"http://{http_address}/v1/traces", timeout=_TIMEOUT_S, compression=compression)
        )  # fmt: skip
        self.logs = _CountedLogs(
            GrpcLogExporter(endpoint=grpc_address, insecure=True, timeout=_TIMEOUT_S) if over_grpc
            else HttpLogExporter(f"http://{http_address}/v1/logs", timeout=_TIMEOUT_S, compression=compression)
        )  # fmt: skip
        self.ids = _GivenIds()
        self.tracing = TracerProvider(ALWAYS_ON, own, shutdown_on_exit=False, id_generator=self.ids)
        # The replay is faster than the network: a queue of the default 2,048 spans would drop the rest.
        self.tracing.add_span_processor(BatchSpanProcessor(self.spans, max_queue_size=max(spans, 512) + 1))
        self.tracer = self.tracing.get_tracer(tables.SCOPE["name"], tables.SCOPE["version"])
        self.logging = LoggerProvider(own, shutdown_on_exit=False)
        self.logging.add_log_record_processor(BatchLogRecordProcessor(self.logs, max_queue_size=max(spans, 512) * 8))
        self.logger = self.logging.get_logger(tables.SCOPE["name"], tables.SCOPE["version"])

    def close(self) -> None:
        self.tracing.force_flush()
        self.tracing.shutdown()
        self.logging.force_flush()
        self.logging.shutdown()


def _replay_spans(recording: Recording, processes: list[_Process], progress: Show | None) -> None:
    columns = recording.spans.select(_SPAN_COLUMNS)
    for first in range(0, columns.num_rows, _AT_ONCE):
        rows = columns.slice(first, _AT_ONCE).to_pylist()
        owners = recording.skeleton.rows.process[first : first + _AT_ONCE]
        for row, owner in zip(rows, owners, strict=True):
            _replay_span(row, processes[owner])
        if progress is not None:
            progress("Sending spans", first + len(rows), columns.num_rows)


def _replay_span(row: dict[str, str | int | None], process: _Process) -> None:
    trace_id = int(str(row["trace_id"]), 16)
    process.ids.trace_id, process.ids.span_id = trace_id, int(str(row["span_id"]), 16)
    start = int(row["start_ns"] or 0)
    context = Context()
    if row["parent_span_id"] is not None:
        context = _inside(trace_id, int(str(row["parent_span_id"]), 16), remote=bool(int(row["flags"] or 0) & _REMOTE))
    kind = SpanKind[str(row["kind"]).upper()]
    attributes = json.loads(str(row["attributes"]))
    span = process.tracer.start_span(str(row["operation"]), context, kind, attributes, start_time=start)
    if row["events"] is not None:
        for event in json.loads(str(row["events"])):
            span.add_event(event["name"], event["attributes"], event["time_ns"])
    if row["status"] == "error":
        span.set_status(Status(StatusCode.ERROR, str(row["status_message"])))
    span.end(start + int(row["dur_ns"] or 0))


def _replay_logs(recording: Recording, processes: list[_Process]) -> None:
    skeleton = recording.skeleton
    found = skeleton.evaluations
    owners = skeleton.rows.process[found.row[found.logged]]
    columns = recording.logs.select(["trace_id", "span_id", "time_ns", "event_name", "attributes"])
    for row, owner in zip(columns.to_pylist(), owners, strict=True):
        processes[owner].logger.emit(
            timestamp=row["time_ns"], observed_timestamp=row["time_ns"], severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            context=_inside(int(row["trace_id"], 16), int(row["span_id"], 16), remote=False),
            event_name=row["event_name"], attributes=json.loads(row["attributes"]),
        )  # fmt: skip


def _inside(trace_id: int, span_id: int, *, remote: bool) -> Context:
    """The context of code that runs under the given span."""
    return trace.set_span_in_context(NonRecordingSpan(SpanContext(trace_id, span_id, remote, _SAMPLED)), Context())
