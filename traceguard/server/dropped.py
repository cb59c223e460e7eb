"""Metrics: understood well enough to say how many were dropped, and no further."""

import json

from traceguard.server.refusal import Malformed

_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


def data_points(body: bytes, encoding: str) -> int:
    """The number of data points in an ExportMetricsServiceRequest; Malformed if it is not one."""
    return _in_json(body) if encoding == "json" else _in_protobuf(body)


def _in_protobuf(body: bytes) -> int:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError:
        raise Malformed("The body is not an OTLP ExportMetricsServiceRequest; send one per request.") from None
    metrics = (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics)
    return sum(len(getattr(metric, kind).data_points) for metric in metrics if (kind := metric.WhichOneof("data")))


def _in_json(body: bytes) -> int:
    try:
        request = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
        metrics = (
            metric
            for resource in request.get("resourceMetrics") or []
            for scope in resource.get("scopeMetrics") or []
            for metric in scope.get("metrics") or []
        )
        return sum(len((metric.get(kind) or {}).get("dataPoints") or []) for metric in metrics for kind in _KINDS)
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise Malformed("The body is not an OTLP metrics request in JSON; send one object per request.") from None
