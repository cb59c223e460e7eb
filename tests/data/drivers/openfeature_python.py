"""Evaluates flags with OpenFeature's Python hook inside real spans; the exporter sends to $OTEL_EXPORTER_OTLP_ENDPOINT."""

from openfeature import api
from openfeature.contrib.hook.opentelemetry import TracingHook
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider import AbstractProvider, Metadata
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind


class BareProvider(AbstractProvider):
    """Answers without variants, as simple providers do."""

    def get_metadata(self):
        return Metadata(name="bare")

    def resolve_boolean_details(self, flag_key, default_value, evaluation_context=None):
        return FlagResolutionDetails(value=True)

    def resolve_string_details(self, flag_key, default_value, evaluation_context=None):
        return FlagResolutionDetails(value="blue")

    def resolve_integer_details(self, flag_key, default_value, evaluation_context=None):
        return FlagResolutionDetails(value=7)

    def resolve_float_details(self, flag_key, default_value, evaluation_context=None):
        return FlagResolutionDetails(value=0.5)

    def resolve_object_details(self, flag_key, default_value, evaluation_context=None):
        return FlagResolutionDetails(value={"b": [1, 2], "a": None})


provider = TracerProvider(
    resource=Resource.create({
        "service.name": "checkout", "service.version": "1.4.2", "service.instance.id": "checkout-1",
        "deployment.environment.name": "test",
    })
)
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("driver", "1.0")
flags = {
    "new-pricing": InMemoryFlag("on", {"on": True, "off": False}),
    "logo": InMemoryFlag("red", {"red": "#c05543", "green": "#2ca02c"}),
    "retries": InMemoryFlag("three", {"three": 3}),
    "config": InMemoryFlag("a", {"a": {"x": [1, 2]}}),
}
api.set_provider(InMemoryProvider(flags))
api.set_provider(BareProvider(), "bare")
api.add_hooks([TracingHook()])
client, bare = api.get_client(), api.get_client("bare")
user = EvaluationContext(targeting_key="user-42")

with tracer.start_as_current_span("POST /checkout", kind=SpanKind.SERVER) as server:
    server.set_attribute("session.id", "session-1")
    server.set_attribute("http.request.header.x-request-id", ["request-1"])
    client.get_boolean_value("new-pricing", False, user)
    client.get_string_value("logo", "none", user)
    client.get_integer_value("retries", 0, user)
    with tracer.start_as_current_span("charge", kind=SpanKind.CLIENT):
        client.get_object_value("config", {}, user)
        client.get_boolean_value("missing", False, user)
    bare.get_boolean_value("bare-bool", False)
    bare.get_string_value("bare-text", "")
    bare.get_integer_value("bare-whole", 0)
    bare.get_float_value("bare-float", 0.0)
    bare.get_object_value("bare-object", {})
provider.shutdown()
