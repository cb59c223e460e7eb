"""Jaeger's JSON (what its UI downloads and its query API answers) as OTLP wire bytes.

Tags become typed attributes, logs events, processes resources. The parent is the first CHILD_OF reference within the
trace, else the first FOLLOWS_FROM, as in Jaeger's own model; every other reference, and a FOLLOWS_FROM parent too,
becomes a link that says its type. Short ids are padded with zeros on the left. The tags `span.kind`, `error`,
`otel.status_code` and `otel.status_description` set kind and status and stay attributes. The JSON is first read into
messages of our own (`document()`), then rewritten.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

from functools import lru_cache

import numpy as np

from traceguard.errors import InputError
from traceguard.kernels import kernel, leaf
from traceguard.otlp.attributes import BOOL, BYTES, DOUBLE, INTEGER, TEXT, parse_any
from traceguard.otlp.json import MAP_KEY, Transcoded, to_protobuf
from traceguard.otlp.literals import (
    LENGTH_BYTES,
    patch_length,
    put_base64_decoded,
    put_hex_decoded,
    put_varint,
    whole_number,
)  # fmt: skip
from traceguard.otlp.schema import ANY, MAP, MESSAGE, WHOLE, Field, Schema, tabulate
from traceguard.otlp.schema import TEXT as TEXT_FIELD
from traceguard.otlp.text import same
from traceguard.otlp.wire import BUFFER, FULL, MALFORMED, field, store

_KINDS = np.frombuffer(b"internalserverclientproducerconsumer", np.uint8)
_KIND_ENDS = np.cumsum([0, 8, 6, 6, 8, 8])
_SERVICE = np.frombuffer(b"service.name", np.uint8)
_REF_TYPE = np.frombuffer(b"opentracing.ref_type", np.uint8)
_CHILD = np.frombuffer(b"child_of", np.uint8)
_FOLLOWS = np.frombuffer(b"follows_from", np.uint8)
_CHILD_OF = np.frombuffer(b"CHILD_OF", np.uint8)
_SPAN_KIND = np.frombuffer(b"span.kind", np.uint8)
_ERROR = np.frombuffer(b"error", np.uint8)
_STATUS_CODE = np.frombuffer(b"otel.status_code", np.uint8)
_STATUS_ERROR = np.frombuffer(b"ERROR", np.uint8)
_STATUS_OK = np.frombuffer(b"OK", np.uint8)
_STATUS_TEXT = np.frombuffer(b"otel.status_description", np.uint8)
_EVENT = np.frombuffer(b"event", np.uint8)
_TRUE = np.frombuffer(b"true", np.uint8)
_BINARY = np.frombuffer(b"binary", np.uint8)
_INT64 = np.frombuffer(b"int64", np.uint8)
_FLOAT64 = np.frombuffer(b"float64", np.uint8)
_BOOL = np.frombuffer(b"bool", np.uint8)

_FIRST_ROOM = 4096  # beside what the size of the document asks for

# Field numbers of the intermediate messages, as tags of length-delimited fields and varints.
_TRACE_SPANS, _TRACE_PROCESSES = 18, 26
_S_TRACE, _S_SPAN, _S_PARENT, _S_FLAGS, _S_NAME, _S_REFERENCE, _S_START, _S_DURATION = 10, 18, 26, 32, 42, 50, 56, 64
_S_TAG, _S_LOG, _S_PROCESS_ID, _S_PROCESS = 74, 82, 90, 98
_P_SERVICE, _P_TAG, _P_KEY = 10, 18, MAP_KEY * 8 + 2


@lru_cache(maxsize=1)
def document() -> Schema:
    """The schema of Jaeger's JSON document."""
    text, whole = TEXT_FIELD, WHOLE
    return tabulate(
        {
            "Document": {"data": Field(1, MESSAGE, "Trace", repeated=True)},
            "Trace": {
                "traceID": Field(1, text), "spans": Field(2, MESSAGE, "Span", repeated=True),
                "processes": Field(3, MAP, "Process"),
            },
            "Span": {
                "traceID": Field(1, text), "spanID": Field(2, text), "parentSpanID": Field(3, text),
                "flags": Field(4, whole), "operationName": Field(5, text),
                "references": Field(6, MESSAGE, "Reference", repeated=True), "startTime": Field(7, whole),
                "duration": Field(8, whole), "tags": Field(9, MESSAGE, "Tag", repeated=True),
                "logs": Field(10, MESSAGE, "Log", repeated=True), "processID": Field(11, text),
                "process": Field(12, MESSAGE, "Process"),
            },
            "Reference": {"refType": Field(1, text), "traceID": Field(2, text), "spanID": Field(3, text)},
            "Tag": {"key": Field(1, text), "type": Field(2, text), "value": Field(3, ANY)},
            "Log": {"timestamp": Field(1, whole), "fields": Field(2, MESSAGE, "Tag", repeated=True)},
            "Process": {"serviceName": Field(1, text), "tags": Field(2, MESSAGE, "Tag", repeated=True)},
        },
        {},
        "Document",
    )  # fmt: skip


