"""A request body into tables: the one door through which OTLP enters, whatever its encoding."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from traceguard.errors import InputError
from traceguard.otlp import arrow, envelope, flags, framing, logs, merge, origins, redact, spans
from traceguard.otlp.attributes import COLUMNS, DEEPEST
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, LOGS, NO_FLAG_RECORDS, SPANS, Decoded
from traceguard.otlp.rules import SLOTS
from traceguard.otlp.wire import FULL, MALFORMED, REPEATED
from traceguard.settings import Settings

Encoding = Literal["protobuf", "json"]
Signal = Literal["traces", "logs"]

_KINDS = pa.array(["unspecified", "internal", "server", "client", "producer", "consumer"])
_STATUSES = pa.array(["unset", "ok", "error"])
_LARGEST_BODY = 2**28  # JSON text and offsets of 32 bits bound what one body may hold; files are read in smaller chunks
# Room at first beside what the size of a body asks for; a loop that runs out of it starts again with more.
_FIRST_TEXT, _FIRST_ROWS, _FIRST_WORK = 4096, 64, 4096


def decode(body: bytes | bytearray | memoryview, *, encoding: Encoding, signal: Signal, settings: Settings) -> Decoded:
    """All spans (or log records) of one request body as tables.

    Spans that cannot be kept are counted by reason in the result. InputError when the body does not parse whole:
    nothing of it is used.
    """
    return decode_wire(to_wire(body, encoding, signal), signal, settings)


def to_wire(body: bytes | bytearray | memoryview, encoding: Encoding, signal: Signal) -> NDArray[np.uint8]:
    """A body as protobuf bytes: as it is, or transcoded from JSON. InputError when it is no JSON, or too large."""
    if len(body) > _LARGEST_BODY:
        message = f"The body has {len(body)} bytes, more than the {_LARGEST_BODY} of one request; send smaller batches."
        raise InputError(message)
    if encoding == "json":
        from traceguard.otlp.json import to_protobuf
        from traceguard.otlp.schema import of_requests

        return to_protobuf(body, of_requests(signal)).wire
    return np.frombuffer(body, np.uint8)


def decode_joined(wires: Sequence[NDArray[np.uint8]], signal: Signal, settings: Settings) -> Decoded:
    """Several bodies as if they were one: protobuf messages in a row are a message with the fields of all of them.

    Each must end where one of its fields ends, or the next would complete it. InputError when one does not, or does
    not parse; it does not say which.
    """
    for wire in wires:
        _check(0 if framing.protobuf_cut(wire) == wire.size else MALFORMED)
    return decode_wire(wires[0] if len(wires) == 1 else np.concatenate(wires), signal, settings)


def decode_wire(buf: NDArray[np.uint8], signal: Signal, settings: Settings) -> Decoded:
    """The same from protobuf bytes (an array of bytes that will not change)."""
    try:
        return _decode(buf, signal, settings)
    except merge.RepeatedError:
        return _decode(merge.merged(buf, signal), signal, settings)


def _decode(buf: NDArray[np.uint8], signal: Signal, settings: Settings) -> Decoded:
    if buf.size == 0:
        return Decoded()
    if buf.flags.writeable:
        buf = buf.view()
        buf.flags.writeable = False
    vocabulary = flags.vocabulary(settings.promoted_keys, settings.flag_prefixes)
    rules = redact.rules(settings)
    layers = envelope.unfold(buf)
    rows = _decode_spans if signal == "traces" else _decode_logs
    with arrow.arena() as arena:
        return _with_room(buf, lambda room: rows(buf, layers, vocabulary, _Scratch(arena, buf, room, rules)))


class _TooSmallError(Exception):
    """A loop ran out of room; internal to this module."""


def _with_room(buf: NDArray[np.uint8], attempt: Callable[[int], Decoded]) -> Decoded:
    """Try with twice the body's size per column, then with more: text that needs escapes grows up to sixfold."""
    room = 2
    while True:
        try:
            return attempt(room)
        except _TooSmallError:
            if room * buf.size > arrow.LARGEST_TEXT:
                message = "The body's text is too large for one request; send smaller batches."
                raise InputError(message) from None
            room *= 4


def _check(status: int) -> None:
    if status == FULL:
        raise _TooSmallError
    if status == REPEATED:
        raise merge.RepeatedError
    if status < 0:
        message = (
            "The body is no OTLP protobuf request, or it is damaged inside a message; send it whole and unchanged."
        )
        raise InputError(message)


