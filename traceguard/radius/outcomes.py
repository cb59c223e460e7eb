"""What became of every request, entry point by entry point, in the memory of one entry point.

Rows come partition by partition and are kept in a spool, each partition's by entry point.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.spool import Spool
from traceguard.traces.cells import BUCKETS
from traceguard.traces.link import Linked, Names

RETIMED = np.dtype([
    ("entry", np.int32),  # environment * operations + operation of the root
    ("before", np.int64),  # ns
    ("after", np.int64),  # ns, were the request hit
    ("hit", np.bool_),  # it calls the target
    ("failed", np.bool_),
    ("newly", np.float64),  # probability that a hit fails the request
    ("bucket", np.uint8),  # of the user's id
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Users:
    """Whose request a trace was: hash of the user's id by trace hash, which ascends; shapes t."""

    trace_hash: NDArray[np.uint64]
    unit: NDArray[np.uint64]


def buckets(linked: Linked, whole: NDArray[np.bool_], users: Users | None) -> NDArray[np.uint8]:
    """The bucket of users of each request that `whole` (r) marks; without `users` every trace is one's own."""
    trace = linked.trace_hash
    unit = trace if users is None else users.unit[np.searchsorted(users.trace_hash, trace)]
    found: NDArray[np.uint8] = (unit % np.uint64(BUCKETS)).astype(np.uint8)
    return found[linked.trace[linked.root[whole]]]


def entries(linked: Linked, whole: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The entry point of each request that `whole` (r) marks: environment * operations + operation of its root."""
    width = len(linked.names.operations)
    found: NDArray[np.int32] = linked.environment[whole] * np.int32(width) + linked.operation[linked.root[whole]]
    return found


def entry_named(names: Names, number: int) -> model.Entry:
    """An entry point by its number; its environment is named where the window has several."""
    environment, operation = divmod(number, len(names.operations))
    service, text = names.operations[operation]
    where = (names.environments[environment] or "unknown") if len(names.environments) > 1 else None
    return model.Entry(service=names.services[service], operation=text, environment=where)


@dataclass(slots=True)
class Outcomes:
    """Rows with a column `entry`, kept until an entry point is asked for."""

    spool: Spool = field(default_factory=lambda: Spool("the outcomes of the requests"))
    known: list[tuple[NDArray[np.int32], NDArray[np.int64]]] = field(default_factory=list)

    def add(self, rows: NDArray[Any]) -> None:
        """Take the rows of one partition; the order within an entry point is kept."""
        order = np.argsort(rows["entry"], kind="stable")
        numbers, first = np.unique(rows["entry"][order], return_index=True)
        self.known.append((numbers, np.append(first, rows.size)))
        self.spool.put([rows[order]])

    @property
    def entries(self) -> list[int]:
        """The entry points with rows."""
        return sorted({int(entry) for numbers, _ in self.known for entry in numbers})

    def of(self, entry: int) -> NDArray[Any]:
        """The rows of one entry point, in the order of the partitions."""
        found = []
        for number, (numbers, first) in enumerate(self.known):
            at = int(np.searchsorted(numbers, entry))
            if at < numbers.size and numbers[at] == entry:
                found += self.spool.part(number, int(first[at]), int(first[at + 1]))
        return np.concatenate(found)

    def each(self, names: Names) -> Iterator[tuple[model.Entry, NDArray[Any]]]:
        """Every entry point with its rows."""
        return ((entry_named(names, entry), self.of(entry)) for entry in self.entries)
