"""The few messages that an OTLP receiver sends, as protobuf bytes and as JSON.

They are written by hand from the specification: ExportTraceServiceResponse and its two sisters have the same field
numbers, and google.rpc.Status is three fields long. A test reads them back with the official classes.
"""

import json
from typing import Literal

Encoding = Literal["protobuf", "json"]
Signal = Literal["traces", "logs", "metrics"]

CONTENT_TYPES: dict[Encoding, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}

_REJECTED: dict[Signal, str] = {
    "traces": "rejectedSpans",
    "logs": "rejectedLogRecords",
    "metrics": "rejectedDataPoints",
}


def success(signal: Signal, encoding: Encoding, rejected: int = 0, message: str = "") -> bytes:
    """The answer to an export that is committed; `partial_success` is set only if there is something to tell."""
    if encoding == "json":
        told = {_REJECTED[signal]: str(rejected), "errorMessage": message}
        return json.dumps({"partialSuccess": told} if rejected or message else {}).encode()
    if not rejected and not message:
        return b""
    return _bytes(1, _integer(1, rejected) + _bytes(2, message.encode()))


def status(code: int, message: str, encoding: Encoding, retry_seconds: int | None = None) -> bytes:
    """A google.rpc.Status; with `retry_seconds` it carries a google.rpc.RetryInfo."""
    kind = "type.googleapis.com/google.rpc.RetryInfo"
    if encoding == "json":
        details = [] if retry_seconds is None else [{"@type": kind, "retryDelay": f"{retry_seconds}s"}]
        return json.dumps({"code": code, "message": message, "details": details}).encode()
    encoded = _integer(1, code) + _bytes(2, message.encode())
    if retry_seconds is not None:
        info = _bytes(1, _integer(1, retry_seconds))
        encoded += _bytes(3, _bytes(1, kind.encode()) + _bytes(2, info))
    return encoded


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
