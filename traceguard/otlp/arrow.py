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

    @classmethod
    def empty(cls, columns: int, rows: int, size: int) -> "Cells":
        """Room for `rows` cells in each column, of `size` bytes together; pages that are never written cost no memory."""
        size = min(size, LARGEST_TEXT)
        text = tuple(np.empty(size, np.uint8) for _ in range(columns))
        ends = tuple(np.empty(rows + 2, np.int32) for _ in range(columns))
        for offsets in ends:
            offsets[0] = 0
        return cls(text, ends)

    def strings(self, column: int, rows: int, *, empty_is_null: bool = False) -> pa.Array:
        """The first `rows` cells of a column."""
        ends = self.ends[column][: rows + 1]
        mask, nulls = None, 0
        if empty_is_null:
            present = np.diff(ends) > 0
            nulls = rows - int(np.count_nonzero(present))
            mask = pa.py_buffer(np.packbits(present, bitorder="little")) if nulls else None
        data = self.text[column][: int(ends[-1])]
        return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(data), mask, nulls)


def numbers(column: NDArray[np.int64], rows: int, *, zero_is_null: bool = False) -> pa.Array:
    """The first `rows` numbers; with `zero_is_null` none that is zero or less stays."""
    values = column[:rows]
    return pa.array(values, pa.int64(), mask=values <= 0 if zero_is_null else None)


def words(values: pa.Array, rows: NDArray[np.int64] | None = None) -> pa.DictionaryArray:
    """Repeated text as a dictionary; with `rows`, the value of each is looked up in `values` by its number."""
    encoded = values.dictionary_encode()
    if rows is None:
        return encoded
    return pa.DictionaryArray.from_arrays(encoded.indices.take(pa.array(rows)), encoded.dictionary)
