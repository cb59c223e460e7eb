"""What must hold for the store whatever comes in."""

import json
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceguard.otlp.columns import SPANS, Decoded
from traceguard.store import Store, open_store

_SPAN = {
    "trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "1", "service": "s", "operation": "o", "kind": "server",
    "start_ns": 1, "dur_ns": 1, "status": "ok", "flags": 0, "dropped_attributes": 0, "dropped_events": 0,
    "dropped_links": 0, "evaluation_only": False, "end_before_start_ns": 0,
}  # fmt: skip

# Arrow and DuckDB keep text as UTF-8, which has no lone surrogates.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """A store in memory, for all examples."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


@given(st.dictionaries(_TEXT, _TEXT, max_size=4), _TEXT)
def test_any_attribute_is_found_by_its_key(store: Store, attributes: dict[str, str], absent: str) -> None:
    """`attr('key')` gives back every value under every key as it was, and null for a key that is not there."""
    row = _SPAN | {"attributes": json.dumps(attributes, ensure_ascii=False)}
    with store.cursor() as cursor:
        cursor.execute("DELETE FROM spans")
    store.append([Decoded(spans=pa.Table.from_pylist([row], schema=SPANS))])
    with store.cursor() as cursor:
        for key in {*attributes, absent}:
            found = cursor.execute("SELECT attr($key) FROM spans", {"key": key}).fetchall()
            assert found == [(attributes.get(key),)], key


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from("ab"), st.integers(0, 3), st.integers(1, 4)),
        max_size=30,
    ),
    st.integers(1, 4),
)
def test_a_span_is_counted_once_at_its_longest(
    store: Store, spans: list[tuple[int, int, str, int, int]], batches: int
) -> None:
    """However often and in whatever pieces spans arrive, each (trace, span, service, start) stands once."""
    rows = [
        _SPAN
        | {"trace_id": f"{t:032x}", "span_id": f"{s:016x}", "service": service, "start_ns": start, "dur_ns": length}
        for t, s, service, start, length in spans
    ]
    with store.cursor() as cursor:
        cursor.execute("DELETE FROM spans")
    for n in range(batches):
        store.append([Decoded(spans=pa.Table.from_pylist(rows[n::batches], schema=SPANS))])
    longest: dict[tuple[str, str, str, int], int] = {}
    for t, s, service, start, length in spans:
        key = (f"{t:032x}", f"{s:016x}", service, start)
        longest[key] = max(longest.get(key, 0), length)
    with store.cursor() as cursor:
        found = cursor.execute("SELECT trace_id, span_id, service, start_ns, dur_ns FROM distinct_spans").fetchall()
    assert len(found) == len(longest)
    assert {(trace, span, service, start): length for trace, span, service, start, length in found} == longest
