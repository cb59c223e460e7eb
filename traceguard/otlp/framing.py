"""Where a stream of bytes may be cut, so that files of any size go through bounded memory, and what the pieces hold.

Nothing is decoded here: text is followed by its quotes and brackets, protobuf by its outermost fields, the file
exporter's frames by their lengths. What a cut piece is worth, `decode` says.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import kernel, leaf
from traceguard.otlp.wire import BUFFER, MALFORMED, field, varint

NOTHING, TRACES, LOGS, METRICS = 0, 1, 2, 3

# What json_cut found, by place in its result: the end of the last whole document; and in a document that is not
# whole, the start of the outermost array's key, the position after its bracket, the last comma between its elements.
# -1 for what is not there.
DOCUMENT_END, KEY, ARRAY, COMMA = 0, 1, 2, 3


@kernel(f"int64({BUFFER}, int64[::1])", allocates=False)
def json_cut(buf, result):
    """Follow JSON documents from the start of `buf`: 0, or MALFORMED when more brackets close than open."""
    result[:] = -1
    depth = 0
    key = np.int64(-1)
    pos = np.int64(0)
    while pos < buf.size:
        c = buf[pos]
        if c == 34:
            if depth == 1:
                key = pos
            pos += 1
            while pos < buf.size and buf[pos] != 34:
                pos += 2 if buf[pos] == 92 else 1
        elif c == 123 or c == 91:
            depth += 1
            if depth == 2 and c == 91:
                result[KEY], result[ARRAY], result[COMMA] = key, pos + 1, -1
        elif c == 125 or c == 93:
            depth -= 1
            if depth < 0:
                return MALFORMED
            if depth == 0:
                result[DOCUMENT_END], result[KEY], result[ARRAY], result[COMMA] = pos + 1, -1, -1, -1
        elif c == 44 and depth == 2 and result[ARRAY] >= 0:
            result[COMMA] = pos
        pos += 1
    return 0


@kernel(f"int64({BUFFER})", allocates=False)
def protobuf_cut(buf):
    """The end of the last outermost field that is whole, 0 for none, MALFORMED when the bytes can be no message."""
    pos = np.int64(0)
    while pos < buf.size:
        tag, value = varint(buf, pos, buf.size)
        if value < 0:
            return pos if buf.size - pos < 10 else MALFORMED
        if np.int64(tag) & 7 == 2:
            size, start = varint(buf, value, buf.size)
            if start < 0:
                return pos if buf.size - value < 10 else MALFORMED
            if size > np.uint64(buf.size - start):
                return pos if size < np.uint64(1 << 31) else MALFORMED
        _, _, _, end = field(buf, pos, buf.size)
        if end < 0:
            return pos if buf.size - pos < 20 else MALFORMED
        pos = end
    return pos


@leaf
def _item(buf, a, b):
    """What a message is by its fields.

    A Span has times at 7 and 8, a LogRecord at 1 and 11, a Metric neither and its data at 5 to 11.
    """
    named, severe, data = False, False, False
    id_16, id_8 = False, False
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if pos < 0:
            return NOTHING
        if tag == 57 or tag == 65:
            return TRACES
        if tag == 9 or tag == 89:
            return LOGS
        if tag == 10:
            named = True
            id_16 = pos - start == 16
        elif tag == 18:
            id_8 = pos - start == 8
        elif tag == 16 or tag == 69 or tag == 98:
            severe = True
        elif tag == 42 or tag == 58 or tag == 74 or tag == 82 or tag == 90:
            data = True
    if id_16 and id_8:
        return TRACES
    if severe or (data and not named):
        return LOGS
    return METRICS if named else NOTHING


@leaf
def _signal(buf, a, b):
    """What the request between `a` and `b` holds, by the first item that tells."""
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if pos < 0:
            return NOTHING
        inner = start
        while tag == 10 and inner < pos:
            tag_2, _, start, inner = field(buf, inner, pos)
            if inner < 0:
                return NOTHING
            item = start
            while tag_2 == 18 and item < inner:
                tag_3, _, start, item = field(buf, item, inner)
                if item < 0:
                    return NOTHING
                found = _item(buf, start, item) if tag_3 == 18 else NOTHING
                if found != NOTHING:
                    return found
    return NOTHING


@kernel(f"int64({BUFFER})", allocates=False)
def signal(buf):
    """TRACES, LOGS or METRICS: what a protobuf request holds; NOTHING when it holds no items or is not well-formed."""
    return _signal(buf, 0, buf.size)


@leaf
def _copy(buf, a, b, out, o):
    for k in range(b - a):
        out[o + k] = buf[a + k]


@kernel(f"int64({BUFFER}, uint8[::1], uint8[::1], int64[::1])", allocates=False)
def unframe(buf, traces, logs, result):
    """Join the payloads of all whole frames (four bytes of length, big end first) by what they hold.

    Returns the position
    after the last.

    `result` takes the bytes written to `traces` and `logs`, and the number of frames with metrics. A payload of
    nothing is left out.
    """
    pos = np.int64(0)
    result[:] = 0
    while pos + 4 <= buf.size:
        size = (
            np.int64(buf[pos]) << 24
            | np.int64(buf[pos + 1]) << 16
            | np.int64(buf[pos + 2]) << 8
            | np.int64(buf[pos + 3])
        )
        if pos + 4 + size > buf.size:
            break
        start = pos + 4
        pos = start + size
        found = _signal(buf, start, pos)
        if found == LOGS:
            _copy(buf, start, pos, logs, result[1])
            result[1] += size
        elif found == METRICS:
            result[2] += 1
        else:  # payloads that tell nothing too: decoding will say whether they are well-formed
            _copy(buf, start, pos, traces, result[0])
            result[0] += size
    return pos
