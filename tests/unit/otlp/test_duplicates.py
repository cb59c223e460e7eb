"""Spans that came before are counted, in bounded memory."""

import numpy as np
import pyarrow as pa
from builders.otlp import make_span, trace_request

from traceguard.otlp import decode
from traceguard.otlp.columns import NO_SPANS
from traceguard.otlp.duplicates import Recent
from traceguard.settings import Settings


def table(seed: int, rows: int) -> pa.Table:
    """Spans of one trace that start at random, as far as the count looks at them."""
    starts = np.random.default_rng(seed).integers(0, 2**62, rows)
    return pa.table(
        {"trace_id": pa.repeat(f"{seed:032x}", rows), "span_id": pa.repeat("b" * 16, rows), "start_ns": starts}
    )


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
    other = {"trace_id": ["c" * 32], "span_id": ["d" * 16], "start_ns": [1]}
    for number, (name, values) in enumerate(other.items()):
        assert recent.count(one.set_column(number, name, [values])) == 0
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
