"""The facts of a window: what is known of each request in memory, its rows on disk where they are many.

Rows of about `MEMORY_BYTES` stay in memory; more lie in a temporary file, each partition's by entry point, so that
reading one entry point touches hardly more than its own rows. Memory then goes by the entry point and not by the
window. Repeated attempts are rare, so that their columns are kept as the few rows that are not zero.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.temporary import temporary_file, write
from traceguard.traces.facts import REQUEST_COLUMNS, Facts, Requests, rows_of

MEMORY_BYTES = 128 * 2**20
_ROWS_PER_SPAN = 1.5  # about, to say beforehand whether the rows will be many
_DENSE = (("component", np.int32), ("time", np.int64), ("calls", np.int32))
_RARE = (("retries", np.int32), ("attempts", np.int64))  # zero in nearly every row
_ROW_BYTES = sum(np.dtype(kind).itemsize for _, kind in _DENSE)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Repeated attempts, one element a request and component: shapes k."""

    request: NDArray[np.int64]  # its place among the requests asked about
    component: NDArray[np.int64]
    retries: NDArray[np.int64]
    attempts: NDArray[np.int64]  # ns


@dataclass(slots=True, eq=False)
class Rows:
    """The rows of all requests, partition by partition, each in the order of its requests' entry points."""

    on_disk: bool
    first: list[NDArray[np.int64]] = field(default_factory=list)  # of each partition: r + 1
    opening: list[int] = field(default_factory=lambda: [0])  # the number of each partition's first request
    _dense: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    _rare: list[dict[str, NDArray[Any]]] = field(default_factory=list)  # with `row`
    _place: list[int] = field(default_factory=lambda: [0])  # of each partition in the file
    _file: FileIO | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, facts: Facts) -> None:
        """Take the rows of a partition; StoreError where the temporary file cannot hold them."""
        self.first.append(facts.first)
        self.opening.append(self.opening[-1] + facts.dur.size)
        rare = np.flatnonzero((facts.retries != 0) | (facts.attempts != 0))
        request = np.searchsorted(facts.first, rare, side="right") - 1 + self.opening[-2]
        columns = {name: getattr(facts, name)[rare] for name in ("component", "retries", "attempts")}
        self._rare.append({"row": rare, "request": request, **columns})
        dense = {name: getattr(facts, name) for name, _ in _DENSE}
        if not self.on_disk:
            self._dense.append(dense)
            return
        if self._file is None:
            self._file = temporary_file()
        for column in dense.values():
            write(self._file, column, "the facts of the requests")
        self._place.append(self._place[-1] + _ROW_BYTES * facts.component.size)

    def repeats(self, at: NDArray[np.int64]) -> "Repeats":
        """The repeated attempts of the requests numbered `at` (ascending)."""
        names = ("request", "component", "retries", "attempts")
        request, component, again, spent = (
            np.concatenate([np.empty(0, dtype=np.int64), *(part[name] for part in self._rare)]) for name in names
        )
        place = np.minimum(np.searchsorted(at, request), max(at.size - 1, 0))
        mine = at[place] == request if at.size else np.zeros(request.size, dtype=np.bool_)
        return Repeats(place[mine], component[mine], again[mine], spent[mine])

    @property
    def size(self) -> int:
        """Bytes, on disk or in memory."""
        return sum(_ROW_BYTES * int(first[-1]) + first.nbytes for first in self.first)

    def of(self, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """The rows of the requests numbered `at` (ascending): where each one's begin (r + 1), and their columns."""
        parts = [
            self._part(number, at[low:high] - self.opening[number])
            for number, (low, high) in enumerate(zip(*self._bounds(at), strict=True))
            if low < high
        ]
        if not parts:
            return np.zeros(1, dtype=np.int64), {name: np.empty(0, dtype=kind) for name, kind in (*_DENSE, *_RARE)}
        counts = np.concatenate([np.diff(first) for first, _ in parts])
        columns = {name: np.concatenate([column[name] for _, column in parts]) for name in parts[0][1]}
        return np.concatenate(([0], np.cumsum(counts))), columns

    def _bounds(self, at: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        edges = np.searchsorted(at, self.opening)
        return edges[:-1], edges[1:]

    def _part(self, number: int, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """The rows of some requests of one partition."""
        first = self.first[number]
        low, high = int(first[at[0]]), int(first[at[-1] + 1])
        begin, rows = rows_of(first, at)
        dense = self._read(number, low, high)
        whole = rows.size == high - low
        columns = {name: dense[name] if whole else dense[name][rows - low] for name, _ in _DENSE}
        rare = self._rare[number]
        found = np.searchsorted(rows, rare["row"])
        mine = np.flatnonzero(found < rows.size)
        mine = mine[rows[found[mine]] == rare["row"][mine]]
        for name, kind in _RARE:
            columns[name] = np.zeros(rows.size, dtype=kind)
            columns[name][found[mine]] = rare[name][mine]
        return begin, columns

    def _read(self, number: int, low: int, high: int) -> dict[str, NDArray[Any]]:
        """The dense columns of the partition's rows from `low` to below `high`."""
        if self._file is None:
            return {name: column[low:high] for name, column in self._dense[number].items()}
        count, place = int(self.first[number][-1]), self._place[number]
        columns = {}
        with self._lock:
            for name, kind in _DENSE:
                width = np.dtype(kind).itemsize
                columns[name] = _read(self._file, place + width * low, width * (high - low)).view(kind)
                place += width * count
        return columns


def _read(file: FileIO, place: int, size: int) -> NDArray[np.uint8]:
    file.seek(place)
    found = np.empty(size, dtype=np.uint8)
    at = 0
    while at < size:
        at += file.readinto(found.data[at:])
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """Requests of a window and where their rows are; `at` (r, ascending) are their numbers there."""

    requests: Requests
    at: NDArray[np.int64]
    rows: Rows

    def select(self, keep: NDArray[np.bool_]) -> "Ledger":
        """The requests that `keep` marks."""
        return Ledger(self.requests.select(keep), self.at[keep], self.rows)

    def facts(self) -> Facts:
        """The requests with their rows, read anew each time."""
        first, columns = self.rows.of(self.at)
        return Facts(first=first, **{name: getattr(self.requests, name) for name in REQUEST_COLUMNS}, **columns)

    def repeats(self) -> Repeats:
        """The repeated attempts of the requests."""
        return self.rows.repeats(self.at)

    @property
    def size(self) -> int:
        """About how many bytes it takes, its rows included."""
        return self.rows.size + sum(int(getattr(self.requests, name).nbytes) for name in REQUEST_COLUMNS)


class Writer:
    """Makes a ledger of partitions that come one after another; `spans` is about how many there are in all."""

    def __init__(self, spans: int) -> None:
        self._rows = Rows(on_disk=spans * _ROWS_PER_SPAN * _ROW_BYTES > MEMORY_BYTES)
        self._requests: list[Requests] = []

    def add(self, facts: Facts) -> None:
        """Take the facts of a partition, ordered `by_entry`."""
        self._rows.append(facts)
        self._requests.append(facts.requests)

    def ledger(self) -> Ledger:
        """All of it."""
        requests = joined([Requests.none(), *self._requests])
        self._requests = []
        return Ledger(requests, np.arange(requests.dur.size, dtype=np.int64), self._rows)


def joined(parts: Sequence[Requests]) -> Requests:
    """The requests of several partitions as one."""
    return Requests(*(np.concatenate([getattr(p, name) for p in parts]) for name in REQUEST_COLUMNS))
