"""Spans of a request into rows: one pass fills every column, flag record and correlation that a span holds.

A span is refused, and counted, when its trace id is not 16 bytes or all zero, its span id not 8 bytes or zero, or a
time does not fit into int64 nanoseconds; nothing of it is kept. Everything else is kept as it came: parents and links
with odd ids stay legible as hex.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import kernel, leaf
from traceguard.otlp.attributes import KEY_A, KEY_B, SUPERSEDED, TYPE, X, Y, open_list, put_list, put_value
from traceguard.otlp.events import put_event, put_link
from traceguard.otlp.flags import (
    CELLS,
    PREFIX_INTEREST,
    PROMOTED_INTEREST,
    READ_NONE,
    READING,
    conventional,
    find_prefix,
    find_word,
    interest_slot,
    put_evaluation,
    put_tag,
)
from traceguard.otlp.rules import DROP, HASH, RULES, put_hash
from traceguard.otlp.text import SLACK, WORST_PLAIN, put_hex, put_plain, same
from traceguard.otlp.wire import BUFFER, FULL, MALFORMED, field, fixed32, fixed64, nonzero

# Text columns, then number columns, in the order in which `fill` gets them.
TRACE_ID, SPAN_ID, PARENT, OPERATION, MESSAGE, ATTRIBUTES, EVENTS, LINKS, TRACE_STATE = 0, 1, 2, 3, 4, 5, 6, 7, 8
TEXTS = 9
(
    START,
    DURATION,
    FLAGS,
    DROPPED_ATTRIBUTES,
    DROPPED_EVENTS,
    DROPPED_LINKS,
    EARLY_END,
    KIND,
    STATUS,
    ONLY_EVALUATION,
    SCOPE,
) = range(11)
NUMBERS = 11
CORRELATION_CELLS = 4  # trace id, span id, key, value

ROWS, CORRELATIONS, FLAG_RECORDS, BAD_TRACE_ID, BAD_SPAN_ID, BAD_TIME = 0, 1, 2, 3, 4, 5
REFUSALS = {BAD_TRACE_ID: "invalid_trace_id", BAD_SPAN_ID: "invalid_span_id", BAD_TIME: "time_out_of_range"}
COUNTS = 6

_INTERNAL = 1
_FLAG_KEY = np.frombuffer(b"feature_flag.key", np.uint8)


@leaf
def _put_correlation(buf, work, row, high, frames, ids, text, ends, count, rules):
    """Write the attribute in `row` as a correlation: 1 written, 0 it has no text, or a negative code."""
    if count + 1 >= ends[0].size:
        return np.int64(FULL)
    trace, span, key = np.int64(ends[0][count]), np.int64(ends[1][count]), np.int64(ends[2][count])
    key_a, key_b = work[row, KEY_A], work[row, KEY_B]
    if trace + 2 * (ids[1] - ids[0]) > text[0].size or span + 2 * (ids[3] - ids[2]) > text[1].size:
        return np.int64(FULL)
    if key + WORST_PLAIN * (key_b - key_a) + SLACK > text[2].size:
        return np.int64(FULL)
    start = np.int64(ends[3][count])
    end = put_value(
        buf, work[row, TYPE], work[row, X], work[row, Y], work, high, text[3], start, frames, False, True, rules
    )
    if end < 0:
        return end
    if end == start:
        return np.int64(0)
    ends[0][count + 1] = put_hex(buf, ids[0], ids[1], text[0], trace)
    ends[1][count + 1] = put_hex(buf, ids[2], ids[3], text[1], span)
    ends[2][count + 1] = put_plain(buf, key_a, key_b, text[2], key)
    ends[3][count + 1] = end
    return np.int64(1)


@leaf
def _put_text(buf, a, b, text, ends, row):
    """Plain text into one cell; False when there is no room."""
    start = np.int64(ends[row])
    if start + WORST_PLAIN * (b - a) + SLACK > text.size:
        return False
    ends[row + 1] = put_plain(buf, a, b, text, start)
    return True


@leaf
def _put_id(buf, a, b, text, ends, row):
    """Hex into one cell; False when there is no room."""
    start = np.int64(ends[row])
    if start + 2 * (b - a) > text.size:
        return False
    ends[row + 1] = put_hex(buf, a, b, text, start)
    return True


@kernel(
    f"int64({BUFFER}, int64[:, ::1], uint8[::1], int64[:, ::1], int64[:, ::1],"
    f" {BUFFER}, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], uint8[::1],"
    f" UniTuple(uint8[::1], {TEXTS}), UniTuple(int32[::1], {TEXTS}), int64[:, ::1],"
    f" UniTuple(uint8[::1], {CORRELATION_CELLS}), UniTuple(int32[::1], {CORRELATION_CELLS}),"
    f" UniTuple(uint8[::1], {CELLS}), UniTuple(int32[::1], {CELLS}), int64[:, ::1], int64[::1], {RULES}, int64)",
    allocates=False,
)
def fill(
    buf, items, hooks, work, frames,
    words, names, roles, convention, promoted, prefixes, interest,
    text, ends, numbers,
    near_text, near_ends,
    flag_text, flag_ends, flag_numbers, counts, rules, about_message,
):  # fmt: skip
    """Fill all columns from the spans in `items`; `hooks` says which of their scopes are flag hooks.

    Returns 0 or a negative code. `ends[c][row]` is where a cell begins and `ends[c][row + 1]` where it ends in
    `text[c]`. `counts` (zeroed) takes the number of rows, correlations and flag records, and of refused spans by
    reason. `about_message` is what to do with status messages: KEEP, DROP or HASH.
    """
    for item in range(items.shape[0]):
        a, b = items[item, 0], items[item, 1]
        row = counts[ROWS]
        trace_a, trace_b, span_a, span_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        parent_a, parent_b, name_a, name_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        state_a, state_b, message_a, message_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        attributes_a, attributes_b, events_a, events_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        links_a, links_b, kind, status, flags = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        begin, end = np.uint64(0), np.uint64(0)
        dropped_attributes, dropped_events, dropped_links = np.int64(0), np.int64(0), np.int64(0)
        pos = np.int64(a)
        while pos < b:
            here = pos
            tag, value, start, pos = field(buf, pos, b)
            if pos < 0:
                return MALFORMED
            if tag == 74:
                attributes_a = here if attributes_b == 0 else attributes_a
                attributes_b = pos
            elif tag == 10:
                trace_a, trace_b = start, pos
            elif tag == 18:
                span_a, span_b = start, pos
            elif tag == 34:
                parent_a, parent_b = start, pos
            elif tag == 42:
                name_a, name_b = start, pos
            elif tag == 48:
                kind = np.int64(np.int32(value))
            elif tag == 57:
                begin = fixed64(buf, start)
            elif tag == 65:
                end = fixed64(buf, start)
            elif tag == 90:
                events_a = here if events_b == 0 else events_a
                events_b = pos
            elif tag == 106:
                links_a = here if links_b == 0 else links_a
                links_b = pos
            elif tag == 122:
                inner = start
                while inner < pos:
                    tag, value, start, inner = field(buf, inner, pos)
                    if inner < 0:
                        return MALFORMED
                    if tag == 18:
                        message_a, message_b = start, inner
                    elif tag == 24:
                        status = np.int64(np.int32(value))
            elif tag == 133:
                flags = fixed32(buf, start)
            elif tag == 26:
                state_a, state_b = start, pos
            elif tag == 80:
                dropped_attributes = np.int64(value & np.uint64(0xFFFFFFFF))
            elif tag == 96:
                dropped_events = np.int64(value & np.uint64(0xFFFFFFFF))
            elif tag == 112:
                dropped_links = np.int64(value & np.uint64(0xFFFFFFFF))

        rows = open_list(buf, attributes_a, attributes_b, 74, True, work, 0, rules)
        if rows < 0:
            return rows
        names_flag = False
        for entry in range(rows):
            if work[entry, KEY_B] - work[entry, KEY_A] == _FLAG_KEY.size and same(
                buf, work[entry, KEY_A], work[entry, KEY_B], _FLAG_KEY, 0, _FLAG_KEY.size
            ):
                names_flag = True
        from_hook = hooks[items[item, 2]] != 0
        only_evaluation = (
            names_flag
            and 0 <= kind <= _INTERNAL
            and (from_hook or same(buf, name_a, name_b, words, names[0, 0], names[0, 1]))
        )
        if parent_b - parent_a == 8 and not nonzero(buf, parent_a, parent_b):
            parent_b = parent_a
        ids = (trace_a, trace_b, span_a, span_b)
        # The evaluation belongs to the application's span; where an extra span has no parent, to none.
        owner = (trace_a, trace_b, parent_a, parent_b) if only_evaluation else ids

        correlations, records = counts[CORRELATIONS], counts[FLAG_RECORDS]
        for entry in range(rows):
            key_a, key_b = work[entry, KEY_A], work[entry, KEY_B]
            if key_b <= key_a or work[entry, SUPERSEDED]:
                continue
            interests = interest[interest_slot(buf, key_a, key_b)]
            if interests & PROMOTED_INTEREST and find_word(buf, key_a, key_b, words, promoted) >= 0:
                written = _put_correlation(
                    buf, work, entry, rows, frames, ids, near_text, near_ends, correlations, rules
                )
                if written < 0:
                    return written
                correlations += written
            if interests & PREFIX_INTEREST:
                size = find_prefix(buf, key_a, key_b, words, prefixes)
                if size > 0 and not conventional(buf, key_a, key_b, words, convention):
                    written = put_tag(
                        buf,
                        key_a + size,
                        key_b,
                        work,
                        entry,
                        rows,
                        frames,
                        owner,
                        np.int64(begin),
                        flag_text,
                        flag_ends,
                        flag_numbers,
                        records,
                        rules,
                    )
                    if written < 0:
                        return written
                    records += written
        if names_flag:
            written = put_evaluation(
                buf,
                work,
                rows,
                frames,
                words,
                roles,
                owner,
                np.int64(begin),
                flag_text,
                flag_ends,
                flag_numbers,
                records,
                rules,
            )
            if written < 0:
                return written
            # Such a hook also sends an event, which has the level; the span without one would be a second evaluation.
            if not (from_hook and only_evaluation and flag_numbers[READING, records] == READ_NONE):
                records += written

        cell = np.int64(ends[ATTRIBUTES][row])
        if rows > 0:
            cell = put_list(buf, work, 0, rows, True, text[ATTRIBUTES], cell, frames, rules)
            if cell < 0:
                return cell
        ends[ATTRIBUTES][row + 1] = cell

        cell = np.int64(ends[EVENTS][row])
        opening = cell
        pos = events_a
        while pos < events_b:
            tag, value, start, pos = field(buf, pos, events_b)
            if tag != 90:
                continue
            if cell + 2 > text[EVENTS].size:
                return FULL
            text[EVENTS][cell] = 91 if cell == opening else 44
            cell, time, event_a, event_b, rows = put_event(buf, start, pos, work, frames, text[EVENTS], cell + 1, rules)
            if cell < 0:
                return cell
            if event_b > event_a and find_word(buf, event_a, event_b, words, names) >= 0:
                written = put_evaluation(
                    buf,
                    work,
                    rows,
                    frames,
                    words,
                    roles,
                    owner,
                    np.int64(time),
                    flag_text,
                    flag_ends,
                    flag_numbers,
                    records,
                    rules,
                )
                if written < 0:
                    return written
                records += written
        if cell > opening:
            if cell + 1 > text[EVENTS].size:
                return FULL
            text[EVENTS][cell] = 93
            cell += 1
        ends[EVENTS][row + 1] = cell

        cell = np.int64(ends[LINKS][row])
        opening = cell
        pos = links_a
        while pos < links_b:
            tag, value, start, pos = field(buf, pos, links_b)
            if tag != 106:
                continue
            if cell + 2 > text[LINKS].size:
                return FULL
            text[LINKS][cell] = 91 if cell == opening else 44
            cell = put_link(buf, start, pos, work, frames, text[LINKS], cell + 1, rules)
            if cell < 0:
                return cell
        if cell > opening:
            if cell + 1 > text[LINKS].size:
                return FULL
            text[LINKS][cell] = 93
            cell += 1
        ends[LINKS][row + 1] = cell

        # The span is well-formed; now it is clear whether the span can be kept.
        if about_message == DROP:
            message_b = message_a
        limit = np.uint64(0x7FFFFFFFFFFFFFFF)
        if trace_b - trace_a != 16 or not nonzero(buf, trace_a, trace_b):
            counts[BAD_TRACE_ID] += 1
            continue
        if span_b - span_a != 8 or not nonzero(buf, span_a, span_b):
            counts[BAD_SPAN_ID] += 1
            continue
        if begin > limit or end > limit:
            counts[BAD_TIME] += 1
            continue
        if not (
            _put_id(buf, trace_a, trace_b, text[TRACE_ID], ends[TRACE_ID], row)
            and _put_id(buf, span_a, span_b, text[SPAN_ID], ends[SPAN_ID], row)
            and _put_id(buf, parent_a, parent_b, text[PARENT], ends[PARENT], row)
            and _put_text(buf, name_a, name_b, text[OPERATION], ends[OPERATION], row)
            and _put_text(buf, message_a, message_b, text[MESSAGE], ends[MESSAGE], row)
            and _put_text(buf, state_a, state_b, text[TRACE_STATE], ends[TRACE_STATE], row)
        ):
            return FULL
        if about_message == HASH and message_b > message_a:
            cell = np.int64(ends[MESSAGE][row])
            if cell + 64 > text[MESSAGE].size:
                return FULL
            ends[MESSAGE][row + 1] = put_hash(text[MESSAGE], cell, np.int64(ends[MESSAGE][row + 1]), rules, False)
        duration = np.int64(end) - np.int64(begin)
        numbers[START, row] = np.int64(begin)
        numbers[DURATION, row] = max(duration, 0)
        numbers[EARLY_END, row] = max(-duration, 0)
        numbers[FLAGS, row] = flags
        numbers[DROPPED_ATTRIBUTES, row] = dropped_attributes
        numbers[DROPPED_EVENTS, row] = dropped_events
        numbers[DROPPED_LINKS, row] = dropped_links
        numbers[KIND, row] = kind if 0 <= kind <= 5 else 0
        numbers[STATUS, row] = status if 0 <= status <= 2 else 0
        numbers[ONLY_EVALUATION, row] = only_evaluation
        numbers[SCOPE, row] = items[item, 2]
        counts[ROWS] = row + 1
        counts[CORRELATIONS] = correlations
        counts[FLAG_RECORDS] = records
    return 0
