"""Which JSON member is which protobuf field: tables for the JSON loop, made from the protocol's own descriptors.

So a field that a later version of the protocol adds is known as soon as the installed descriptors know it. Both
spellings of a name are known (camelCase and snake_case). Ids are hexadecimal in OTLP/JSON where protobuf's own JSON
would have base64.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT, BASE64, HEX, BOOL, WHOLE, FIXED64, FIXED32, DOUBLE, ENUM, MESSAGE, MAP, ANY = range(12)
_HEX_FIELDS = {"trace_id", "span_id", "parent_span_id"}

# Columns of Schema.fields
NAME_A, NAME_B, NUMBER, TYPE, INNER, REPEATED = range(6)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message; `inner` is the name of its message or enum."""

    number: int
    type: int
    inner: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """Messages, fields and enum names as numbers.

    `messages` is M x 2: the bounds of each message's rows in `fields`, which is F x 6 (see the constants). `enums` is
    E x 2: bounds in `values`, which is V x 3: the bounds of a name and its number. Names lie in `words`.
    """

    words: NDArray[np.uint8]
    messages: NDArray[np.int64]
    fields: NDArray[np.int64]
    enums: NDArray[np.int64]
    values: NDArray[np.int64]
    root: int


def tabulate(messages: dict[str, dict[str, Field]], enums: dict[str, dict[str, int]], root: str) -> Schema:
    """The tables of these messages (field by name) and enums (number by name)."""
    text = bytearray()

    def word(name: str) -> tuple[int, int]:
        start = len(text)
        text.extend(name.encode())
        return start, len(text)

    message_ids = {name: number for number, name in enumerate(messages)}
    enum_ids = {name: number for number, name in enumerate(enums)}
    rows: list[tuple[int, ...]] = []
    bounds: list[tuple[int, int]] = []
    for fields in messages.values():
        start = len(rows)
        for name, field in fields.items():
            inner = enum_ids[field.inner] if field.type == ENUM else message_ids[field.inner] if field.inner else -1
            rows.append((*word(name), field.number, field.type, inner, int(field.repeated)))
        bounds.append((start, len(rows)))
    values: list[tuple[int, ...]] = []
    value_bounds: list[tuple[int, int]] = []
    for names in enums.values():
        start = len(values)
        values.extend((*word(name), number) for name, number in names.items())
        value_bounds.append((start, len(values)))
    return Schema(
        words=np.frombuffer(bytes(text) + bytes(8), np.uint8),
        messages=np.array(bounds, np.int64).reshape(-1, 2),
        fields=np.array(rows, np.int64).reshape(-1, 6),
        enums=np.array(value_bounds, np.int64).reshape(-1, 2),
        values=np.array(values, np.int64).reshape(-1, 3),
        root=message_ids[root],
    )


@lru_cache(maxsize=2)
def of_requests(signal: str) -> Schema:
    """The schema of an export request of `traces` or `logs`."""
    from opentelemetry.proto.logs.v1 import logs_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2

    root = trace_pb2.TracesData.DESCRIPTOR if signal == "traces" else logs_pb2.LogsData.DESCRIPTOR
    messages: dict[str, dict[str, Field]] = {}
    enums: dict[str, dict[str, int]] = {}
    _collect(root, messages, enums)
    return tabulate(messages, enums, root.full_name)


@lru_cache(maxsize=1)
def _types() -> dict[int, int]:
    """The type here for each of protobuf's; the protocol uses no others."""
    from google.protobuf.descriptor import FieldDescriptor as Proto

    return {
        Proto.TYPE_STRING: TEXT, Proto.TYPE_BYTES: BASE64, Proto.TYPE_BOOL: BOOL, Proto.TYPE_INT64: WHOLE,
        Proto.TYPE_INT32: WHOLE, Proto.TYPE_UINT32: WHOLE, Proto.TYPE_UINT64: WHOLE, Proto.TYPE_FIXED64: FIXED64,
        Proto.TYPE_FIXED32: FIXED32, Proto.TYPE_DOUBLE: DOUBLE, Proto.TYPE_ENUM: ENUM, Proto.TYPE_MESSAGE: MESSAGE,
    }  # fmt: skip


def _collect(descriptor: Any, messages: dict[str, dict[str, Field]], enums: dict[str, dict[str, int]]) -> None:
    if descriptor.full_name in messages:
        return
    fields = messages[descriptor.full_name] = {}
    for proto in descriptor.fields:
        kind = HEX if proto.name in _HEX_FIELDS else _types()[proto.type]
        inner = ""
        if kind == MESSAGE:
            inner = proto.message_type.full_name
            _collect(proto.message_type, messages, enums)
        elif kind == ENUM:
            inner = proto.enum_type.full_name
            enums[inner] = {value.name: value.number for value in proto.enum_type.values}
        field = Field(proto.number, kind, inner, bool(proto.is_repeated))
        fields[proto.json_name] = field
        fields[proto.name] = field
