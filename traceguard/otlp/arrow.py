"""Filled buffers as Arrow arrays, without copying."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Offsets into a text column are 32 bits wide, and a buffer must stay below that.
LARGEST_TEXT = 2**31 - 1024


@dataclass(frozen=True, slots=True)
class Cells:
    """Text columns that a loop fills: per column a buffer of bytes and the offsets where its cells end."""

    text: tuple[NDArray[np.uint8], ...]
    ends: tuple[NDArray[np.int32], ...]
    buffers: tuple[tuple[pa.Buffer, pa.Buffer], ...]  # the same memory as Arrow sees it: ends and text of each column

    @classmethod
    def empty(cls, columns: int, rows: int, size: int) -> "Cells":
        """Room for `rows` cells in each column, of `size` bytes together.

        Pages that are never written cost no
        memory.

        Arrow's allocator keeps pages that it has touched before: for small bodies, fresh ones take a third of the
        time of decoding.
        """
        size = min(size, LARGEST_TEXT)
        buffers = tuple((pa.allocate_buffer(4 * rows + 8), pa.allocate_buffer(size)) for _ in range(columns))
        ends = tuple(np.frombuffer(offsets, np.int32) for offsets, _ in buffers)
        for offsets in ends:
            offsets[0] = 0
        return cls(tuple(np.frombuffer(data, np.uint8) for _, data in buffers), ends, buffers)

    def strings(self, column: int, rows: int, *, empty_is_null: bool = False) -> pa.Array:
        """The first `rows` cells of a column."""
        if rows == 0:
            return pa.array([], pa.string())
        ends = self.ends[column]
        mask, nulls = None, 0
        if empty_is_null:
            present = ends[1 : rows + 1] > ends[:rows]
            nulls = rows - int(np.count_nonzero(present))
            mask = pa.py_buffer(np.packbits(present, bitorder="little")) if nulls else None
        offsets, data = self.buffers[column]
        return pa.StringArray.from_buffers(
            rows, offsets.slice(0, 4 * rows + 4), data.slice(0, int(ends[rows])), mask, nulls
        )


def numbers(column: NDArray[np.int64], rows: int, *, zero_is_null: bool = False) -> pa.Array:
    """The first `rows` numbers; with `zero_is_null` none that is zero or less stays."""
    values = column[:rows]
    return pa.array(values, pa.int64(), mask=values <= 0 if zero_is_null else None)


def words(values: pa.Array, rows: NDArray[np.int64] | None = None) -> pa.DictionaryArray:
    """Repeated text as a dictionary; with `rows`, the value of each is looked up in `values` by its number."""
    if rows is not None and len(values) == 1:
        if values.null_count:
            return pa.nulls(len(rows), pa.dictionary(pa.int32(), pa.string()))
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), values)
    encoded = values.dictionary_encode()
    if rows is None:
        return encoded
    return pa.DictionaryArray.from_arrays(encoded.indices.take(pa.array(rows)), encoded.dictionary)
