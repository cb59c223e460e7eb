"""Numbers to text in bulk: ids as lowercase hex, and pieces of text joined row by row."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from traceguard.simulate.fleet import Value

_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def octets(*words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """n by 8·len(words): the big-endian bytes of one or more 64-bit words."""
    return np.concatenate([w.astype(">u8").view(np.uint8).reshape(-1, 8) for w in words], axis=1)


def hex_of(*words: NDArray[np.uint64]) -> pa.StringArray:
    """Lowercase hex, 16 digits a word, as trace UIs show ids."""
    raw = octets(*words)
    digits = np.empty((raw.shape[0], raw.shape[1] * 2), np.uint8)
    digits[:, 0::2] = _HEX[raw >> 4]
    digits[:, 1::2] = _HEX[raw & 15]
    return fixed(digits, pa.string())


def fixed(cells: NDArray[np.uint8], type_: pa.DataType) -> pa.Array:
    """Rows of equal length as an Arrow text or binary array."""
    count, width = cells.shape
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(width)
    return pa.Array.from_buffers(type_, count, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(cells))])


def prefixed(prefix: str, hexes: pa.StringArray, digits: int) -> pa.StringArray:
    """The first digits of ids behind a word: `user-3f2a90c1`."""
    return pc.binary_join_element_wise(prefix, pc.utf8_slice_codeunits(hexes, 0, digits), "")


def joined(*pieces: pa.Array | pa.Scalar | str) -> pa.Array:
    """The pieces of every row run together; all of text or all of bytes, no nulls."""
    empty: str | pa.Scalar = ""
    if any(isinstance(piece, pa.Array) and pa.types.is_binary(piece.type) for piece in pieces):
        empty = pa.scalar(b"", pa.binary())
    return pc.binary_join_element_wise(*pieces, empty)


def grouped(pieces: pa.Array, counts: NDArray[np.int64], separator: str | bytes) -> pa.Array:
    """One text per group: the next `counts[g]` pieces joined. An empty group gives an empty text."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), pieces), pa.scalar(separator, pieces.type))


def words(values: Sequence[str | None], index: NDArray[np.integer]) -> pa.DictionaryArray:
    """Repeated text, dictionary-encoded with 32-bit indices; a value of None makes its rows null."""
    indices = pa.array(np.asarray(index, np.int32))
    if None in values:
        missing = np.array([value is None for value in values])[index]
        indices = pa.array(np.asarray(index, np.int32), mask=missing)
    return pa.DictionaryArray.from_arrays(indices, pa.array([value or "" for value in values], pa.string()))


def dumped(value: Mapping[str, Value] | Mapping[str, object]) -> str:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
