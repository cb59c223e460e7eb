"""Evaluates flags with LaunchDarkly's Python hook and its test data source inside real spans, with and without its own spans."""

import ldclient
from ldclient import Context
from ldclient.config import Config
from ldclient.integrations.test_data import TestData
from ldotel.tracing import Hook, HookOptions
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

provider = TracerProvider(resource=Resource.create({"service.name": "cart", "service.version": "2.0"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("driver")
data = TestData.data_source()
data.update(data.flag("new-pricing").on(True).variation_for_all(True))
data.update(data.flag("color").variations("a", "b", "c").variation_for_all(2))
for options in (HookOptions(), HookOptions(add_spans=True, include_value=True)):
    config = Config("no-key", update_processor_class=data, send_events=False, hooks=[Hook(options)])
    client = ldclient.LDClient(config=config)
    with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER):
        client.variation("new-pricing", Context.create("user-42"), False)
        client.variation("color", Context.create("user-42"), "a")
        client.variation("unknown", Context.create("user-42"), "a")
    client.close()
provider.shutdown()