@leaf
def _find(buf, a, b, wanted):
    """Bounds of the last field with tag `wanted` in the message between `a` and `b`; (0, 0) when there is none."""
    found_a, found_b = np.int64(0), np.int64(0)
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if tag == wanted:
            found_a, found_b = start, pos
    return found_a, found_b


@leaf
def _find_number(buf, a, b, wanted):
    """The last varint with tag `wanted` between `a` and `b`, or 0."""
    found = np.uint64(0)
    pos = np.int64(a)
    while pos < b:
        tag, value, _, pos = field(buf, pos, b)
        if tag == wanted:
            found = value
    return found


@leaf
def _put_bytes(source, a, b, number, out, o):
    """A length-delimited field with the bytes from `a` to `b`."""
    o = put_varint(number * 8 + 2, out, o)
    patch_length(out, o, b - a)
    o += LENGTH_BYTES
    for k in range(a, b):
        out[o] = source[k]
        o += 1
    return o


@leaf
def _open(number, out, o):
    """Begin a message; its length is filled in by `patch_length(out, o - 5, ...)`."""
    return put_varint(number * 8 + 2, out, o) + LENGTH_BYTES


@leaf
def _close(opened, out, o):
    patch_length(out, opened - LENGTH_BYTES, o - opened)


@leaf
def _put_id(buf, a, b, size, number, out, o):
    """A hexadecimal id, filled up with zeros on the left to `size` bytes. Longer ones stay so, and are refused."""
    o = _open(number, out, o)
    opened = o
    for _ in range(size - (b - a + 1) // 2):
        out[o] = 0
        o += 1
    if (b - a) % 2 == 1:
        lead = buf[a]
        digit = lead - 48 if 48 <= lead <= 57 else (lead | 32) - 87 if 97 <= (lead | 32) <= 102 else 255
        out[o] = digit
        o += 1 if digit < 16 else 0
        a += 1
    o = put_hex_decoded(buf, a, b, out, o)
    _close(opened, out, o)
    return o


@leaf
def _same_id(buf, a, b, c, d):
    """Whether two hexadecimal ids are equal apart from leading zeros and case."""
    while a < b and buf[a] == 48:
        a += 1
    while c < d and buf[c] == 48:
        c += 1
    if b - a != d - c:
        return False
    for k in range(b - a):
        if buf[a + k] | 32 != buf[c + k] | 32:
            return False
    return True


@leaf
def _put_typed(buf, a, b, number, out, o):
    """A tag as a KeyValue in field `number`; the value takes the type that the tag names where it can."""
    key_a, key_b = _find(buf, a, b, 10)
    type_a, type_b = _find(buf, a, b, 18)
    value_a, value_b = _find(buf, a, b, 26)
    kind, x, y = parse_any(buf, value_a, value_b)
    o = _open(number, out, o)
    pair = o
    o = _open(2, out, _put_bytes(buf, key_a, key_b, 1, out, o))
    opened = o
    if kind == TEXT and same(buf, type_a, type_b, _BINARY, 0, 6):
        start = put_varint(7 * 8 + 2, out, o) + LENGTH_BYTES
        end = put_base64_decoded(buf, x, y, out, start)
        if end >= 0:
            _close(start, out, end)
            o, kind = end, np.int64(BYTES)
    elif kind == TEXT and same(buf, type_a, type_b, _BOOL, 0, 4):
        kind, x = np.int64(BOOL), np.int64(same(buf, x, y, _TRUE, 0, 4))
    elif kind == TEXT and same(buf, type_a, type_b, _INT64, 0, 5) and y > x:
        digits = x + 1 if buf[x] == 45 else x
        plain = y > digits
        for i in range(digits, y):
            plain &= 48 <= buf[i] <= 57
        if plain:
            value, fits = whole_number(buf, x, y)
            if fits:
                kind, x = np.int64(INTEGER), value
    elif kind == INTEGER and same(buf, type_a, type_b, _FLOAT64, 0, 7):
        out[o] = 33
        store(out, o + 1, _bits_of(x))
        o += 9
        kind = np.int64(BYTES)  # written
    if kind == TEXT:
        o = _put_bytes(buf, x, y, 1, out, o)
    elif kind == BOOL:
        o = put_varint(x, out, put_varint(16, out, o))
    elif kind == INTEGER:
        o = put_varint(np.uint64(x), out, put_varint(24, out, o))
    elif kind == DOUBLE:
        out[o] = 33
        store(out, o + 1, np.uint64(x))
        o += 9
    _close(opened, out, o)
    _close(pair, out, o)
    return o


@leaf
def _bits_of(number):
    """The bits of a whole number as a double, rounded to even where it has more than 53 bits."""
    if number == 0:
        return np.uint64(0)
    negative = number < 0
    size = ~np.uint64(number) + np.uint64(1) if negative else np.uint64(number)
    exponent = np.uint64(1075)
    dropped_half, dropped_rest = False, False
    while size >= np.uint64(1 << 53):
        dropped_rest |= dropped_half
        dropped_half = size & np.uint64(1) != 0
        size >>= np.uint64(1)
        exponent += np.uint64(1)
    if dropped_half and (dropped_rest or size & np.uint64(1) != 0):
        size += np.uint64(1)
        if size == np.uint64(1 << 53):
            size >>= np.uint64(1)
            exponent += np.uint64(1)
    while size < np.uint64(1 << 52):
        size <<= np.uint64(1)
        exponent -= np.uint64(1)
    sign = np.uint64(1 << 63) if negative else np.uint64(0)
    return sign | exponent << np.uint64(52) | size & np.uint64((1 << 52) - 1)


@leaf
def _put_event(buf, a, b, out, o):
    """A log as an event: its field `event` is the name, all others attributes."""
    o = _open(11, out, o)
    opened = o
    out[o] = 9
    store(out, o + 1, _find_number(buf, a, b, 8) * np.uint64(1000))
    o += 9
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if tag != 18:
            continue
        key_a, key_b = _find(buf, start, pos, 10)
        value_a, value_b = _find(buf, start, pos, 26)
        kind, x, y = parse_any(buf, value_a, value_b)
        if kind == TEXT and same(buf, key_a, key_b, _EVENT, 0, 5):
            o = _put_bytes(buf, x, y, 2, out, o)
        else:
            o = _put_typed(buf, start, pos, 3, out, o)
    _close(opened, out, o)
    return o


@leaf
def _put_link(buf, a, b, child_of, out, o):
    """A reference as a link that says its type."""
    trace_a, trace_b = _find(buf, a, b, 18)
    span_a, span_b = _find(buf, a, b, 26)
    o = _open(13, out, o)
    opened = o
    o = _put_id(buf, span_a, span_b, 8, 2, out, _put_id(buf, trace_a, trace_b, 16, 1, out, o))
    o = _open(4, out, o)
    pair = o
    o = _open(2, out, _put_bytes(_REF_TYPE, 0, _REF_TYPE.size, 1, out, o))
    value = o
    o = _put_bytes(_CHILD, 0, _CHILD.size, 1, out, o) if child_of else _put_bytes(_FOLLOWS, 0, _FOLLOWS.size, 1, out, o)
    _close(value, out, o)
    _close(pair, out, o)
    _close(opened, out, o)
    return o


@leaf
def _put_resource(buf, a, b, out, o):
    """A process as a Resource."""
    o = _open(1, out, o)
    opened = o
    service_a, service_b = _find(buf, a, b, _P_SERVICE)
    if service_b > service_a:
        o = _open(1, out, o)
        pair = o
        o = _open(2, out, _put_bytes(_SERVICE, 0, _SERVICE.size, 1, out, o))
        value = o
        o = _put_bytes(buf, service_a, service_b, 1, out, o)
        _close(value, out, o)
        _close(pair, out, o)
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if tag == _P_TAG:
            o = _put_typed(buf, start, pos, 1, out, o)
    _close(opened, out, o)
    return o


@leaf
def _parent_of(buf, a, b, trace_a, trace_b):
    """Bounds of the reference that names a span's parent (or zeros), and whether it is a CHILD_OF."""
    found_a, found_b = np.int64(0), np.int64(0)
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if tag != _S_REFERENCE:
            continue
        other_a, other_b = _find(buf, start, pos, 18)
        type_a, type_b = _find(buf, start, pos, 10)
        if not _same_id(buf, other_a, other_b, trace_a, trace_b):
            continue
        if same(buf, type_a, type_b, _CHILD_OF, 0, 8):
            return start, pos, True
        if found_b == 0:
            found_a, found_b = start, pos
    return found_a, found_b, False


@leaf
def _put_status(buf, a, b, out, o):
    """Kind and status from the tags that tell them."""
    kind, status = 0, 0
    text_a, text_b = np.int64(0), np.int64(0)
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if tag != _S_TAG:
            continue
        key_a, key_b = _find(buf, start, pos, 10)
        value_a, value_b = _find(buf, start, pos, 26)
        sort, x, y = parse_any(buf, value_a, value_b)
        if sort == TEXT and same(buf, key_a, key_b, _SPAN_KIND, 0, 9):
            for number in range(5):
                if same(buf, x, y, _KINDS, _KIND_ENDS[number], _KIND_ENDS[number + 1]):
                    kind = number + 1
        elif same(buf, key_a, key_b, _ERROR, 0, 5):
            if (sort == BOOL and x != 0) or (sort == TEXT and same(buf, x, y, _TRUE, 0, 4)):
                status = 2
        elif sort == TEXT and same(buf, key_a, key_b, _STATUS_CODE, 0, _STATUS_CODE.size):
            if same(buf, x, y, _STATUS_ERROR, 0, 5):
                status = 2
            elif same(buf, x, y, _STATUS_OK, 0, 2) and status == 0:
                status = 1
        elif sort == TEXT and same(buf, key_a, key_b, _STATUS_TEXT, 0, _STATUS_TEXT.size):
            text_a, text_b = x, y
    o = put_varint(kind, out, put_varint(6 * 8, out, o))
    o = _open(15, out, o)
    opened = o
    o = _put_bytes(buf, text_a, text_b, 2, out, o)
    o = put_varint(status, out, put_varint(3 * 8, out, o))
    _close(opened, out, o)
    return o


@leaf
def _put_span(buf, a, b, out, o):
    """A Jaeger span as an OTLP span in field 2."""
    o = _open(2, out, o)
    opened = o
    trace_a, trace_b = _find(buf, a, b, _S_TRACE)
    span_a, span_b = _find(buf, a, b, _S_SPAN)
    name_a, name_b = _find(buf, a, b, _S_NAME)
    o = _put_id(buf, span_a, span_b, 8, 2, out, _put_id(buf, trace_a, trace_b, 16, 1, out, o))
    o = _put_bytes(buf, name_a, name_b, 5, out, o)
    parent_a, parent_b, is_child = _parent_of(buf, a, b, trace_a, trace_b)
    if parent_b > 0:
        id_a, id_b = _find(buf, parent_a, parent_b, 26)
    else:
        id_a, id_b = _find(buf, a, b, _S_PARENT)
    if id_b > id_a:
        o = _put_id(buf, id_a, id_b, 8, 4, out, o)
    begin = _find_number(buf, a, b, _S_START) * np.uint64(1000)
    out[o] = 57
    store(out, o + 1, begin)
    out[o + 9] = 65
    store(out, o + 10, begin + _find_number(buf, a, b, _S_DURATION) * np.uint64(1000))
    o = put_varint(16 * 8 + 5, out, o + 18)
    store(out, o, _find_number(buf, a, b, _S_FLAGS) & np.uint64(0xFF))
    o = _put_status(buf, a, b, out, o + 4)
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if tag == _S_TAG:
            o = _put_typed(buf, start, pos, 9, out, o)
        elif tag == _S_LOG:
            o = _put_event(buf, start, pos, out, o)
        elif tag == _S_REFERENCE and not (start == parent_a and is_child):
            type_a, type_b = _find(buf, start, pos, 10)
            o = _put_link(buf, start, pos, same(buf, type_a, type_b, _CHILD_OF, 0, 8), out, o)
    _close(opened, out, o)
    return o


@leaf
def _process_of(buf, a, b, span_a, span_b):
    """Bounds of the process that a span names, in the trace between `a` and `b`; (0, 0) when it is missing."""
    inner_a, inner_b = _find(buf, span_a, span_b, _S_PROCESS)
    if inner_b > 0:
        return inner_a, inner_b
    name_a, name_b = _find(buf, span_a, span_b, _S_PROCESS_ID)
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if tag == _TRACE_PROCESSES:
            key_a, key_b = _find(buf, start, pos, _P_KEY)
            if same(buf, key_a, key_b, buf, name_a, name_b):
                return start, pos
    return np.int64(0), np.int64(0)


@kernel(f"int64({BUFFER}, uint8[::1])", allocates=False)
def convert(buf, out):
    """Rewrite what `document()` describes as an OTLP request: its size, or FULL. Each span brings its own resource."""
    o = np.int64(0)
    pos = np.int64(0)
    while pos < buf.size:
        tag, _, a, pos = field(buf, pos, buf.size)
        if pos < 0:
            return MALFORMED
        b = pos
        inner = a
        while inner < b:
            tag, _, start, inner = field(buf, inner, b)
            if tag != _TRACE_SPANS:
                continue
            process_a, process_b = _process_of(buf, a, b, start, inner)
            # Whatever is copied grows at most by the frame around it: five bytes of length, a tag, an id's padding.
            if o + 24 * (inner - start + process_b - process_a) + 1024 > out.size:
                return FULL
            o = np.int64(_open(1, out, o))
            opened = o
            o = np.int64(_open(2, out, _put_resource(buf, process_a, process_b, out, o)))
            scope = o
            o = np.int64(_put_span(buf, start, inner, out, o))
            _close(scope, out, o)
            _close(opened, out, o)
    return o


def to_protobuf_request(body: bytes | memoryview, *, many: bool = False) -> Transcoded:
    """The OTLP wire bytes of a Jaeger JSON document; `known` is 0 when it is none."""
    read = to_protobuf(body, document(), many=many)
    size = 4 * read.wire.size + _FIRST_ROOM
    while True:
        out = np.empty(size, np.uint8)
        status = convert(read.wire, out)
        if status != FULL:
            break
        size *= 4
    if status < 0:
        message = "The Jaeger document cannot be read; download it again."
        raise InputError(message)
    out = out[:status]
    out.flags.writeable = False
    return Transcoded(out, read.known, read.unknown)
