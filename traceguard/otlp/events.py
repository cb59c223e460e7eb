"""Events and links of a span as JSON text; members that are empty or zero are left out."""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import leaf
from traceguard.otlp.attributes import open_list, put_list
from traceguard.otlp.text import WORST_JSON, put_hex, put_integer, put_json, put_member, put_unsigned
from traceguard.otlp.wire import FULL, MALFORMED, field, fixed32, fixed64

_MEMBERS = 256  # more than all names, numbers and punctuation of an event or link need
_NAME = np.frombuffer(b'"name":', np.uint8)
_TIME = np.frombuffer(b'"time_ns":', np.uint8)
_ATTRIBUTES = np.frombuffer(b'"attributes":', np.uint8)
_DROPPED = np.frombuffer(b'"dropped":', np.uint8)
_TRACE_ID = np.frombuffer(b'"trace_id":"', np.uint8)
_SPAN_ID = np.frombuffer(b'"span_id":"', np.uint8)
_TRACE_STATE = np.frombuffer(b'"trace_state":', np.uint8)
_FLAGS = np.frombuffer(b'"flags":', np.uint8)


@leaf
def put_event(buf, a, b, work, frames, out, o, rules):
    """The event between `a` and `b` as JSON.

    `(position or negative code, time, name start, name end, rows of `work` that hold its attributes)`
    """
    time, dropped = np.uint64(0), np.uint64(0)
    name_a, name_b, first, last = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    pos = np.int64(a)
    while pos < b:
        here = pos
        tag, value, start, pos = field(buf, pos, b)
        if pos < 0:
            return np.int64(MALFORMED), time, name_a, name_b, np.int64(0)
        if tag == 9:
            time = fixed64(buf, start)
        elif tag == 18:
            name_a, name_b = start, pos
        elif tag == 26:
            first = here if last == 0 else first
            last = pos
        elif tag == 32:
            dropped = value & np.uint64(0xFFFFFFFF)
    rows = open_list(buf, first, last, 26, True, work, 0, rules)
    if rows < 0:
        return rows, time, name_a, name_b, np.int64(0)
    if o + WORST_JSON * (name_b - name_a) + _MEMBERS > out.size:
        return np.int64(FULL), time, name_a, name_b, rows
    out[o] = 123
    o = np.int64(o + 1)
    if name_b > name_a:
        o = np.int64(put_json(buf, name_a, name_b, out, put_member(_NAME, out, o)))
    if time > 0:
        o = np.int64(put_unsigned(time, out, put_member(_TIME, out, o)))
    if rows > 0:
        o = put_list(buf, work, 0, rows, True, out, put_member(_ATTRIBUTES, out, o), frames, rules)
        if o < 0:
            return o, time, name_a, name_b, rows
        if o + _MEMBERS > out.size:
            return np.int64(FULL), time, name_a, name_b, rows
    if dropped > 0:
        o = np.int64(put_unsigned(dropped, out, put_member(_DROPPED, out, o)))
    out[o] = 125
    return np.int64(o + 1), time, name_a, name_b, rows


@leaf
def put_link(buf, a, b, work, frames, out, o, rules):
    """The link between `a` and `b` as JSON: the position after it, or a negative code."""
    dropped, flags = np.uint64(0), np.int64(0)
    trace_a, trace_b, span_a, span_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    state_a, state_b, first, last = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    pos = np.int64(a)
    while pos < b:
        here = pos
        tag, value, start, pos = field(buf, pos, b)
        if pos < 0:
            return np.int64(MALFORMED)
        if tag == 10:
            trace_a, trace_b = start, pos
        elif tag == 18:
            span_a, span_b = start, pos
        elif tag == 26:
            state_a, state_b = start, pos
        elif tag == 34:
            first = here if last == 0 else first
            last = pos
        elif tag == 40:
            dropped = value & np.uint64(0xFFFFFFFF)
        elif tag == 53:
            flags = fixed32(buf, start)
    rows = open_list(buf, first, last, 34, True, work, 0, rules)
    if rows < 0:
        return rows
    if o + 2 * (trace_b - trace_a + span_b - span_a) + WORST_JSON * (state_b - state_a) + _MEMBERS > out.size:
        return np.int64(FULL)
    out[o] = 123
    o = np.int64(o + 1)
    if trace_b > trace_a:
        o = np.int64(put_hex(buf, trace_a, trace_b, out, put_member(_TRACE_ID, out, o)))
        out[o] = 34
        o += 1
    if span_b > span_a:
        o = np.int64(put_hex(buf, span_a, span_b, out, put_member(_SPAN_ID, out, o)))
        out[o] = 34
        o += 1
    if state_b > state_a:
        o = np.int64(put_json(buf, state_a, state_b, out, put_member(_TRACE_STATE, out, o)))
    if rows > 0:
        o = put_list(buf, work, 0, rows, True, out, put_member(_ATTRIBUTES, out, o), frames, rules)
        if o < 0:
            return o
        if o + _MEMBERS > out.size:
            return np.int64(FULL)
    if dropped > 0:
        o = np.int64(put_unsigned(dropped, out, put_member(_DROPPED, out, o)))
    if flags > 0:
        o = np.int64(put_integer(flags, out, put_member(_FLAGS, out, o)))
    out[o] = 125
    return np.int64(o + 1)
