"""The sample in the repository is what its command makes, and is small."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.simulate.__main__ import main


def spans_of(path: Path) -> dict[str, tuple[str, int, int]]:
    """Each span's name, start and end, by trace and span id."""
    data, found = gzip.decompress(path.read_bytes()), {}
    while data:
        length = int.from_bytes(data[:4], "big")
        for of_resource in ExportTraceServiceRequest.FromString(data[4 : 4 + length]).resource_spans:
            for span in of_resource.scope_spans[0].spans:
                ids = span.trace_id.hex() + span.span_id.hex()
                found[ids] = (span.name, span.start_time_unix_nano, span.end_time_unix_nano)
        data = data[4 + length :]
    return found


def test_the_sample_is_up_to_date(sample_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes the shop remakes the sample; another processor may round a time otherwise."""
    assert main(["sample", str(tmp_path)]) == 0
    assert "700 requests" in capsys.readouterr().err
    kept, made = spans_of(sample_data / "traces.pb.gz"), spans_of(tmp_path / "traces.pb.gz")
    assert {ids: span[0] for ids, span in kept.items()} == {ids: span[0] for ids, span in made.items()}
    apart = np.array([[abs(a - b) for a, b in zip(kept[ids][1:], made[ids][1:], strict=True)] for ids in kept])
    assert apart.max() < 1_000
    logs = [gzip.decompress((folder / "logs.jsonl.gz").read_bytes()).count(b"\n") for folder in (sample_data, tmp_path)]
    assert logs[0] == logs[1] > 0


def test_the_sample_is_small(sample_data: Path) -> None:
    """A clone stays light: a few hundred kilobytes."""
    assert sum(path.stat().st_size for path in sample_data.glob("*.gz")) < 500_000
