"""Bodies in: gzip within bounds, room for a bounded number of bytes, metrics counted and dropped."""

import gzip
import json

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from traceguard.server import receiver
from traceguard.server.budget import Budget
from traceguard.server.dropped import data_points
from traceguard.server.receiver import gunzip
from traceguard.server.refusal import Busy, Malformed, Oversize


def test_gzip_members_are_joined() -> None:
    """A body may be several gzip streams in a row, as some tools append them."""
    with Budget().reservation() as reservation:
        assert gunzip(gzip.compress(b"one ") + gzip.compress(b"two"), reservation) == b"one two"
        assert reservation.held == 7


@pytest.mark.parametrize("body", [b"plain", gzip.compress(b"cut short" * 100)[:-9], gzip.compress(b"x") + b"rest"])
def test_bodies_that_are_not_gzip_are_malformed(body: bytes) -> None:
    """What does not decompress whole is refused whole."""
    with Budget().reservation() as reservation, pytest.raises(Malformed, match="gzip"):
        gunzip(body, reservation)


def test_a_gzip_bomb_is_refused_before_it_unfolds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decompression stops at the limit, also across members."""
    monkeypatch.setattr(receiver, "BODY_BYTES", 1000)
    with Budget().reservation() as reservation:
        assert len(gunzip(gzip.compress(bytes(1000)), reservation)) == 1000
        for bomb in (gzip.compress(bytes(1001)), gzip.compress(bytes(600)) * 2):
            with pytest.raises(Oversize, match="send smaller batches"):
                gunzip(bomb, reservation)


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
