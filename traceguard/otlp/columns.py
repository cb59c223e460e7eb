"""The columns that OTLP becomes: one Arrow schema per table of the store.

Names and order equal the tables of `queries/ddl`, which a test asserts. Repeated text (service, resource, scope) is
dictionary-encoded, so a batch carries it once. Attributes are JSON text: an object from key to value, integers exact,
doubles with a decimal point or exponent, bytes as base64, NaN and the infinities as text.
"""

from dataclasses import dataclass, field

import pyarrow as pa

_WORD = pa.dictionary(pa.int32(), pa.string())

SPANS = pa.schema([
    ("trace_id", pa.string()), ("span_id", pa.string()), ("parent_span_id", pa.string()),
    ("service", _WORD), ("operation", _WORD), ("kind", _WORD),
    ("start_ns", pa.int64()), ("dur_ns", pa.int64()), ("status", _WORD), ("status_message", pa.string()),
    ("version", _WORD), ("environment", _WORD), ("instance", _WORD),
    ("attributes", pa.string()), ("events", pa.string()), ("links", pa.string()),
    ("resource", _WORD), ("scope", _WORD), ("trace_state", pa.string()), ("flags", pa.int64()),
    ("dropped_attributes", pa.int64()), ("dropped_events", pa.int64()), ("dropped_links", pa.int64()),
    ("evaluation_only", pa.bool_()), ("end_before_start_ns", pa.int64()),
])  # fmt: skip

FLAG_RECORDS = pa.schema([
    ("trace_id", pa.string()), ("span_id", pa.string()), ("flag_key", pa.string()), ("variant", pa.string()),
    ("context_id", pa.string()), ("provider", pa.string()), ("reason", pa.string()), ("time_ns", pa.int64()),
])  # fmt: skip

CORRELATIONS = pa.schema([
    ("trace_id", pa.string()), ("span_id", pa.string()), ("key", pa.string()), ("value", pa.string()),
])  # fmt: skip

LOGS = pa.schema([
    ("trace_id", pa.string()), ("span_id", pa.string()), ("time_ns", pa.int64()), ("observed_ns", pa.int64()),
    ("service", _WORD), ("severity", pa.int64()), ("severity_text", pa.string()), ("event_name", pa.string()),
    ("body", pa.string()), ("attributes", pa.string()), ("resource", _WORD), ("scope", _WORD),
    ("flags", pa.int64()), ("dropped_attributes", pa.int64()),
])  # fmt: skip


# Tables cannot change, so one empty one of each kind serves every body; making it anew costs as much as ten spans.
NO_SPANS, NO_FLAG_RECORDS = SPANS.empty_table(), FLAG_RECORDS.empty_table()
NO_CORRELATIONS, NO_LOGS = CORRELATIONS.empty_table(), LOGS.empty_table()


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded body (or file chunk): a table per store table, and what was refused and why.

    `received` counts the spans (or log records) in the body, refused ones included; `refused` counts them by reason.
    """

    spans: pa.Table = field(default_factory=lambda: NO_SPANS)
    flag_records: pa.Table = field(default_factory=lambda: NO_FLAG_RECORDS)
    correlations: pa.Table = field(default_factory=lambda: NO_CORRELATIONS)
    logs: pa.Table = field(default_factory=lambda: NO_LOGS)
    received: int = 0
    refused: dict[str, int] = field(default_factory=dict)
