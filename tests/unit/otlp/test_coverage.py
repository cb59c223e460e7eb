"""Nothing of the protocol is dropped: every field has a column, and a value put into it comes out there."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from traceguard.otlp import decode
from traceguard.settings import Settings

# The column that holds each field, by message and field name. What attributes consist of (KeyValue, AnyValue and what
# they hold) is in whichever column holds the attributes.
PLACES = {
    "ResourceSpans": {"resource": "resource", "scope_spans": "", "schema_url": "resource"},
    "ScopeSpans": {"scope": "scope", "spans": "", "schema_url": "scope"},
    "Span": {
        "trace_id": "trace_id", "span_id": "span_id", "trace_state": "trace_state", "parent_span_id": "parent_span_id",
        "flags": "flags", "name": "operation", "kind": "kind", "start_time_unix_nano": "start_ns",
        "end_time_unix_nano": "end_ns", "attributes": "attributes", "dropped_attributes_count": "dropped_attributes",
        "events": "events", "dropped_events_count": "dropped_events", "links": "links",
        "dropped_links_count": "dropped_links", "status": "status",
    },
    "Event": dict.fromkeys(["time_unix_nano", "name", "attributes", "dropped_attributes_count"], "events"),
    "Link": dict.fromkeys(
        ["trace_id", "span_id", "trace_state", "attributes", "dropped_attributes_count", "flags"], "links"
    ),
    "Status": {"message": "status_message", "code": "status"},
    "Resource": dict.fromkeys(["attributes", "dropped_attributes_count", "entity_refs"], "resource"),
    "EntityRef": dict.fromkeys(["schema_url", "type", "id_keys", "description_keys"], "resource"),
    "InstrumentationScope": dict.fromkeys(["name", "version", "attributes", "dropped_attributes_count"], "scope"),
    "ResourceLogs": {"resource": "resource", "scope_logs": "", "schema_url": "resource"},
    "ScopeLogs": {"scope": "scope", "log_records": "", "schema_url": "scope"},
    "LogRecord": {
        "time_unix_nano": "time_ns", "observed_time_unix_nano": "observed_ns", "severity_number": "severity",
        "severity_text": "severity_text", "body": "body", "attributes": "attributes",
        "dropped_attributes_count": "dropped_attributes", "flags": "flags", "trace_id": "trace_id",
        "span_id": "span_id",
        "event_name": "event_name",
    },
    "KeyValue": dict.fromkeys(["key", "value", "key_strindex"], "attributes"),
    "AnyValue": dict.fromkeys(
        [
            "string_value", "bool_value", "int_value", "double_value", "array_value", "kvlist_value", "bytes_value",
            "string_value_strindex",
        ],
        "attributes",
    ),
    "ArrayValue": {"values": "attributes"},
    "KeyValueList": {"values": "attributes"},
}  # fmt: skip
ROOTS = {ExportTraceServiceRequest: "resource_spans", ExportLogsServiceRequest: "resource_logs"}
ENUMS = {"Span.kind": (3, "client"), "Status.code": (2, "error"), "LogRecord.severity_number": (17, "17")}
IDS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}


def messages(descriptor: Descriptor, seen: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """All messages that are reachable from one."""
    if descriptor.name not in seen:
        seen[descriptor.name] = descriptor
        for field in descriptor.fields:
            if field.message_type is not None:
                messages(field.message_type, seen)
    return seen


def protocol() -> dict[str, Descriptor]:
    """All messages of the protocol's traces and logs."""
    found: dict[str, Descriptor] = {}
    for request, root in ROOTS.items():
        messages(request.DESCRIPTOR.fields_by_name[root].message_type, found)
    return found


