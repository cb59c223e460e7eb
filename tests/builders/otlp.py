"""OTLP requests written in one line: attributes as dictionaries, everything else by default."""

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACE_ID, SPAN_ID, PARENT_ID = bytes(range(1, 17)), bytes(range(1, 9)), bytes(range(11, 19))
START_NS = 1_795_438_718_856_620_160


def any_value(value: Any) -> AnyValue:  # noqa: PLR0911  (one for each type)
    """A Python value as an AnyValue; None is an empty one."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
        case _:
            return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))


def pairs(attributes: dict[str, Any]) -> list[KeyValue]:
    """A dictionary as KeyValues."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def make_span(attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    """A span of 1 ms; `events` is a list of (name, attributes)."""
    events = [
        Span.Event(name=name, time_unix_nano=START_NS + number, attributes=pairs(inside))
        for number, (name, inside) in enumerate(fields.pop("events", []), start=1)
    ]
    defaults = {
        "trace_id": TRACE_ID, "span_id": SPAN_ID, "name": "op", "kind": Span.SPAN_KIND_SERVER,
        "start_time_unix_nano": START_NS, "end_time_unix_nano": START_NS + 1_000_000,
    }  # fmt: skip
    return Span(**(defaults | fields), attributes=pairs(attributes or {}), events=events)


def trace_request(*spans: Span, resource: dict[str, Any] | None = None, scope: str = "") -> ExportTraceServiceRequest:
    """A request with these spans under one resource and scope."""
    request = ExportTraceServiceRequest()
    container = request.resource_spans.add()
    container.resource.attributes.extend(pairs(resource or {}))
    scoped = container.scope_spans.add()
    scoped.scope.name = scope
    scoped.spans.extend(spans)
    return request


def make_log(attributes: dict[str, Any] | None = None, **fields: Any) -> LogRecord:
    """A log record of the same trace and span."""
    defaults = {"trace_id": TRACE_ID, "span_id": SPAN_ID, "time_unix_nano": START_NS}
    return LogRecord(**(defaults | fields), attributes=pairs(attributes or {}))


def log_request(*records: LogRecord, resource: dict[str, Any] | None = None) -> ExportLogsServiceRequest:
    """A request with these log records."""
    request = ExportLogsServiceRequest()
    container = request.resource_logs.add()
    container.resource.attributes.extend(pairs(resource or {}))
    container.scope_logs.add().log_records.extend(records)
    return request
