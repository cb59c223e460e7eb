"""Hashes to numbers: which row of a window a trace is, which number a name or a level has."""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import inline, kernel

# numba's names for arrays that a kernel only reads.
U64, I64, I8, I32, I16 = (
    f"Array({kind}, 1, 'C', True)" for kind in ("uint64", "int64", "int8", "int32", "int16")
)  # fmt: skip


@inline
def row_of(trace, hashes, first, shift):  # noqa: ANN201  (its type comes from the caller)
    """The row of a trace among ascending hashes, -1 if it is not there; `first` says where its top bits begin."""
    at = np.int64(first[trace >> shift])
    while at < hashes.size and hashes[at] < trace:
        at += 1
    return at if at < hashes.size and hashes[at] == trace else np.int64(-1)


@inline
def number_of(name, known, numbers):  # noqa: ANN201  (as above)
    """The number of a hash, -1 if it has none: open addressing in a table whose size is a power of two."""
    mask = np.uint64(known.size - 1)
    slot = name & mask
    while numbers[slot] >= 0 and known[slot] != name:
        slot = (slot + np.uint64(1)) & mask
    return numbers[slot]


@kernel(f"void({U64}, {U64}, {I32}, uint64, int64[::1])")
def _find_rows(traces, hashes, first, shift, rows):
    for i in range(traces.size):
        rows[i] = row_of(traces[i], hashes, first, shift)


@kernel(f"void({U64}, uint64[::1], int32[::1])")
def _enter(names, known, numbers):
    mask = np.uint64(known.size - 1)
    for i in range(names.size):
        slot = names[i] & mask
        while numbers[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        known[slot], numbers[slot] = names[i], i


class Rows:
    """Rows of traces by hash. Hashes are spread evenly, so their top bits say nearly where one stands."""

    __slots__ = ("table",)

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        bits = max(1, int(hashes.size).bit_length())
        shift = np.uint64(64 - bits)
        edges = np.arange(2**bits, dtype=np.uint64) << shift
        # What `row_of` takes after the trace.
        self.table: tuple[Any, ...] = (hashes, np.searchsorted(hashes, edges).astype(np.int32), shift)

    def find(self, traces: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The row of each trace, -1 where it has none."""
        rows = np.empty(traces.size, dtype=np.int64)
        _find_rows(traces, *self.table, rows)
        return rows


class Numbers:
    """Numbers from 0 on for distinct hashes, in their order."""

    __slots__ = ("table",)

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        room = 2 ** max(4, (2 * hashes.size).bit_length())
        known, numbers = np.zeros(room, dtype=np.uint64), np.full(room, -1, dtype=np.int32)
        _enter(hashes, known, numbers)
        # What `number_of` takes after the hash.
        self.table: tuple[Any, ...] = (known, numbers)
