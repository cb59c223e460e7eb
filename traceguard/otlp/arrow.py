"""The memory that loops fill, kept from body to body, and what they filled as Arrow arrays."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Offsets into a text column are 32 bits wide, and a buffer must stay below that.
LARGEST_TEXT = 2**31 - 1024

# Larger buffers are given back after use: one body of 64 MiB must not hold its memory for ever.
_LARGEST_KEPT = 2**23


class Arena:
    """Buffers by name, for one body at a time.

    Pages that were never touched are costly: a loop that writes into new memory spends several times longer in the
    system than in decoding. What leaves is copied, so that decoded rows hold the bytes they need and no more.
    """

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, int], NDArray[np.uint8]] = {}

    def array(self, name: str, number: int, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        """An array of that shape, filled with anything; the next call of that name and number takes it back."""
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        block = self._blocks.get((name, number))
        if block is None or block.size < size:
            block = np.empty(1 << max(size, 1).bit_length() if size <= _LARGEST_KEPT // 2 else size, np.uint8)
            if block.size <= _LARGEST_KEPT:
                self._blocks[name, number] = block
        return block[:size].view(kind).reshape(shape)

    def cells(self, name: str, columns: int, rows: int, size: int) -> "Cells":
        """Room for `rows` cells in each column, of `size` bytes together."""
        size = min(size, LARGEST_TEXT)
        text = tuple(self.array(f"{name}.text", column, (size,), np.uint8) for column in range(columns))
        ends = tuple(self.array(f"{name}.ends", column, (rows + 2,), np.int32) for column in range(columns))
        for offsets in ends:
            offsets[0] = 0
        return Cells(text, ends)


_IDLE: deque[Arena] = deque()


@contextmanager
def arena() -> Iterator[Arena]:
    """An arena that nobody else uses meanwhile; there are as many as bodies were ever decoded at once."""
    try:
        mine = _IDLE.pop()
    except IndexError:
        mine = Arena()
    try:
        yield mine
    finally:
        _IDLE.append(mine)


@dataclass(frozen=True, slots=True)
class Cells:
    """Text columns that a loop fills: per column a buffer of bytes and the offsets where its cells end."""

    text: tuple[NDArray[np.uint8], ...]
    ends: tuple[NDArray[np.int32], ...]

    def strings(self, column: int, rows: int, *, empty_is_null: bool = False) -> pa.Array:
        """The first `rows` cells of a column, copied."""
        if rows == 0:
            return pa.array([], pa.string())
        ends = self.ends[column]
        mask, nulls = None, 0
        if empty_is_null:
            present = ends[1 : rows + 1] > ends[:rows]
            nulls = rows - int(np.count_nonzero(present))
            mask = pa.py_buffer(np.packbits(present, bitorder="little")) if nulls else None
        offsets, data = _copy(ends[: rows + 1]), _copy(self.text[column][: int(ends[rows])])
        return pa.StringArray.from_buffers(rows, offsets, data, mask, nulls)


def _copy(filled: NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(filled.tobytes())


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
