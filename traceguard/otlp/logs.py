"""Log records of a request into rows, and the flag evaluations that some of them are.

As the protocol says, an id of the wrong length or all zero means that the record belongs to no trace (or span). A
record is refused, and counted, when a time does not fit into int64 nanoseconds.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import kernel, leaf
from traceguard.otlp.attributes import (
    KEY_A,
    KEY_B,
    NOTHING,
    SUPERSEDED,
    TEXT,
    TYPE,
    X,
    Y,
    hidden,
    open_list,
    parse_any,
    put_list,
    put_value,
)
from traceguard.otlp.flags import CELLS, find_word, put_evaluation
from traceguard.otlp.rules import DROP, HASH, RULES
from traceguard.otlp.text import SLACK, WORST_PLAIN, put_hex, put_plain
from traceguard.otlp.wire import BUFFER, FULL, MALFORMED, REPEATED, field, fixed32, fixed64, nonzero

TRACE_ID, SPAN_ID, SEVERITY_TEXT, EVENT_NAME, BODY, ATTRIBUTES = 0, 1, 2, 3, 4, 5
TEXTS = 6
TIME, OBSERVED, SEVERITY, FLAGS, DROPPED, SCOPE = 0, 1, 2, 3, 4, 5
NUMBERS = 6

ROWS, FLAG_RECORDS, BAD_TIME = 0, 1, 2
REFUSALS = {BAD_TIME: "time_out_of_range"}
COUNTS = 3


@leaf
def _is_evaluation(buf, name_a, name_b, kind, body_a, body_b, work, rows, words, names, name_keys):
    """Whether the record is a flag evaluation: by its event name, else an attribute that holds it, else its body."""
    if name_b > name_a:
        return find_word(buf, name_a, name_b, words, names) >= 0
    for row in range(rows):
        if work[row, SUPERSEDED] or work[row, TYPE] != TEXT:
            continue
        if find_word(buf, work[row, KEY_A], work[row, KEY_B], words, name_keys) >= 0:
            return find_word(buf, work[row, X], work[row, Y], words, names) >= 0
    return kind == TEXT and find_word(buf, body_a, body_b, words, names) >= 0


@kernel(
    f"int64({BUFFER}, int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    f" {BUFFER}, int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    f" UniTuple(uint8[::1], {TEXTS}), UniTuple(int32[::1], {TEXTS}), int64[:, ::1],"
    f" UniTuple(uint8[::1], {CELLS}), UniTuple(int32[::1], {CELLS}), int64[:, ::1], int64[::1], {RULES}, int64)",
    allocates=False,
)
def fill(
    buf, items, work, frames, words, names, name_keys, roles,
    text, ends, numbers, flag_text, flag_ends, flag_numbers, counts, rules, about_body,
):  # fmt: skip
    """Fill all columns from the log records in `items`; `about_body` is what to do with bodies: KEEP, DROP or HASH.

    Returns 0 or a negative code.
    """
    for item in range(items.shape[0]):
        a, b = items[item, 0], items[item, 1]
        row = counts[ROWS]
        trace_a, trace_b, span_a, span_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        severity_a, severity_b, name_a, name_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        attributes_a, attributes_b = np.int64(0), np.int64(0)
        kind, x, y, has_body = np.int64(0), np.int64(0), np.int64(0), False
        time, observed = np.uint64(0), np.uint64(0)
        severity, flags, dropped = np.int64(0), np.int64(0), np.int64(0)
        pos = np.int64(a)
        while pos < b:
            here = pos
            tag, value, start, pos = field(buf, pos, b)
            if pos < 0:
                return MALFORMED
            if tag == 50:
                attributes_a = here if attributes_b == 0 else attributes_a
                attributes_b = pos
            elif tag == 9:
                time = fixed64(buf, start)
            elif tag == 89:
                observed = fixed64(buf, start)
            elif tag == 16:
                severity = np.int64(np.int32(value))
            elif tag == 26:
                severity_a, severity_b = start, pos
            elif tag == 42:
                if has_body:
                    return REPEATED
                has_body = True
                kind, x, y = parse_any(buf, start, pos)
                if kind < 0:
                    return kind
            elif tag == 56:
                dropped = np.int64(value & np.uint64(0xFFFFFFFF))
            elif tag == 69:
                flags = fixed32(buf, start)
            elif tag == 74:
                trace_a, trace_b = start, pos
            elif tag == 82:
                span_a, span_b = start, pos
            elif tag == 98:
                name_a, name_b = start, pos
        limit = np.uint64(0x7FFFFFFFFFFFFFFF)
        kept = time <= limit and observed <= limit
        if trace_b - trace_a != 16 or not nonzero(buf, trace_a, trace_b):
            trace_b = trace_a
        if span_b - span_a != 8 or not nonzero(buf, span_a, span_b):
            span_b = span_a

        rows = open_list(buf, attributes_a, attributes_b, 50, True, work, 0, rules)
        if rows < 0:
            return rows
        records = counts[FLAG_RECORDS]
        if trace_b > trace_a and _is_evaluation(buf, name_a, name_b, kind, x, y, work, rows, words, names, name_keys):
            ids = (trace_a, trace_b, span_a, span_b)
            when = np.int64(time) if time > 0 else np.int64(observed)
            written = put_evaluation(
                buf, work, rows, frames, words, roles, ids, when, flag_text, flag_ends, flag_numbers, records, rules
            )
            if written < 0:
                return written
            records += written
        cell = np.int64(ends[ATTRIBUTES][row])
        if rows > 0:
            cell = put_list(buf, work, 0, rows, True, text[ATTRIBUTES], cell, frames, rules)
            if cell < 0:
                return cell
        ends[ATTRIBUTES][row + 1] = cell
        cell = np.int64(ends[BODY][row])
        if about_body == HASH:
            kind, x, y = hidden(buf, kind, x, y)
            if kind < 0:
                return kind
        if kind != NOTHING and about_body != DROP:
            cell = put_value(buf, kind, x, y, work, 0, text[BODY], cell, frames, True, False, rules)
            if cell < 0:
                return cell
        ends[BODY][row + 1] = cell
        if not kept:
            counts[BAD_TIME] += 1
            continue

        trace, span = np.int64(ends[TRACE_ID][row]), np.int64(ends[SPAN_ID][row])
        level, name = np.int64(ends[SEVERITY_TEXT][row]), np.int64(ends[EVENT_NAME][row])
        if (
            trace + 32 > text[TRACE_ID].size
            or span + 16 > text[SPAN_ID].size
            or level + WORST_PLAIN * (severity_b - severity_a) + SLACK > text[SEVERITY_TEXT].size
            or name + WORST_PLAIN * (name_b - name_a) + SLACK > text[EVENT_NAME].size
        ):
            return FULL
        ends[TRACE_ID][row + 1] = put_hex(buf, trace_a, trace_b, text[TRACE_ID], trace)
        ends[SPAN_ID][row + 1] = put_hex(buf, span_a, span_b, text[SPAN_ID], span)
        ends[SEVERITY_TEXT][row + 1] = put_plain(buf, severity_a, severity_b, text[SEVERITY_TEXT], level)
        ends[EVENT_NAME][row + 1] = put_plain(buf, name_a, name_b, text[EVENT_NAME], name)
        numbers[TIME, row] = np.int64(time)
        numbers[OBSERVED, row] = np.int64(observed)
        numbers[SEVERITY, row] = severity
        numbers[FLAGS, row] = flags
        numbers[DROPPED, row] = dropped
        numbers[SCOPE, row] = items[item, 2]
        counts[ROWS] = row + 1
        counts[FLAG_RECORDS] = records
    return 0
