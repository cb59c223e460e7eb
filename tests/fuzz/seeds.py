"""Where the fuzzer starts: a few requests that hold everything OTLP knows, in each of the forms in which they come."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from builders.otlp import PARENT_ID, START_NS, TRACE_ID, any_value, log_request, make_log, make_span, pairs
from builders.otlp import trace_request as one_scope
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import EntityRef
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

_EVERYTHING = {
    "text": 'a "b" \\ \n é 𐍈', "yes": True, "int": -(2**63), "double": 0.1, "large": 1e300, "nan": float("nan"),
    "infinite": float("-inf"), "bytes": b"\x00\xff\x10", "nothing": None, "list": ["a", 1, [2.5, {"k": None}]],
    "object": {"a": {"b": [True]}, "a ": 1}, "session.id": "s-1", "user.id": 7,
    "http.request.header.x-request-id": ["r"],
}  # fmt: skip
_RESOURCE = {
    "service.name": "cart", "service.version": "1.2", "deployment.environment.name": "prod",
    "deployment.environment": "old", "service.instance.id": "cart-1", "k": [],
}  # fmt: skip
_EVALUATION = {
    "feature_flag.key": "checkout", "feature_flag.result.variant": "on", "feature_flag.context.id": "u-1",
    "feature_flag.provider.name": "flagd", "feature_flag.result.reason": "split",
}  # fmt: skip
_ID_FIELDS = {"traceId", "spanId", "parentSpanId"}


def _spans() -> Iterator[Span]:
    """Spans of all kinds of content."""
    yield make_span()
    whole = make_span(
        _EVERYTHING, parent_span_id=PARENT_ID, trace_state="a=b", flags=257, dropped_attributes_count=1,
        dropped_events_count=2, dropped_links_count=3, status=Status(code=Status.STATUS_CODE_ERROR, message="no"),
        events=[("exception", {"m": "x"}), ("feature_flag.evaluation", _EVALUATION), ("", {})],
    )  # fmt: skip
    whole.events[0].dropped_attributes_count = 4
    whole.links.add(
        trace_id=TRACE_ID,
        span_id=PARENT_ID,
        trace_state="c=d",
        attributes=pairs({"l": 1}),
        dropped_attributes_count=5,
        flags=1,
    )
    yield whole
    yield make_span({str(n): n for n in range(20)} | {"7": "again"}, end_time_unix_nano=START_NS - 1)
    yield make_span({"feature_flag.new": "on", "flag.evaluation.x": True, "ff/y": {"b": 1, "a": 2}})
    yield make_span(_EVALUATION, name="feature_flag.evaluation", kind=Span.SPAN_KIND_INTERNAL, parent_span_id=PARENT_ID)
    yield make_span(events=[("feature_flag", {"feature_flag.key": "a", "feature_flag.result.value": '"x"'})])
    yield make_span(events=[("FeatureEvaluation", {"FeatureName": "b", "Enabled": "True", "TargetingId": ""})])
    yield make_span(trace_id=bytes(16))
    yield make_span(span_id=b"short")
    yield make_span(end_time_unix_nano=2**63)


def _traces() -> Iterator[Any]:
    for span in _spans():
        yield one_scope(span)
    whole = one_scope(*_spans(), resource=_RESOURCE | _EVERYTHING, scope="launchdarkly")
    container = whole.resource_spans[0]
    container.schema_url = container.scope_spans[0].schema_url = "https://opentelemetry.io/schemas/1.0"
    container.resource.dropped_attributes_count = 1
    container.resource.entity_refs.append(
        EntityRef(schema_url="u", type="service", id_keys=["a", "b"], description_keys=["c"])
    )
    container.scope_spans[0].scope.MergeFrom(
        type(container.scope_spans[0].scope)(version="3", attributes=pairs({"s": 1}))
    )
    container.scope_spans[0].scope.dropped_attributes_count = 2
    yield whole


def _logs() -> Iterator[Any]:
    yield log_request(make_log())
    yield log_request(
        make_log(_EVERYTHING, body=any_value(_EVERYTHING), flags=1, severity_number=9, severity_text="INFO")
    )
    yield log_request(
        make_log(_EVALUATION, event_name="feature_flag.evaluation"),
        make_log(_EVALUATION | {"event.name": "feature_flag.evaluation"}, observed_time_unix_nano=5, time_unix_nano=0),
        make_log(_EVALUATION, body=any_value("FeatureFlag"), dropped_attributes_count=3),
        make_log(trace_id=b"", span_id=bytes(8), time_unix_nano=2**63),
        resource=_RESOURCE,
    )


def _jaeger() -> Iterator[Any]:
    tags = [
        {"key": "span.kind", "type": "string", "value": "server"}, {"key": "error", "type": "bool", "value": True},
        {"key": "otel.status_code", "type": "string", "value": "ERROR"}, {"key": "n", "type": "int64", "value": "12"},
        {"key": "otel.status_description", "value": "no"}, {"key": "f", "type": "float64", "value": 3},
        {"key": "b", "type": "binary", "value": "AQID"}, {"key": "t", "type": "bool", "value": "true"},
        {"key": "big", "type": "float64", "value": 9007199254740993}, {"key": "d", "type": "float64", "value": -2.5e-3},
    ]  # fmt: skip
    references = [
        {"refType": "FOLLOWS_FROM", "traceID": "a1", "spanID": "1"},
        {"refType": "CHILD_OF", "traceID": "00A1", "spanID": "b2"},
        {"refType": "CHILD_OF", "traceID": "ff", "spanID": "3"},
    ]
    logs = [{"timestamp": 1, "fields": [{"key": "event", "value": "hit"}, tags[3]]}]
    span = {
        "traceID": "a1", "spanID": "c3", "operationName": "get", "flags": 1, "startTime": 1700000000000000,
        "duration": 5, "tags": tags, "references": references, "logs": logs, "processID": "p1",
    }  # fmt: skip
    processes = {"p1": {"serviceName": "cart", "tags": tags[:2]}, "p2": {}}
    yield {"data": [{"traceID": "a1", "spans": [span], "processes": processes}]}
    yield {"data": [{"spans": [{"traceID": "1", "spanID": "2", "parentSpanID": "3", "process": processes["p1"]}]}]}


def _metrics() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        data = getattr(metrics.add(name=kind), kind)
        data.data_points.add(time_unix_nano=1)
        data.data_points.add()
    return request


def _as_json(request: Any) -> bytes:
    def with_hexadecimal_ids(value: Any) -> Any:
        if isinstance(value, list):
            return [with_hexadecimal_ids(element) for element in value]
        if isinstance(value, dict):
            return {
                key: base64.b64decode(inner).hex() if key in _ID_FIELDS else with_hexadecimal_ids(inner)
                for key, inner in value.items()
            }
        return value

    return json.dumps(with_hexadecimal_ids(json_format.MessageToDict(request)), separators=(",", ":")).encode()


def seeds(target: str) -> list[bytes]:
    """The inputs to start from for a target of that name."""
    if target == "jaeger":
        return [json.dumps(document, separators=(",", ":")).encode() for document in _jaeger()]
    if target == "metrics":
        return [_metrics().SerializeToString()]
    if target == "file":
        forms = ("protobuf-traces", "protobuf-logs", "json-traces", "jaeger")
        bodies = [seed for form in forms for seed in seeds(form)]
        return [*bodies, b"".join(len(body).to_bytes(4) + body for body in bodies[:9])]
    encoding, _, signal = target.partition("-")
    requests = list(_traces() if signal == "traces" else _logs())
    return [_as_json(request) if encoding == "json" else request.SerializeToString() for request in requests]
