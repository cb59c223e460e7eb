"""Bodies in: room for a bounded number of bytes, metrics counted and dropped."""

import json

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from traceguard.server.intake.budget import Budget
from traceguard.server.intake.dropped import data_points
from traceguard.server.intake.refusal import Busy, Malformed


def test_room_is_bounded_and_given_back() -> None:
    """Requests beyond the bound are told to come again, and room returns however a request ends."""
    budget = Budget(10)
    with budget.reservation() as first, budget.reservation() as second:
        first.add(6)
        with pytest.raises(Busy):
            second.add(5)
        second.add(4)
        assert budget.held == 10
    with budget.reservation() as third:
        third.add(4)
        with pytest.raises(Busy):
            third.add(7)
    assert budget.held == 0


def test_metric_points_are_counted() -> None:
    """All five kinds of points count, in both encodings."""
    point = [{}, {}]
    kinds = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"]
    metrics = [{"name": kind, kind: {"dataPoints": point}} for kind in kinds] + [{"name": "nothing"}]
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}, {}]}
    from google.protobuf import json_format

    request = json_format.ParseDict(body, ExportMetricsServiceRequest())
    assert data_points(request.SerializeToString(), "protobuf") == 10
    assert data_points(b"\xef\xbb\xbf" + json.dumps(body).encode(), "json") == 10
    assert data_points(b"", "protobuf") == 0


@pytest.mark.parametrize(
    ("body", "encoding"), [(b"\xff", "protobuf"), (b"{", "json"), (b"[]", "json"), (b"[" * 100_000, "json")]
)
def test_other_bytes_are_no_metrics(body: bytes, encoding: str) -> None:
    """What is no metrics request is malformed, however strange."""
    with pytest.raises(Malformed):
        data_points(body, encoding)
