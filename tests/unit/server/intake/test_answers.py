"""The receiver's answers, read back with the official classes."""

import json

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from traceguard.server.intake.answers import status, success

_RESPONSES = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}


@pytest.mark.parametrize("signal", _RESPONSES)
def test_full_success_leaves_partial_success_unset(signal: str) -> None:
    """An answer with nothing to tell is empty in both encodings."""
    message, _ = _RESPONSES[signal]
    assert not message.FromString(success(signal, "protobuf")).HasField("partial_success")
    assert json.loads(success(signal, "json")) == {}


@pytest.mark.parametrize("rejected", [1, 127, 128, 3_000_000_000])
@pytest.mark.parametrize("signal", _RESPONSES)
def test_partial_success_tells_how_many_and_why(signal: str, rejected: int) -> None:
    """Counts of any size and the sentence arrive, in JSON with the names of the JSON mapping."""
    from google.protobuf import json_format

    message, field = _RESPONSES[signal]
    read = message.FromString(success(signal, "protobuf", rejected, "no trace id: µ"))
    assert getattr(read.partial_success, field) == rejected
    assert read.partial_success.error_message == "no trace id: µ"
    assert json_format.Parse(success(signal, "json", rejected, "no trace id: µ"), message()) == read


def test_status_carries_code_message_and_retry() -> None:
    """Errors are google.rpc.Status; where a retry is wanted they say when."""
    from google.protobuf import json_format

    read = Status.FromString(status(14, "later", "protobuf", 300))
    assert (read.code, read.message) == (14, "later")
    info = RetryInfo()
    assert read.details[0].Unpack(info)
    assert info.retry_delay.seconds == 300
    assert json_format.Parse(status(14, "later", "json", 300), Status()) == read
    assert Status.FromString(status(3, "no", "protobuf")).details == []
    assert json.loads(status(3, "no", "json")) == {"code": 3, "message": "no", "details": []}
