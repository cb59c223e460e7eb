"""Arrays that wait to be read again: in memory while they are few, in a temporary file from then on."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.temporary import temporary_file, write

MEMORY_BYTES = 64 * 2**20

_Place = tuple[int, np.dtype[Any], int]  # where an array begins in the file, its type, its length


@dataclass(slots=True, eq=False)
class Spool:
    """Groups of one-dimensional arrays by number, in the order in which they came; several threads may read.

    What does not fit into `memory_bytes` lies in a temporary file, so that memory does not grow with the window.
    """

    what: str  # what they are, for the sentence that says that the file's folder is full
    memory_bytes: int = MEMORY_BYTES
    _groups: list[list[NDArray[Any] | _Place]] = field(default_factory=list)
    _held: int = 0
    _end: int = 0
    _file: FileIO | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._groups)

    def put(self, arrays: Sequence[NDArray[Any]]) -> int:
        """Keep a group and return its number; StoreError where the temporary file cannot hold it."""
        group: list[NDArray[Any] | _Place] = []
        for array in arrays:
            if self._held + array.nbytes <= self.memory_bytes:
                self._held += array.nbytes
                group.append(array)
                continue
            if self._file is None:
                self._file = temporary_file()
            write(self._file, np.ascontiguousarray(array).view(np.uint8), self.what)
            group.append((self._end, array.dtype, array.size))
            self._end += array.nbytes
        self._groups.append(group)
        return len(self._groups) - 1

    def take(self, number: int) -> list[NDArray[Any]]:
        """The arrays of a group; not to be written to."""
        return [self._read(kept, 0, None) for kept in self._groups[number]]

    def part(self, number: int, low: int, high: int) -> list[NDArray[Any]]:
        """The elements from `low` to below `high` of each array of a group."""
        return [self._read(kept, low, high) for kept in self._groups[number]]

    def _read(self, kept: "NDArray[Any] | _Place", low: int, high: int | None) -> NDArray[Any]:
        if isinstance(kept, np.ndarray):
            return kept[low:high]
        begin, kind, size = kept
        count = (size if high is None else high) - low
        out = np.empty(count, dtype=kind)
        if count and self._file is not None:
            view = out.view(np.uint8).data
            with self._lock:
                self._file.seek(begin + low * kind.itemsize)
                done = 0
                while done < len(view) and (got := self._file.readinto(view[done:])):
                    done += got
                self._file.seek(0, os.SEEK_END)
        return out
