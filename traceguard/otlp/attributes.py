"""Attributes as JSON text: KeyValue lists and AnyValues, rendered without an object per value.

Keys keep their order; of equal keys in one list the last wins, as everywhere in protobuf. Integers are exact, doubles
shortest with a decimal point or exponent, bytes base64, NaN and the infinities text, an empty value null. Containers
nested deeper than DEEPEST make the message malformed, as protobuf's own limit of 100 levels does.

A list is first opened: one row of `work` per entry, so that the caller can look at keys and values before they are
rendered. Rows are (key start, key end, type, x, y, superseded): x and y are the bounds of text, bytes and containers,
x is the number itself otherwise. This is where rules hide attributes: a dropped one gets no row, a hashed one has
HASHED added to its type. Source: opentelemetry-proto common.proto.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import leaf
from traceguard.otlp.doubles import LONGEST, put_double
from traceguard.otlp.rules import DROP, HASH, HASHED, action, put_hash
from traceguard.otlp.text import WORST_JSON, put_base64, put_integer, put_json, put_literal, put_plain, same
from traceguard.otlp.wire import FULL, MALFORMED, REPEATED, field, fixed64

NOTHING, TEXT, BOOL, INTEGER, DOUBLE, ARRAY, OBJECT, BYTES, INDEX = 0, 1, 2, 3, 4, 5, 6, 7, 8
DEEPEST = 32
COLUMNS = 6

KEY_A, KEY_B, TYPE, X, Y, SUPERSEDED = 0, 1, 2, 3, 4, 5
_PAIRWISE = 16  # lists up to this length are searched for equal keys pair by pair
_NO_FIELD = 10  # the tag of field 1, length-delimited: entries of ArrayValue and KeyValueList

_NULL = np.frombuffer(b"null", np.uint8)
_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)
_INDEX = np.frombuffer(b"strindex:", np.uint8)


@leaf
def parse_any(buf, a, b):
    """`(type, x, y)` of the AnyValue between `a` and `b`, or a negative code as type. The last field set wins.

    What follows a container may add to it or replace it, and even then it must be well-formed: the caller merges.
    """
    kind, x, y = np.int64(NOTHING), np.int64(0), np.int64(0)
    pos = np.int64(a)
    while pos < b:
        held, held_x = kind, x
        tag, value, start, pos = field(buf, pos, b)
        if pos < 0:
            return np.int64(MALFORMED), x, y
        if tag == 10:
            kind, x, y = np.int64(TEXT), start, pos
        elif tag == 16:
            kind, x, y = np.int64(BOOL), np.int64(value != 0), np.int64(0)
        elif tag == 24:
            kind, x, y = np.int64(INTEGER), np.int64(value), np.int64(0)
        elif tag == 33:
            kind, x, y = np.int64(DOUBLE), np.int64(fixed64(buf, start)), np.int64(0)
        elif tag == 42:
            kind, x, y = np.int64(ARRAY), start, pos
        elif tag == 50:
            kind, x, y = np.int64(OBJECT), start, pos
        elif tag == 58:
            kind, x, y = np.int64(BYTES), start, pos
        elif tag == 64:
            kind, x, y = np.int64(INDEX), np.int64(np.int32(value)), np.int64(0)
        if (held == ARRAY or held == OBJECT) and (kind != held or x != held_x):
            return np.int64(REPEATED), x, y
    return kind, x, y


@leaf
def _parse_pair(buf, a, b, work, row):
    """Fill a row of `work` from a KeyValue: 0 or a negative code. A key by index is (index, -1)."""
    kind, x, y = np.int64(NOTHING), np.int64(0), np.int64(0)
    index, valued = np.int64(0), False
    pos = np.int64(a)
    # As everyone writes it: a key of up to 127 bytes, then a value of up to 127 bytes, and nothing else.
    if a + 1 < b and buf[a] == 10 and buf[a + 1] < 128:
        middle = a + 2 + np.int64(buf[a + 1])
        if (
            middle + 1 < b
            and buf[middle] == 18
            and middle + 2 + np.int64(buf[middle + 1]) == b
            and buf[middle + 1] < 128
        ):
            work[row, KEY_A], work[row, KEY_B] = a + 2, middle
            inner = middle + 2
            if (
                inner + 1 < b
                and buf[inner] == 10
                and inner + 2 + np.int64(buf[inner + 1]) == b
                and buf[inner + 1] < 128
            ):
                kind, x, y = np.int64(TEXT), np.int64(inner + 2), np.int64(b)
            else:
                kind, x, y = parse_any(buf, inner, b)
            work[row, TYPE], work[row, X], work[row, Y] = kind, x, y
            return min(kind, np.int64(0))
    work[row, KEY_A], work[row, KEY_B] = 0, 0
    while pos < b:
        tag, value, start, pos = field(buf, pos, b)
        if pos < 0:
            return np.int64(MALFORMED)
        if tag == 10:
            work[row, KEY_A], work[row, KEY_B] = start, pos
        elif tag == 18:
            if valued:
                return np.int64(REPEATED)
            valued = True
            kind, x, y = parse_any(buf, start, pos)
            if kind < 0:
                return kind
        elif tag == 24:
            index = np.int64(np.int32(value))
    if index != 0 and work[row, KEY_A] == work[row, KEY_B]:
        work[row, KEY_A], work[row, KEY_B] = max(np.int64(0), index), -1
    work[row, TYPE], work[row, X], work[row, Y] = kind, x, y
    return np.int64(0)


@leaf
def _glance(buf, a, b):
    """A cheap number that equal keys share and most different keys do not."""
    size = b - a
    if size <= 0:
        return -2 - a if b < 0 else np.int64(0)
    return (
        (size << 32)
        | np.int64(buf[a])
        | np.int64(buf[b - 1]) << 8
        | np.int64(buf[a + size // 2]) << 16
        | np.int64(buf[b - (size + 3) // 4]) << 24
    )


@leaf
def _supersede_in_table(buf, work, low, high):
    """The same for a long list, in linear time whatever the keys are; the hash table lies in the rows after it."""
    size = 64
    while size < 2 * (high - low):
        size *= 2
    if high + size // 4 > work.shape[0]:
        return False
    for slot in range(size):
        work[high + (slot >> 2), slot & 3] = -1
    for row in range(high - 1, low - 1, -1):
        a, b = work[row, KEY_A], work[row, KEY_B]
        code = np.uint64(14695981039346656037) ^ np.uint64(a if b < 0 else 0)
        work[row, SUPERSEDED] = 0
        for i in range(a, b):
            code = (code ^ np.uint64(buf[i])) * np.uint64(1099511628211)
        slot = np.int64((code ^ (code >> np.uint64(29))) & np.uint64(size - 1))
        other = work[high + (slot >> 2), slot & 3]
        while other >= 0:
            if work[other, KEY_B] - work[other, KEY_A] == b - a and same(
                buf, a, b, buf, work[other, KEY_A], work[other, KEY_B]
            ):
                work[row, SUPERSEDED] = 1
                break
            slot = (slot + 1) & (size - 1)
            other = work[high + (slot >> 2), slot & 3]
        if other < 0:
            work[high + (slot >> 2), slot & 3] = row
    return True


@leaf
def _supersede(buf, work, low, high):
    """Mark all but the last of equal keys among the rows `low` to `high`; False when `work` has no room for that."""
    if high - low > _PAIRWISE:
        return _supersede_in_table(buf, work, low, high)
    seen = np.uint64(0)  # one bit for most keys: only where a bit is taken are keys compared
    for row in range(low, high):
        glance = work[row, SUPERSEDED]
        bit = np.uint64(1) << ((np.uint64(glance) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(58))
        if seen & bit != 0:
            a, b = work[row, KEY_A], work[row, KEY_B]
            for other in range(low, row):
                if work[other, SUPERSEDED] == glance and same(buf, a, b, buf, work[other, KEY_A], work[other, KEY_B]):
                    work[other, SUPERSEDED] = -1
        seen |= bit
    for row in range(low, high):
        work[row, SUPERSEDED] = 1 if work[row, SUPERSEDED] == -1 else 0
    return True


@leaf
def hidden(buf, kind, x, y):
    """The value `(type, x, y)` as one to be hashed; a negative code as type when it is not well-formed.

    What is empty stays so: a hash would make one user of all who have no id. An array of one element stands for that
    element: so come headers.
    """
    sort, a, b = kind, x, y
    if kind == ARRAY:
        count, first, last = 0, np.int64(0), np.int64(0)
        pos = x
        while pos < y:
            tag, _, start, pos = field(buf, pos, y)
            if pos < 0:
                return np.int64(MALFORMED), x, y
            if tag == _NO_FIELD:
                count, first, last = count + 1, start, pos
        if count == 0:
            return kind, x, y
        if count == 1:
            sort, a, b = parse_any(buf, first, last)
            if sort < 0:
                return sort, x, y
    bounded = sort == TEXT or sort == ARRAY or sort == OBJECT or sort == BYTES
    if sort == NOTHING or (bounded and a == b):
        return kind, x, y
    return sort + HASHED, a, b


@leaf
def open_list(buf, a, b, entry, keyed, work, low, rules):
    """Parse the entries (fields with tag `entry`) of a message into `work` from row `low`, hiding what `rules` say.

    Returns the row after the last, or a negative code.
    """
    high = np.int64(low)
    ruled = keyed and rules[1].shape[0] > 0
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if pos < 0:
            return np.int64(MALFORMED)
        if tag != entry:
            continue
        if high >= work.shape[0]:
            return np.int64(FULL)
        if keyed:
            status = _parse_pair(buf, start, pos, work, high)
            if status < 0:
                return status
            glance = _glance(buf, work[high, KEY_A], work[high, KEY_B])
            if ruled:
                wanted = action(buf, work[high, KEY_A], work[high, KEY_B], glance, rules)
                if wanted == DROP:
                    continue
                if wanted == HASH:
                    kind, x, y = hidden(buf, work[high, TYPE], work[high, X], work[high, Y])
                    if kind < 0:
                        return kind
                    work[high, TYPE], work[high, X], work[high, Y] = kind, x, y
            work[high, SUPERSEDED] = glance
        else:
            kind, x, y = parse_any(buf, start, pos)
            if kind < 0:
                return kind
            work[high, TYPE], work[high, X], work[high, Y], work[high, SUPERSEDED] = kind, x, y, 0
        high += 1
    if keyed and not _supersede(buf, work, low, high):
        return np.int64(FULL)
    return high


@leaf
def _put_scalar(buf, kind, x, y, out, o, quoted):
    """A value that is no container: as JSON when `quoted`, else text and bytes without quotes."""
    if kind == TEXT:
        return put_json(buf, x, y, out, o) if quoted else put_plain(buf, x, y, out, o)
    if kind == INTEGER:
        return put_integer(x, out, o)
    if kind == BOOL:
        return put_literal(_TRUE, out, o) if x else put_literal(_FALSE, out, o)
    if kind == DOUBLE:
        return put_double(x, out, o, quoted)
    if kind == NOTHING:
        return put_literal(_NULL, out, o)
    if quoted:
        out[o] = 34
        o += 1
    index = kind != BYTES
    o = put_integer(x, out, put_literal(_INDEX, out, o)) if index else put_base64(buf, x, y, out, o)
    if quoted:
        out[o] = 34
        o += 1
    return o


@leaf
def _room(work, row):
    """The most bytes that the entry in this row can need, its key, punctuation and closing brackets included."""
    size = WORST_JSON * max(0, work[row, KEY_B] - work[row, KEY_A])
    kind = work[row, TYPE] & (HASHED - 1)
    if kind == TEXT or kind == BYTES:
        size += WORST_JSON * (work[row, Y] - work[row, X])
    return size + 2 * LONGEST + DEEPEST


@leaf
def _put_key(buf, a, b, out, o):
    """A key with its colon."""
    if b < 0:
        out[o] = 34
        o = put_integer(a, out, put_literal(_INDEX, out, o + 1))
        out[o] = 34
        o += 1
    else:
        o = put_json(buf, a, b, out, o)
    out[o] = 58
    return o + 1


@leaf
def put_list(buf, work, low, high, keyed, out, o, frames, rules):
    """The opened rows `low` to `high` as a JSON object (or array): the position after it, or a negative code.

    `frames` is scratch of DEEPEST rows: (next row, last row, keyed) of each container around the innermost, and where
    the text of the one inside begins when that is to be hashed, else -1. A superseded container is written and taken
    back, since it must be well-formed all the same; its place is -2 minus where it began.
    """
    if o + 2 * LONGEST + DEEPEST > out.size:
        return np.int64(FULL)
    depth = 0
    row, last, inside_object = np.int64(low), np.int64(high), keyed != 0
    out[o] = 123 if inside_object else 91
    o = np.int64(o + 1)
    comma = False
    while True:
        if row == last:
            out[o] = 125 if inside_object else 93
            o += 1
            if depth == 0:
                return o
            depth -= 1
            row, last, inside_object = frames[depth, 0], frames[depth, 1], frames[depth, 2] != 0
            if frames[depth, 3] >= 0:
                o = put_hash(out, frames[depth, 3], o, rules, True)
            elif frames[depth, 3] < -1:
                o = -2 - frames[depth, 3]
            comma = out[o - 1] != 123 and out[o - 1] != 91
            continue
        here = row
        row += 1
        kind, before = work[here, TYPE], o
        superseded = work[here, SUPERSEDED] != 0
        if superseded and kind & (HASHED - 1) != ARRAY and kind & (HASHED - 1) != OBJECT:
            continue
        if not inside_object:
            work[here, KEY_A], work[here, KEY_B] = 0, 0
        if o + _room(work, here) > out.size:
            return np.int64(FULL)
        if comma:
            out[o] = 44
            o += 1
        comma = True
        if inside_object:
            o = np.int64(_put_key(buf, work[here, KEY_A], work[here, KEY_B], out, o))
        if kind == TEXT:
            o = np.int64(put_json(buf, work[here, X], work[here, Y], out, o))
            continue
        begin = np.int64(-1)
        if kind >= HASHED:
            kind, begin = kind - HASHED, o
        if kind != ARRAY and kind != OBJECT:
            o = np.int64(_put_scalar(buf, kind, work[here, X], work[here, Y], out, o, begin < 0))
            if begin >= 0:
                o = put_hash(out, begin, o, rules, True)
            continue
        if superseded:
            begin = -2 - before
        if depth + 1 >= DEEPEST:
            return np.int64(MALFORMED)
        top = open_list(buf, work[here, X], work[here, Y], _NO_FIELD, kind == OBJECT, work, last, rules)
        if top < 0:
            return top
        frames[depth, 0], frames[depth, 1], frames[depth, 2], frames[depth, 3] = row, last, inside_object, begin
        depth += 1
        row, last, inside_object, comma = last, top, kind == OBJECT, False
        out[o] = 123 if inside_object else 91
        o += 1


@leaf
def put_value(buf, kind, x, y, work, top, out, o, frames, quoted, first, rules):
    """One value: as JSON when `quoted`, else as plain text (containers as JSON).

    With `first`, an array stands for its first element. `work` is free from row `top` on. Nothing (and an empty array
    with `first`) is null when `quoted` and no text at all otherwise.
    """
    if top >= work.shape[0]:
        return np.int64(FULL)
    to_be_hashed = kind >= HASHED
    if to_be_hashed:
        kind -= HASHED
    elif first and kind == ARRAY:
        end = open_list(buf, x, y, _NO_FIELD, False, work, top, rules)
        if end < 0:
            return end
        if end == top:
            return np.int64(o)
        kind, x, y = work[top, TYPE], work[top, X], work[top, Y]
    if kind == NOTHING and not quoted:
        return np.int64(o)
    if kind == ARRAY or kind == OBJECT:
        end = open_list(buf, x, y, _NO_FIELD, kind == OBJECT, work, top, rules)
        if end >= 0:
            end = put_list(buf, work, top, end, kind == OBJECT, out, o, frames, rules)
    else:
        size = WORST_JSON * (y - x) if kind == TEXT or kind == BYTES else 0
        if o + size + 2 * LONGEST > out.size:
            return np.int64(FULL)
        end = np.int64(_put_scalar(buf, kind, x, y, out, o, quoted and not to_be_hashed))
    return put_hash(out, o, end, rules, quoted) if to_be_hashed and end >= 0 else end