class Filler:
    """Sets every field of a message to a value of its own, and remembers which text must come out in which column."""

    def __init__(self) -> None:
        self.expected: list[tuple[str, str, str]] = []
        self._number = 1000

    def fill(self, message: Any, column: str = "") -> None:
        """Fill `message`; `column` holds its attributes' values where it is part of an attribute."""
        name = message.DESCRIPTOR.name
        for field in message.DESCRIPTOR.fields:
            place = column or PLACES[name][field.name]
            if field.message_type is None:
                self._fill_scalar(message, field, f"{name}.{field.name}", place)
            elif field.message_type.name == "AnyValue":
                getattr(message, field.name).string_value = self._expect(
                    f"{name}.{field.name}", place, f"text {self._next()}"
                )
            elif field.message_type.name == "KeyValue":
                self._fill_pairs(getattr(message, field.name), f"{name}.{field.name}", place)
            elif field.is_repeated:
                self.fill(getattr(message, field.name).add())
            else:
                getattr(message, field.name).SetInParent()
                self.fill(getattr(message, field.name))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _expect(self, field: str, column: str, text: str) -> str:
        self.expected.append((field, column, text))
        return text

    def _fill_scalar(self, message: Any, field: FieldDescriptor, name: str, place: str) -> None:
        number = self._next()
        if name in ENUMS:
            value, text = ENUMS[name]
            setattr(message, field.name, value)
            self._expect(name, place, text)
        elif field.type == FieldDescriptor.TYPE_STRING and field.is_repeated:
            getattr(message, field.name).append(self._expect(name, place, f"text {number}"))
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, self._expect(name, place, f"text {number}"))
        elif field.type == FieldDescriptor.TYPE_BYTES:
            value = number.to_bytes(IDS[field.name], "big")
            setattr(message, field.name, value)
            self._expect(name, place, value.hex())
        else:
            value = 1_700_000_000_000_000_000 + number if field.type == FieldDescriptor.TYPE_FIXED64 else number
            setattr(message, field.name, value)
            self._expect(name, place, str(value))

    def _fill_pairs(self, pairs: Any, name: str, place: str) -> None:
        """One attribute for each kind of value, and one whose key is an index."""
        for value, text in self._values():
            pair = pairs.add(key=self._expect(name, place, f"key {self._next()}"))
            pair.value.CopyFrom(value)
            self._expect(f"AnyValue.{value.WhichOneof('value')}", place, text)
        number = self._next()
        pairs.add(key_strindex=number).value.int_value = 1
        self._expect("KeyValue.key_strindex", place, f'"strindex:{number}":1')

    def _values(self) -> Iterator[tuple[AnyValue, str]]:
        values = {
            "string_value": ("some text", '"some text"'),
            "bool_value": (True, "true"),
            "int_value": (2**62 + 1, "4611686018427387905"),
            "double_value": (0.1, ":0.1"),
            "bytes_value": (b"\x00\x01\x02\xff", '"AAEC/w=="'),
            "string_value_strindex": (self._next(), f'"strindex:{self._number}"'),
        }
        for field in AnyValue.DESCRIPTOR.oneofs_by_name["value"].fields:
            value = AnyValue()
            if field.name == "array_value":
                value.array_value.values.add(string_value="inner")
                yield value, '["inner"]'
            elif field.name == "kvlist_value":
                value.kvlist_value.values.add(key="inner").value.int_value = 7
                yield value, '{"inner":7}'
            else:
                setattr(value, field.name, values[field.name][0])
                yield value, str(values[field.name][1])


def test_every_message_and_field_has_a_place() -> None:
    """A field that a later version of the protocol adds fails here until someone gives it a place."""
    missing = [
        f"{name}.{field.name}"
        for name, descriptor in protocol().items()
        for field in descriptor.fields
        if field.name not in PLACES.get(name, {})
    ]
    assert missing == []


def test_no_place_is_left_of_an_old_protocol() -> None:
    """The table names no field that the protocol does not have."""
    found = protocol()
    assert [
        f"{name}.{field}"
        for name, fields in PLACES.items()
        for field in fields
        if field not in found[name].fields_by_name
    ] == []


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_every_field_comes_out_in_its_place(signal: Any) -> None:
    """A request with every field set gives each value back in the column that the table names."""
    request, root = list(ROOTS.items())[signal == "logs"]
    body, filler = request(), Filler()
    filler.fill(getattr(body, root).add())
    decoded = decode(body.SerializeToString(), encoding="protobuf", signal=signal, settings=Settings())
    (row,) = (decoded.spans if signal == "traces" else decoded.logs).to_pylist()
    if signal == "traces":
        row["end_ns"] = row["start_ns"] + row["dur_ns"] - row["end_before_start_ns"]
    absent = [(field, column, text) for field, column, text in filler.expected if text not in str(row[column])]
    assert absent == []
    assert len(filler.expected) > 60
