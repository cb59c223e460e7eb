"""Spans that came before are counted, in bounded memory."""

import numpy as np
import pyarrow as pa
from builders.otlp import make_span, trace_request

from traceguard.otlp import decode
from traceguard.otlp.columns import NO_SPANS
from traceguard.otlp.duplicates import Recent
from traceguard.settings import Settings


def hexadecimal(chance: np.random.Generator, rows: int, digits: int) -> pa.Array:
    """Random ids."""
    text = np.frombuffer(b"0123456789abcdef", np.uint8)[chance.integers(0, 16, rows * digits)]
    ends = np.arange(0, rows * digits + 1, digits, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(text))


def table(seed: int, rows: int) -> pa.Table:
    """Random spans, as far as the count looks at them."""
    chance = np.random.default_rng(seed)
    return pa.table({
        "trace_id": hexadecimal(chance, rows, 32), "span_id": hexadecimal(chance, rows, 16),
        "start_ns": chance.integers(0, 2**62, rows),
    })  # fmt: skip


def test_a_retry_is_counted_span_by_span() -> None:
    """What a client sends again, whole, in part, or within one body."""
    body = trace_request(*(make_span(span_id=bytes([n] * 8)) for n in range(1, 6))).SerializeToString()
    spans = decode(body, encoding="protobuf", signal="traces", settings=Settings()).spans
    recent = Recent()
    assert [recent.count(spans), recent.count(spans), recent.count(spans.slice(1, 3))] == [0, 5, 3]
    assert Recent().count(pa.concat_tables([spans.slice(3), spans.slice(2, 2), spans])) == 4
    assert recent.count(NO_SPANS) == 0


def test_a_span_is_its_trace_its_id_and_its_start() -> None:
    """Two spans that differ in any of the three are two."""
    one = table(1, 1)
    recent = Recent()
    assert recent.count(one) == 0
    other = table(2, 1)
    for number, name in enumerate(one.column_names):
        assert recent.count(one.set_column(number, name, other[name])) == 0
    assert recent.count(one) == 1


def test_a_million_spans_are_remembered_and_no_more_memory_is_taken() -> None:
    """The first of a million are known at its end; after five million they are forgotten; nothing new is mistaken."""
    recent, first = Recent(), table(0, 10_000)
    assert recent.count(first) == 0
    assert recent.count(table(1, 990_000)) == 0
    assert recent.count(first) >= 9_990
    assert sum(recent.count(table(seed, 1_000_000)) for seed in range(2, 8)) <= 1
    assert recent.count(first) < 1_000
    assert recent._seen.nbytes == 2**24
