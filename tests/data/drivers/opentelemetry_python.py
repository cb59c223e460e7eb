"""Everything that the OpenTelemetry SDK for Python puts into spans and log records, sent by its own exporters."""

import logging

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

resource = Resource.create({"service.name": "orders", "service.version": "3.1", "service.namespace": "shop"}, "https://example.test/schema")
traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(traces)
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
logger = logging.getLogger("orders")
logger.addFilter(lambda record: setattr(record, "pathname", "orders.py") or True)  # no path of this machine
logger.addHandler(LoggingHandler(logger_provider=logs))
tracer = trace.get_tracer("driver", "1.0", schema_url="https://example.test/scope", attributes={"scope.attribute": "x"})
values = {"text": "é \"quoted\"", "yes": True, "int": 2**62, "float": 0.1, "list": ["a", "b"], "ints": [1, 2], "floats": [1.0, 2.5]}
with tracer.start_as_current_span("POST /orders", kind=SpanKind.SERVER, attributes=values) as server:
    with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT) as client:
        client.add_event("retry", {"attempt": 2})
    with tracer.start_as_current_span("publish", kind=SpanKind.PRODUCER) as producer:
        context = producer.get_span_context()
    logger.error("order %s failed", 7, extra={"order.id": 7})
    server.record_exception(ValueError("no stock"), {"exception.stacktrace": "left out"})
    server.set_status(Status(StatusCode.ERROR, "no stock"))
with tracer.start_as_current_span("process", kind=SpanKind.CONSUMER, links=[Link(context, {"link.attribute": 1})]) as consumer:
    consumer.set_status(StatusCode.OK)
traces.shutdown()
logs.shutdown()
