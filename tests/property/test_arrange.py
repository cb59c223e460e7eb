"""Spans on their way to the linker: sorted as Python would, found as a dictionary would, in memory as in files."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceguard.engine import spill
from traceguard.engine.lookup import Rows
from traceguard.engine.spill import WORDS, Spill, columns_of
from traceguard.traces.arrange import arranged, by_end

TYPES = {
    "trace": np.int32, "start": np.int64, "span": np.uint64, "kind": np.int8, "service": np.int32, "dur": np.int64,
    "operation": np.int32, "failed": np.bool_, "parent": np.uint64, "environment": np.int32,
}  # fmt: skip
few = st.integers(0, 3)
spans = st.lists(st.tuples(*(few for _ in TYPES)), min_size=1, max_size=120)


def columns(rows: list[tuple[int, ...]]) -> dict[str, np.ndarray[Any, Any]]:
    """The rows as the linker's columns; every trace number below the highest is there."""
    traces = sorted({row[0] for row in rows})
    given = np.array([(traces.index(row[0]), *row[1:]) for row in rows])
    return {name: given[:, i].astype(kind) for i, (name, kind) in enumerate(TYPES.items())}


@given(spans)
def test_spans_are_sorted_as_python_sorts_them(rows: list[tuple[int, ...]]) -> None:
    """By trace, then start and the rest, the longest of equals first."""
    column = columns(rows)
    traces = int(column["trace"].max()) + 1
    found = arranged(column, traces)
    listed = zip(*(found[name].tolist() for name in TYPES), strict=True)
    # dur is the sixth; what is true counts as 1 in both.
    wanted = sorted(zip(*(column[name].tolist() for name in TYPES), strict=True), key=lambda r: (*r[:5], -r[5], *r[6:]))
    assert list(listed) == wanted
    end = found["start"] + found["dur"]
    numbers = by_end(found, end, traces)
    assert numbers.tolist() == sorted(range(len(rows)), key=lambda i: (found["trace"][i], end[i], i))


@given(st.sets(st.integers(0, 2**64 - 1), max_size=60), st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_hashes_are_found_where_a_dictionary_has_them(known: set[int], others: list[int]) -> None:
    """Rows of ascending hashes, whatever they are; what is not among them has none."""
    hashes = np.array(sorted(known), dtype=np.uint64)
    asked = np.array([*known, *others], dtype=np.uint64)
    places = {int(value): row for row, value in enumerate(hashes)}
    assert Rows(hashes).find(asked).tolist() == [places.get(int(value), -1) for value in asked]


rows = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**63 - 1), st.integers(0, 31), st.integers(0, 4),
    ),
    max_size=60,
)  # fmt: skip


@given(rows, st.integers(1, 4), st.booleans())
def test_partitions_hold_what_was_stored(stored: list[tuple[int, ...]], partitions: int, on_disk: bool) -> None:
    """Every span of a known trace and name, in its partition, with everything it had; in files as in memory."""
    hashes = np.array([7 + n * 2**61 for n in range(8)], dtype=np.uint64)  # traces 8 and 9 are not in the window
    outside = np.array([11, 13], dtype=np.uint64)
    names = np.array([2**63 + n for n in range(4)], dtype=np.uint64)  # name 4 came later
    partition = np.sort(np.arange(8) % partitions).astype(np.int32)
    table = {
        "trace": [int([*hashes, *outside][row[0]]) for row in stored],
        "span": [row[1] for row in stored], "parent": [row[2] for row in stored],
        "start": [row[3] for row in stored], "dur": [row[4] for row in stored],
        "marks": [row[5] for row in stored], "name": [2**63 + row[6] for row in stored],
    }  # fmt: skip
    types = [pa.uint64(), pa.uint64(), pa.uint64(), pa.int64(), pa.int64(), pa.int8(), pa.uint64()]
    batches = pa.table(table, schema=pa.schema(list(zip(table, types, strict=True)))).to_batches(max_chunksize=17)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "MEMORY_BYTES", 0 if on_disk else 2**30)
        with Spill(Rows(hashes), partition, names, 1) as kept:
            kept.take(batches)
            words = [kept.partition(number) for number in range(partitions)]
    found = []
    for number, part in enumerate(words):
        assert part.shape[1] == WORDS
        column = columns_of(part)
        first = int(np.searchsorted(partition, number))
        found += [
            (
                first + int(column["trace"][i]), int(column["span"][i]), int(column["parent"][i]),
                int(column["start"][i]), int(column["dur"][i]),
                int(column["kind"][i]) + 8 * int(column["failed"][i]) + 16 * int(column["evaluation"][i]),
                int(column["name"][i]),
            )
            for i in range(len(part))
        ]  # fmt: skip
    assert sorted(found) == sorted(row for row in stored if row[0] < 8 and row[6] < 4)
