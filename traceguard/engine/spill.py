"""Spans on their way from the store to partitions, as numbers only: one pass over the store, whatever their number.

A span is five words of 64 bits. Each word of the fifth column holds the trace's row within its partition (32 bits), the
name's number (24) and the marks (8): kind, failed, evaluation, follows. What does not fit into `MEMORY_BYTES` lies in
temporary files until its partition is linked, so memory is bounded by the partition and not by the window.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.lookup import I8, I32, I64, U64, Numbers, Rows, number_of, row_of
from traceguard.engine.temporary import temporary_file, write
from traceguard.errors import StoreError
from traceguard.kernels import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import FileIO

    import pyarrow as pa

MEMORY_BYTES = 256 * 2**20
WORDS = 5
MOST_NAMES = 2**24


@kernel(
    f"void({U64}, {U64}, {U64}, {I64}, {I64}, {I8}, {U64}, {U64}, {I32}, uint64, {I32}, {I64}, {U64},"
    f" {I32}, int64[::1], uint64[:, ::1])"
)
def _scatter(
    trace, span, parent, start, dur, marks, name, hashes, first, shift, partition, opening, known, numbers, ends, out
):  # fmt: skip
    """Write the spans of known traces into `out`, partition by partition; `ends` tells where each ends.

    A name without number came after the window was opened, and its span waits for the next one. `opening` is the first
    trace's row of each partition.
    """
    rows = np.empty(trace.size, dtype=np.int32)
    number = np.empty(trace.size, dtype=np.int32)
    ends[:] = 0
    for i in range(trace.size):
        number[i] = number_of(name[i], known, numbers)
        rows[i] = row_of(trace[i], hashes, first, shift) if number[i] >= 0 else -1
        if rows[i] >= 0:
            ends[partition[rows[i]] + 1] += 1
    for p in range(ends.size - 1):
        ends[p + 1] += ends[p]
    place = ends[:-1].copy()
    for i in range(trace.size):
        row = np.int64(rows[i])
        if row < 0:
            continue
        p = partition[row]
        at = place[p]
        place[p] += 1
        out[at, 0], out[at, 1] = span[i], parent[i]
        out[at, 2], out[at, 3] = np.uint64(start[i]), np.uint64(dur[i])
        out[at, 4] = (
            (np.uint64(row - opening[p]) << np.uint64(32))
            | (np.uint64(number[i]) << np.uint64(8))
            | np.uint64(marks[i])
        )


class Spill:
    """The spans of a window by partition; a context manager that lets go of its files.

    `rows` are the traces, `partition` (t, ascending) the partition of each, `names` the hashes of the names in the
    order of their numbers. `size` is about how many spans will come.
    """

    def __init__(self, rows: Rows, partition: NDArray[np.int32], names: NDArray[np.uint64], size: int) -> None:
        if names.size > MOST_NAMES:
            raise StoreError(f"The store has {names.size:,} names of operations, more than {MOST_NAMES:,}.")
        self._rows, self._partition, self._names = rows, partition, Numbers(names)
        self._count = int(partition[-1]) + 1 if partition.size else 0
        self._opening = np.searchsorted(partition, np.arange(self._count)).astype(np.int64)
        self._pieces: list[list[NDArray[np.uint64]]] = [[] for _ in range(self._count)]
        self._files: list[FileIO] = []
        self._open = ExitStack()
        self._on_disk = size * WORDS * 8 > MEMORY_BYTES

    def __enter__(self) -> Self:
        """Itself; opens the files, if any are needed."""
        if self._on_disk:
            for _ in range(self._count):
                self._files.append(self._open.enter_context(temporary_file()))
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the files."""
        self._open.close()

    def take(self, batches: "Iterable[pa.RecordBatch]") -> None:
        """Sort the spans of a pass over the store into partitions; StoreError if the files cannot hold them."""
        ends = np.empty(self._count + 1, dtype=np.int64)
        out = np.empty((0, WORDS), dtype=np.uint64)
        for batch in batches:
            if batch.num_rows > out.shape[0]:
                out = np.empty((batch.num_rows, WORDS), dtype=np.uint64)
            column = {name: batch.column(name).to_numpy() for name in batch.schema.names}
            _scatter(
                *(column[name] for name in ("trace", "span", "parent", "start", "dur", "marks", "name")),
                *self._rows.table, self._partition, self._opening, *self._names.table, ends, out,
            )  # fmt: skip
            self._keep(ends, out)

    def _keep(self, ends: NDArray[np.int64], out: NDArray[np.uint64]) -> None:
        for number in np.flatnonzero(np.diff(ends)):
            piece = out[ends[number] : ends[number + 1]]
            if not self._on_disk:
                self._pieces[number].append(piece.copy())
                continue
            write(self._files[number], piece, "the spans while they are sorted")

    def partition(self, number: int) -> NDArray[np.uint64]:
        """The spans of one partition, to be asked for once; shape (n, 5)."""
        if not self._on_disk:
            pieces, self._pieces[number] = self._pieces[number], []
            return np.concatenate(pieces) if pieces else np.empty((0, WORDS), dtype=np.uint64)
        file = self._files[number]
        file.seek(0)
        words = np.fromfile(file, dtype=np.uint64).reshape(-1, WORDS)
        file.close()
        return words


_COLUMNS = {
    "trace": np.int32, "span": np.uint64, "parent": np.uint64, "start": np.int64, "dur": np.int64, "kind": np.int8,
    "failed": np.bool_, "evaluation": np.bool_, "follows": np.bool_, "name": np.int32,
}  # fmt: skip


@kernel(
    "void(uint64[:, ::1], int64, int32[::1], uint64[::1], uint64[::1], int64[::1], int64[::1], int8[::1], boolean[::1],"
    " boolean[::1], boolean[::1], int32[::1])"
)
def _unpack(words, traces, trace, span, parent, start, dur, kind, failed, evaluation, follows, name):
    """Write the columns trace by trace: linking then finds neighbours in memory, for one far read a span."""
    place = np.zeros(traces + 1, dtype=np.int64)
    for k in range(words.shape[0]):
        place[(words[k, 4] >> np.uint64(32)) + np.uint64(1)] += 1
    for t in range(traces):
        place[t + 1] += place[t]
    for k in range(words.shape[0]):
        packed = words[k, 4]
        i = place[packed >> np.uint64(32)]
        place[packed >> np.uint64(32)] += 1
        span[i], parent[i] = words[k, 0], words[k, 1]
        start[i], dur[i] = np.int64(words[k, 2]), np.int64(words[k, 3])
        trace[i] = np.int32(packed >> np.uint64(32))
        kind[i] = np.int8(packed & np.uint64(7))
        failed[i] = packed & np.uint64(8) != 0
        evaluation[i] = packed & np.uint64(16) != 0
        follows[i] = packed & np.uint64(32) != 0
        name[i] = np.int32((packed >> np.uint64(8)) & np.uint64(MOST_NAMES - 1))


def columns_of(words: NDArray[np.uint64]) -> dict[str, NDArray[Any]]:
    """The columns that `link` wants but for the names, and `name`, the name's number; trace by trace."""
    columns: dict[str, NDArray[Any]] = {name: np.empty(words.shape[0], dtype=kind) for name, kind in _COLUMNS.items()}
    _unpack(words, int(words[:, 4].max(initial=0) >> np.uint64(32)) + 1, *columns.values())
    return columns
