"""Data points counted: as many as protobuf's own objects hold, and nothing of a body that is cut off."""

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from traceguard.errors import InputError
from traceguard.otlp.points import count

KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def _request() -> ExportMetricsServiceRequest:
    """Each kind with its number of points, 1 to 5, among resources and scopes with and without anything in them."""
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().resource.attributes.add(key="service.name").value.string_value = "shop"
    for number, kind in enumerate(KINDS, start=1):
        resource = request.resource_metrics.add(schema_url="x")
        resource.scope_metrics.add()
        scope = resource.scope_metrics.add()
        scope.scope.name = "s"
        metric = scope.metrics.add(name=kind, unit="ms")
        for _ in range(number):
            point = getattr(metric, kind).data_points.add(time_unix_nano=7)
            point.attributes.add(key="k").value.int_value = 1
        scope.metrics.append(Metric(name="without data"))
    return request


def test_points_of_all_kinds_count() -> None:
    """The five kinds of data, wherever they stand."""
    request = _request()
    assert count(request.SerializeToString(), "protobuf") == 15
    for names in (True, False):
        text = json_format.MessageToJson(request, preserving_proto_field_name=names)
        assert count(text.encode(), "json") == 15
        assert count(b"\xef\xbb\xbf" + text.encode(), "json") == 15


def test_a_request_without_points_counts_none() -> None:
    """An empty body, and members that nobody knows."""
    assert count(b"", "protobuf") == 0
    assert count(b"\x7a\x02\x0a\x00", "protobuf") == 0
    assert count(b'{"resourceMetrics":null,"resourceSpans":[{"gauge":{"dataPoints":[{}]}}]}', "json") == 0


def test_every_cut_off_body_is_refused() -> None:
    """Lengths and brackets tell, down to the points; at the end of a resource protobuf cannot know."""
    request = _request()
    body = request.SerializeToString()
    whole, size = {0}, 0
    for resource in request.resource_metrics:
        size += resource.ByteSize() + (2 if resource.ByteSize() < 128 else 3)
        whole.add(size)
    for end in range(len(body)):
        if end not in whole:
            with pytest.raises(InputError):
                count(body[:end], "protobuf")
    text = json_format.MessageToJson(request, indent=None).encode()
    for end in range(len(text)):
        with pytest.raises(InputError):
            count(text[:end], "json")


@pytest.mark.parametrize(
    "text", ["[]", "7", '{"resourceMetrics":7}', '{"resourceMetrics":{}}', '{"resourceMetrics":[{"scopeMetrics":"x"}]}']
)
def test_json_of_another_shape_is_refused(text: str) -> None:
    """A list where an object belongs, or the reverse, is no request."""
    with pytest.raises(InputError):
        count(text.encode(), "json")
