"""OTLP/JSON to OTLP protobuf, text to wire bytes in one pass, so that everything after has one form to deal with.

Accepted beyond protobuf's own JSON, as the protocol asks: ids in hexadecimal of any case, 64-bit numbers as text or
number, enums as number or name, unknown members at any depth, null for what is not set, a byte-order mark. An id that
is not hexadecimal becomes one of the wrong length, so that its span is refused and counted and not the whole body.
Refused: text that is no JSON object, a member of the wrong type, and more than DEEPEST levels.

Lengths are written as five bytes whatever their value and filled in when a message closes; doubles are collected and
converted together.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from traceguard.errors import InputError
from traceguard.kernels import kernel, leaf
from traceguard.otlp import schema
from traceguard.otlp.literals import (
    LENGTH_BYTES,
    end_of_number,
    end_of_text,
    patch_length,
    put_base64_decoded,
    put_hex_decoded,
    put_unescaped,
    put_varint,
    skip_space,
    whole_number,
)  # fmt: skip
from traceguard.otlp.schema import (
    ANY,
    BASE64,
    BOOL,
    DOUBLE,
    ENUM,
    FIXED32,
    FIXED64,
    HEX,
    INNER,
    MAP,
    MESSAGE,
    NAME_A,
    NAME_B,
    NUMBER,
    REPEATED,
    TEXT,
    TYPE,
)  # fmt: skip
from traceguard.otlp.text import SLACK, same
from traceguard.otlp.wire import BUFFER, FULL, load, store

_FIRST_ROOM = 4096  # beside the size of the text; a loop that runs out of it starts again with more
DEEPEST = 160  # levels of brackets; a container within a container takes four in OTLP

_OBJECT, _ARRAY, _MAP = 0, 1, 2
_FORM, _WHAT, _PATCH, _COUNT = (
    0,
    1,
    2,
    3,
)  # columns of frames: form, message or field row (-1 unknown), where the length goes, members so far
MAP_KEY = 15  # an entry of a JSON map becomes a message that carries its key in this field

# Why the text was refused.
_WRONG_JSON, _WRONG_TYPE, _TOO_DEEP, _WRONG_NUMBER = -11, -12, -13, -14
_NO_OBJECT = "is no OTLP/JSON request, which is one JSON object"
_REASONS = {
    _WRONG_JSON: "is not valid JSON, or ends too early",
    _WRONG_TYPE: "has a member of the wrong type",
    _TOO_DEEP: "is nested too deeply",
    _WRONG_NUMBER: "has a number where it cannot stand",
}

_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)
_NAN = np.frombuffer(b"NaN", np.uint8)
_INFINITY = np.frombuffer(b"Infinity", np.uint8)


@leaf
def _find_field(buf, a, b, words, fields, first, last):
    """The row in `fields` of the member whose name lies between `a` and `b`, or -1."""
    for row in range(first, last):
        if same(buf, a, b, words, fields[row, NAME_A], fields[row, NAME_B]):
            return row
    return -1


@leaf
def _put_double(buf, a, b, o, double_text, double_ends, double_at, doubles):
    """Keep eight bytes free at `o` for the number between `a` and `b`, which is converted later."""
    start = double_ends[doubles]
    for k in range(b - a):
        double_text[start + k] = buf[a + k]
    double_ends[doubles + 1] = start + b - a
    double_at[doubles] = o
    return o + 8


@leaf
def _put_special(buf, a, b, out, o):
    """The eight bytes of NaN or an infinity, or negative when the text is neither."""
    if same(buf, a, b, _NAN, 0, 3):
        store(out, o, np.uint64(0x7FF8000000000000))
    elif same(buf, a, b, _INFINITY, 0, 8):
        store(out, o, np.uint64(0x7FF0000000000000))
    elif b - a == 9 and buf[a] == 45 and same(buf, a + 1, b, _INFINITY, 0, 8):
        store(out, o, np.uint64(0xFFF0000000000000))
    else:
        return np.int64(-1)
    return np.int64(o + 8)


@leaf
def _put_text_value(
    buf, a, b, escaped, kind, inner, tag, words, enums, values, out, o, double_text, double_ends, double_at, doubles
):
    """A field whose JSON value is the string between `a` and `b`: `(position or negative code, doubles collected)`."""
    if kind == TEXT or kind == HEX or kind == BASE64 or kind == ANY:
        o = put_varint(tag + 2, out, o)
        at = o
        o += LENGTH_BYTES
        if kind == HEX:
            end = np.int64(put_hex_decoded(buf, a, b, out, o))
        elif kind == BASE64:
            end = put_base64_decoded(buf, a, b, out, o)
        elif kind == ANY:  # an AnyValue with a string_value
            out[o] = 10
            end = put_unescaped(buf, a, b, out, o + 1 + LENGTH_BYTES)
            if end >= 0:
                patch_length(out, o + 1, end - o - 1 - LENGTH_BYTES)
        elif escaped:
            end = put_unescaped(buf, a, b, out, o)
        else:
            for k in range(0, b - a, 8):
                if a + k + 8 <= buf.size:
                    store(out, o + k, load(buf, a + k))
                else:
                    for rest in range(k, b - a):
                        out[o + rest] = buf[a + rest]
            end = np.int64(o + b - a)
        if end < 0:
            return np.int64(_WRONG_JSON), doubles
        patch_length(out, at, end - o)
        return end, doubles
    if kind == ENUM:
        for row in range(enums[inner, 0], enums[inner, 1]):
            if same(buf, a, b, words, values[row, 0], values[row, 1]):
                return np.int64(put_varint(values[row, 2], out, put_varint(tag, out, o))), doubles
    if kind == BOOL:
        yes = same(buf, a, b, _TRUE, 0, 4)
        if not yes and not same(buf, a, b, _FALSE, 0, 5):
            return np.int64(_WRONG_TYPE), doubles
        return np.int64(put_varint(1 if yes else 0, out, put_varint(tag, out, o))), doubles
    if kind == MESSAGE or kind == MAP:
        return np.int64(_WRONG_TYPE), doubles
    end, _ = end_of_number(buf, a)
    if kind == DOUBLE:
        o = put_varint(tag + 1, out, o)
        special = _put_special(buf, a, b, out, o)
        if special >= 0:
            return special, doubles
        if end != b:
            return np.int64(_WRONG_NUMBER), doubles
        return np.int64(_put_double(buf, a, b, o, double_text, double_ends, double_at, doubles)), doubles + 1
    if kind == ENUM and end != b:
        return np.int64(o), doubles  # a name that a later protocol knows: as if it were not set
    if end != b:
        return np.int64(_WRONG_NUMBER), doubles
    return _put_number(buf, a, b, kind, tag, True, out, o, double_text, double_ends, double_at, doubles)


@leaf
def _put_number(buf, a, b, kind, tag, whole, out, o, double_text, double_ends, double_at, doubles):
    """A field whose JSON value is the number between `a` and `b`: `(position or negative code, doubles collected)`."""
    if kind == DOUBLE:
        o = put_varint(tag + 1, out, o)
        return np.int64(_put_double(buf, a, b, o, double_text, double_ends, double_at, doubles)), doubles + 1
    if kind == ANY and not whole:  # an AnyValue with a double_value
        o = put_varint(tag + 2, out, o)
        out[o], out[o + 1] = 9, 33
        return np.int64(_put_double(buf, a, b, o + 2, double_text, double_ends, double_at, doubles)), doubles + 1
    value, fits = whole_number(buf, a, b)
    if not fits:
        return np.int64(_WRONG_NUMBER), doubles
    if kind == FIXED64:
        o = put_varint(tag + 1, out, o)
        store(out, o, np.uint64(value))
        return np.int64(o + 8), doubles
    if kind == FIXED32:
        o = put_varint(tag + 5, out, o)
        store(out, o, np.uint64(value) & np.uint64(0xFFFFFFFF))
        return np.int64(o + 4), doubles
    if kind == ANY:  # an AnyValue with an int_value
        o = put_varint(tag + 2, out, o)
        end = put_varint(value, out, o + 2)
        out[o], out[o + 1] = end - o - 1, 24
        return np.int64(end), doubles
    if kind == ENUM or kind == schema.WHOLE:
        return np.int64(put_varint(value, out, put_varint(tag, out, o))), doubles
    return np.int64(_WRONG_TYPE), doubles


@kernel(
    f"int64({BUFFER}, {BUFFER}, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64, boolean,"
    " int64[:, ::1], uint8[::1], uint8[::1], int32[::1], int64[::1], int64[::1])",
    allocates=False,
)
def transcode(
    buf, words, messages, fields, enums, values, root, many, frames, out, double_text, double_ends, double_at, result
):
    """Write the wire bytes of the JSON object in `buf`; with `many`, of all that follow each other, as one message.

    Returns 0 or a negative code. `result` takes the bytes written, the doubles collected (their text in `double_text`,
    their places in `double_at`), the position in `buf` that was reached, and how many members of the outermost object
    were known and unknown.
    """
    pos = np.int64(0)
    if buf.size >= 3 and buf[0] == 0xEF and buf[1] == 0xBB and buf[2] == 0xBF:
        pos = np.int64(3)
    o, doubles = np.int64(0), np.int64(0)
    result[3], result[4] = 0, 0
    pos = np.int64(skip_space(buf, pos))
    if pos >= buf.size or buf[pos] != 123:
        result[2] = pos
        return _WRONG_JSON
    frames[0, _FORM], frames[0, _WHAT], frames[0, _PATCH], frames[0, _COUNT] = _OBJECT, root, -1, 0
    depth = 0
    pos += 1
    while depth >= 0:
        pos = np.int64(skip_space(buf, pos))
        result[2] = pos
        if pos >= buf.size:
            return _WRONG_JSON
        form, what = frames[depth, _FORM], frames[depth, _WHAT]
        if buf[pos] == (93 if form == _ARRAY else 125):
            if frames[depth, _PATCH] >= 0:
                at = frames[depth, _PATCH]
                patch_length(out, at, o - at - LENGTH_BYTES)
            depth -= 1
            pos += 1
            if depth < 0 and many:
                pos = np.int64(skip_space(buf, pos))
                if pos < buf.size and buf[pos] == 123:
                    depth = 0
                    frames[0, _COUNT] = 0
                    pos += 1
            continue
        if frames[depth, _COUNT] > 0:
            if buf[pos] != 44:
                return _WRONG_JSON
            pos = np.int64(skip_space(buf, pos + 1))
        frames[depth, _COUNT] += 1
        row = np.int64(what) if form == _ARRAY else np.int64(-1)
        key_a, key_b, escaped = np.int64(0), np.int64(0), False
        if form != _ARRAY:
            if pos >= buf.size or buf[pos] != 34:
                return _WRONG_JSON
            key_a = pos + 1
            key_b, escaped = end_of_text(buf, key_a)
            if key_b < 0:
                return _WRONG_JSON
            pos = np.int64(skip_space(buf, key_b + 1))
            if pos >= buf.size or buf[pos] != 58:
                return _WRONG_JSON
            pos = np.int64(skip_space(buf, pos + 1))
            if form == _OBJECT and what >= 0:
                row = np.int64(_find_field(buf, key_a, key_b, words, fields, messages[what, 0], messages[what, 1]))
                if depth == 0:
                    result[3 if row >= 0 else 4] += 1
            elif form == _MAP:
                row = np.int64(what)
        if pos >= buf.size:
            return _WRONG_JSON
        c = buf[pos]
        kind = fields[row, TYPE] if row >= 0 else -1
        tag = fields[row, NUMBER] * 8 if row >= 0 else 0
        if o + 64 > out.size:
            return FULL
        if row >= 0 and c != 110 and c != 91 and form == _OBJECT and fields[row, REPEATED]:
            return _WRONG_TYPE
        if c == 123 or c == 91:
            if depth + 1 >= frames.shape[0]:
                return _TOO_DEEP
            depth += 1
            frames[depth, _FORM], frames[depth, _WHAT], frames[depth, _PATCH], frames[depth, _COUNT] = (
                _OBJECT,
                -1,
                -1,
                0,
            )
            if c == 91:
                frames[depth, _FORM] = _ARRAY
                if row >= 0 and kind != ANY:
                    if not fields[row, REPEATED] or form == _ARRAY:
                        return _WRONG_TYPE
                    frames[depth, _WHAT] = row
            elif row >= 0 and (kind == MESSAGE or form == _MAP):
                o = np.int64(put_varint(tag + 2, out, o))
                frames[depth, _WHAT], frames[depth, _PATCH] = fields[row, INNER], o
                o += LENGTH_BYTES
                if form == _MAP:  # the entry's key is a field of the message
                    if o + 64 + (key_b - key_a) > out.size:
                        return FULL
                    out[o] = MAP_KEY * 8 + 2
                    end = put_unescaped(buf, key_a, key_b, out, o + 1 + LENGTH_BYTES)
                    if end < 0:
                        return _WRONG_JSON
                    patch_length(out, o + 1, end - o - 1 - LENGTH_BYTES)
                    o = end
            elif row >= 0 and kind == MAP:
                frames[depth, _FORM], frames[depth, _WHAT] = _MAP, row
            elif row >= 0 and kind != ANY:
                return _WRONG_TYPE
            pos += 1
            continue
        if c == 34:
            end, escaped = end_of_text(buf, pos + 1)
            if end < 0:
                return _WRONG_JSON
            if row >= 0:
                if o + 64 + (end - pos) + SLACK > out.size:
                    return FULL
                o, doubles = _put_text_value(
                    buf,
                    pos + 1,
                    end,
                    escaped,
                    kind,
                    fields[row, INNER],
                    tag,
                    words,
                    enums,
                    values,
                    out,
                    o,
                    double_text,
                    double_ends,
                    double_at,
                    doubles,
                )
                if o < 0:
                    return o
            pos = end + 1
        elif c == 116 or c == 102:
            size = 4 if c == 116 else 5
            if not (
                same(buf, pos, min(pos + size, buf.size), _TRUE, 0, 4)
                or same(buf, pos, min(pos + size, buf.size), _FALSE, 0, 5)
            ):
                return _WRONG_JSON
            if row >= 0:
                if kind == ANY:
                    o = np.int64(put_varint(tag + 2, out, o))
                    out[o] = 2
                    o = np.int64(put_varint(1 if c == 116 else 0, out, put_varint(16, out, o + 1)))
                elif kind == BOOL:
                    o = np.int64(put_varint(1 if c == 116 else 0, out, put_varint(tag, out, o)))
                else:
                    return _WRONG_TYPE
            pos += size
        elif c == 110:
            if not same(buf, pos, min(pos + 4, buf.size), _NULL, 0, 4):
                return _WRONG_JSON
            if row >= 0 and form == _ARRAY and kind == MESSAGE:  # an element keeps its place
                o = np.int64(put_varint(tag + 2, out, o))
                patch_length(out, o, 0)
                o += LENGTH_BYTES
            pos += 4
        else:
            end, whole = end_of_number(buf, pos)
            if end < 0:
                return _WRONG_JSON
            if row >= 0:
                o, doubles = _put_number(
                    buf, pos, end, kind, tag, whole, out, o, double_text, double_ends, double_at, doubles
                )
                if o < 0:
                    return o
            pos = end
    result[0], result[1] = o, doubles
    result[2] = skip_space(buf, pos)
    return 0 if result[2] == buf.size else _WRONG_JSON


@dataclass(frozen=True, slots=True)
class Transcoded:
    """Wire bytes, and how many members of the outermost objects the schema knew and did not know."""

    wire: NDArray[np.uint8]
    known: int
    unknown: int


def to_protobuf(body: bytes | bytearray | memoryview, table: schema.Schema, *, many: bool = False) -> Transcoded:
    """The wire bytes of the message that this JSON object is by `table`, or with `many` of several objects in a row.

    InputError when it is not JSON or a member has a wrong type.
    """
    buf = np.frombuffer(body, np.uint8)
    if buf.flags.writeable:
        buf = buf.view()
        buf.flags.writeable = False
    frames = np.empty((DEEPEST, 4), np.int64)
    double_text = np.empty(buf.size, np.uint8)
    double_ends = np.zeros(buf.size // 8 + 2, np.int32)
    double_at = np.empty(buf.size // 8 + 2, np.int64)
    result = np.zeros(5, np.int64)
    size = buf.size + _FIRST_ROOM
    while True:
        out = np.empty(size, np.uint8)
        status = transcode(
            buf, table.words, table.messages, table.fields, table.enums, table.values, table.root, many,
            frames, out, double_text, double_ends, double_at, result,
        )  # fmt: skip
        if status != FULL:
            break
        size *= 2
    if status < 0:
        raise InputError(_refusal(bytes(buf[:64]), _REASONS[status], int(result[2]), in_file=many))
    out, count = out[: result[0]], int(result[1])
    if count:
        texts = pa.StringArray.from_buffers(count, pa.py_buffer(double_ends), pa.py_buffer(double_text))
        numbers = texts.cast(pa.float64()).to_numpy().view(np.uint8).reshape(count, 8)
        out[double_at[:count, None] + np.arange(8)] = numbers
    out.flags.writeable = False
    return Transcoded(out, int(result[3]), int(result[4]))


def _refusal(head: bytes, reason: str, at: int, *, in_file: bool) -> str:
    """The sentence for JSON that cannot be read: objects in a row stand in a file, a single one was sent."""
    if in_file:
        return f"its JSON {reason} (near byte {at}); copy the whole file, or export it again."
    if head.strip()[:1] not in {b"{", b""}:
        return f"The body {_NO_OBJECT} (near byte {at}); send OTLP/JSON as the protocol describes it."
    return f"The body {reason} (near byte {at}); send OTLP/JSON as the protocol describes it."
