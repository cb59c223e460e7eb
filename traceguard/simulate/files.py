"""A recording as OTLP files, in forms that the Collector's file exporter writes. Equal recordings give equal files.

Traces go to `traces.pb.gz` (protobuf, each request behind its length in four big-endian bytes), flag evaluations that
came as log records to `logs.jsonl.gz` (OTLP/JSON, one request a line).
"""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.simulate.recording import Recording
from traceguard.simulate.wire import log_bodies

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def write(recording: Recording, folder: Path) -> list[Path]:
    """Write the recording into `folder` (made if missing, its files replaced); the paths of what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    traces, logs = folder / "traces.pb.gz", folder / "logs.jsonl.gz"
    traces.write_bytes(_compressed(b"".join(len(body).to_bytes(4, "big") + body for body in recording.bodies())))
    lines = (request_json(ExportLogsServiceRequest.FromString(body)) for body in log_bodies(recording))
    logs.write_bytes(_compressed("".join(line + "\n" for line in lines).encode()))
    return [traces, logs]


def json_lines(recording: Recording) -> Iterator[str]:
    """The spans as OTLP/JSON requests, one a line (without its end)."""
    for body in recording.bodies():
        yield request_json(ExportTraceServiceRequest.FromString(body))


def request_json(message: ExportTraceServiceRequest | ExportLogsServiceRequest) -> str:
    """A request as OTLP/JSON: protobuf's own JSON with ids in hex and enums as numbers, as the protocol wants them."""
    return json.dumps(_hex_ids(MessageToDict(message, use_integers_for_enums=True)), separators=(",", ":"))


def _hex_ids(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(member).hex() if key in _IDS and isinstance(member, str) else _hex_ids(member)
            for key, member in value.items()
        }
    return [_hex_ids(member) for member in value] if isinstance(value, list) else value


def _compressed(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=9, mtime=0)
