"""Spans to request trees: who called whom, where requests begin, what is asynchronous, what is missing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Names:
    """The dictionary of one analysis: ids in all partitions index these lists."""

    services: tuple[str, ...]
    operations: tuple[tuple[int, str], ...]  # (service id, operation)
    environments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """One partition of linked traces; whole traces only, each contiguous, duplicates removed.

    Arrays over spans have length n, arrays over requests length r. A request is the tree below a root: a span without parent, a span
    whose parent is missing, or one that starts asynchronous work. `parent` is kept for asynchronous roots too.
    """

    names: Names
    trace_ids: NDArray[np.object_]  # per trace number: its hex id
    trace: NDArray[np.int32]  # n: trace number within the partition
    parent: NDArray[np.int32]  # n: index of the parent span, -1 where there is none or it is missing
    request: NDArray[np.int32]  # n: request number
    start: NDArray[np.int64]  # n: ns since the epoch
    end: NDArray[np.int64]  # n: ns since the epoch, never before start
    kind: NDArray[np.int8]  # n: 0 unspecified 1 internal 2 server 3 client 4 producer 5 consumer
    failed: NDArray[np.bool_]  # n: status is error
    operation: NDArray[np.int32]  # n: id into names.operations
    service: NDArray[np.int32]  # n: id into names.services
    evaluation: NDArray[np.bool_]  # n: only records a flag evaluation, no call
    detached: NDArray[np.bool_]  # n: has a parent, but is asynchronous to it (roots its own request)
    missing_parent: NDArray[np.bool_]  # n: names a parent that is not in the data
    first_child: NDArray[np.int32]  # n: first synchronous child, -1 for none; children by end, latest first
    next_sibling: NDArray[np.int32]  # n: next synchronous child of the same parent, -1 for none
    root: NDArray[np.int32]  # r: span index of the request's root
    environment: NDArray[np.int32]  # r: id into names.environments