class _Scratch:
    """The working memory, the text sizes and the rules of one attempt."""

    __slots__ = ("arena", "frames", "hidden", "rows", "rules", "size", "work")

    def __init__(self, arena: arrow.Arena, buf: NDArray[np.uint8], room: int, rules: redact.Rules) -> None:
        self.arena = arena
        self.size = room * buf.size + _FIRST_TEXT
        self.rows = room * _FIRST_ROWS + room * buf.size // 256
        self.work = arena.array("work", 0, (_FIRST_WORK * room // 2, COLUMNS), np.int64)
        self.frames = arena.array("frames", 0, (DEEPEST + flags.ROLES, 4), np.int64)
        memo = arena.array("memo", 0, (SLOTS, 3), np.int64)
        memo[:] = -1
        self.hidden = rules
        self.rules = (rules.words, rules.patterns, rules.key, memo)

    def cells(self, name: str, columns: int, rows: int) -> arrow.Cells:
        """Text columns of `rows` cells."""
        return self.arena.cells(name, columns, rows, self.size)


def _origins(
    buf: NDArray[np.uint8], layers: envelope.Envelope, scratch: _Scratch
) -> tuple[dict[str, pa.Array], pa.Array, NDArray[np.uint8]]:
    """The columns of the resources by name, the scopes' JSON, and which of the scopes are flag hooks."""
    count = len(layers.resources)
    cells = scratch.cells("resources", origins.TEXTS, count)
    _check(
        origins.fill_resources(
            buf, layers.resources, scratch.work, scratch.frames, cells.text, cells.ends, scratch.rules
        )
    )
    service = cells.strings(origins.SERVICE, count, empty_is_null=True).fill_null("unknown_service")
    environment = pc.coalesce(
        cells.strings(origins.ENVIRONMENT, count, empty_is_null=True),
        cells.strings(origins.OLD_ENVIRONMENT, count, empty_is_null=True),
    )
    columns = {
        "resource": cells.strings(origins.RESOURCE, count, empty_is_null=True),
        "service": service,
        "version": cells.strings(origins.VERSION, count, empty_is_null=True),
        "environment": environment,
        "instance": cells.strings(origins.INSTANCE, count, empty_is_null=True),
    }
    scopes = scratch.cells("scopes", 1, len(layers.scopes))
    hooks = np.zeros(len(layers.scopes), np.uint8)
    _check(
        origins.fill_scopes(
            buf, layers.scopes, scratch.work, scratch.frames, scopes.text[0], scopes.ends[0], hooks, scratch.rules
        )
    )
    return columns, scopes.strings(0, len(layers.scopes), empty_is_null=True), hooks


def _flag_table(cells: arrow.Cells, values: NDArray[np.int64], count: int) -> pa.Table:
    if count == 0:
        return NO_FLAG_RECORDS
    columns = [
        cells.strings(flags.TRACE_CELL, count),
        cells.strings(flags.SPAN_CELL, count, empty_is_null=True),
        cells.strings(flags.KEY_CELL, count),
        flags.canonical(cells.strings(flags.LEVEL_CELL, count), values[flags.READING, :count]),
        cells.strings(flags.CONTEXT_CELL, count, empty_is_null=True),
        cells.strings(flags.PROVIDER_CELL, count, empty_is_null=True),
        cells.strings(flags.REASON_CELL, count, empty_is_null=True),
        arrow.numbers(values[flags.TIME], count, zero_is_null=True),
    ]
    return pa.Table.from_arrays(columns, schema=FLAG_RECORDS)


def _decode_spans(
    buf: NDArray[np.uint8], layers: envelope.Envelope, words: flags.Vocabulary, scratch: _Scratch
) -> Decoded:
    resources, scopes, hooks = _origins(buf, layers, scratch)
    received = len(layers.items)
    cells = scratch.cells("rows", spans.TEXTS, received)
    values = np.empty((spans.NUMBERS, received), np.int64)
    near = scratch.cells("correlations", spans.CORRELATION_CELLS, scratch.rows)
    flag_cells = scratch.cells("flags", flags.CELLS, scratch.rows)
    flag_values = np.empty((2, scratch.rows + 2), np.int64)
    counts = np.zeros(spans.COUNTS, np.int64)
    status = spans.fill(
        buf, layers.items, hooks, scratch.work, scratch.frames,
        words.words, words.names, words.roles, words.convention, words.promoted, words.prefixes, words.interest,
        cells.text, cells.ends, values, near.text, near.ends, flag_cells.text, flag_cells.ends, flag_values, counts,
        scratch.rules, scratch.hidden.status_message,
    )  # fmt: skip
    _check(status)
    rows = int(counts[spans.ROWS])
    scope = values[spans.SCOPE, :rows]
    resource = layers.scopes[scope, 4]
    columns = {
        "trace_id": cells.strings(spans.TRACE_ID, rows),
        "span_id": cells.strings(spans.SPAN_ID, rows),
        "parent_span_id": cells.strings(spans.PARENT, rows, empty_is_null=True),
        "operation": arrow.words(cells.strings(spans.OPERATION, rows)),
        "kind": _enumeration(values[spans.KIND, :rows], _KINDS),
        "start_ns": arrow.numbers(values[spans.START], rows),
        "dur_ns": arrow.numbers(values[spans.DURATION], rows),
        "status": _enumeration(values[spans.STATUS, :rows], _STATUSES),
        "status_message": cells.strings(spans.MESSAGE, rows, empty_is_null=True),
        "attributes": cells.strings(spans.ATTRIBUTES, rows, empty_is_null=True),
        "events": cells.strings(spans.EVENTS, rows, empty_is_null=True),
        "links": cells.strings(spans.LINKS, rows, empty_is_null=True),
        "scope": arrow.words(scopes, scope),
        "trace_state": cells.strings(spans.TRACE_STATE, rows, empty_is_null=True),
        "flags": arrow.numbers(values[spans.FLAGS], rows),
        "dropped_attributes": arrow.numbers(values[spans.DROPPED_ATTRIBUTES], rows),
        "dropped_events": arrow.numbers(values[spans.DROPPED_EVENTS], rows),
        "dropped_links": arrow.numbers(values[spans.DROPPED_LINKS], rows),
        "evaluation_only": pa.array(values[spans.ONLY_EVALUATION, :rows] != 0),
        "end_before_start_ns": arrow.numbers(values[spans.EARLY_END], rows),
        **{name: arrow.words(column, resource) for name, column in resources.items()},
    }
    close = int(counts[spans.CORRELATIONS])
    return Decoded(
        spans=pa.Table.from_arrays([columns[name] for name in SPANS.names], schema=SPANS),
        flag_records=_flag_table(flag_cells, flag_values, int(counts[spans.FLAG_RECORDS])),
        correlations=pa.Table.from_arrays(
            [near.strings(cell, close) for cell in range(spans.CORRELATION_CELLS)], schema=CORRELATIONS
        ),
        received=received,
        refused={reason: int(counts[which]) for which, reason in spans.REFUSALS.items() if counts[which]},
    )


def _decode_logs(
    buf: NDArray[np.uint8], layers: envelope.Envelope, words: flags.Vocabulary, scratch: _Scratch
) -> Decoded:
    received = len(layers.items)
    cells = scratch.cells("rows", logs.TEXTS, received)
    values = np.empty((logs.NUMBERS, received), np.int64)
    flag_cells = scratch.cells("flags", flags.CELLS, received)
    flag_values = np.empty((2, received + 2), np.int64)
    counts = np.zeros(logs.COUNTS, np.int64)
    status = logs.fill(
        buf, layers.items, scratch.work, scratch.frames, words.words, words.names, words.name_keys, words.roles,
        cells.text, cells.ends, values, flag_cells.text, flag_cells.ends, flag_values, counts,
        scratch.rules, scratch.hidden.log_body,
    )  # fmt: skip
    _check(status)
    resources, scopes, _ = _origins(buf, layers, scratch)
    rows = int(counts[logs.ROWS])
    scope = values[logs.SCOPE, :rows]
    resource = layers.scopes[scope, 4]
    columns = {
        "trace_id": cells.strings(logs.TRACE_ID, rows, empty_is_null=True),
        "span_id": cells.strings(logs.SPAN_ID, rows, empty_is_null=True),
        "time_ns": arrow.numbers(values[logs.TIME], rows, zero_is_null=True),
        "observed_ns": arrow.numbers(values[logs.OBSERVED], rows, zero_is_null=True),
        "service": arrow.words(resources["service"], resource),
        "severity": arrow.numbers(values[logs.SEVERITY], rows),
        "severity_text": cells.strings(logs.SEVERITY_TEXT, rows, empty_is_null=True),
        "event_name": cells.strings(logs.EVENT_NAME, rows, empty_is_null=True),
        "body": cells.strings(logs.BODY, rows, empty_is_null=True),
        "attributes": cells.strings(logs.ATTRIBUTES, rows, empty_is_null=True),
        "resource": arrow.words(resources["resource"], resource),
        "scope": arrow.words(scopes, scope),
        "flags": arrow.numbers(values[logs.FLAGS], rows),
        "dropped_attributes": arrow.numbers(values[logs.DROPPED], rows),
    }
    return Decoded(
        logs=pa.Table.from_arrays([columns[name] for name in LOGS.names], schema=LOGS),
        flag_records=_flag_table(flag_cells, flag_values, int(counts[logs.FLAG_RECORDS])),
        received=received,
        refused={reason: int(counts[which]) for which, reason in logs.REFUSALS.items() if counts[which]},
    )


def _enumeration(codes: NDArray[np.int64], names: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names)
