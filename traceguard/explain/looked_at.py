"""Traces that a person asks for: one as it ran, and two groups of them by call path.

As recorded, adjusted for nothing. Only the traces asked for are read, so an answer takes the same however large the
store is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from traceguard import model
from traceguard.engine.chosen import linked_again, open_traces, span_ids
from traceguard.explain.call_path_sums import PathSums
from traceguard.explain.sides import AFFECTED, NEITHER, REFERENCE, Sides
from traceguard.explain.typical import drawn_request
from traceguard.traces.call_paths import call_paths
from traceguard.traces.critical_path import callees, own_time

if TYPE_CHECKING:
    import duckdb

MOST_SPANS = 200  # drawn of a request
MOST_REQUESTS = 6  # drawn of a trace: what it starts asynchronously are requests of their own
_MOST_READ = 600_000


def requests_of(cursor: "duckdb.DuckDBPyConnection", trace_id: str) -> list[model.TypicalTrace]:
    """The requests of one trace in the order in which they began; empty where the store does not have it."""
    window = open_traces(cursor, [trace_id])
    rows = np.arange(window.trace_hash.size)
    drawn = []
    for linked in linked_again(cursor, window, rows, _MOST_READ):
        ids = span_ids(cursor, linked.trace_ids)
        first = np.argsort(linked.start[linked.root], kind="stable")[:MOST_REQUESTS]
        drawn += [drawn_request(linked, int(request), set(), ids, MOST_SPANS) for request in first]
    return drawn


def compare_groups(
    cursor: "duckdb.DuckDBPyConnection", entry: model.Entry, reference: Sequence[str], affected: Sequence[str]
) -> model.CallPaths:
    """Mean critical-path time by call path of the requests of both groups of traces that enter at `entry`."""
    window = open_traces(cursor, [*reference, *affected])
    side = np.full(window.trace_hash.size, NEITHER, dtype=np.int8)
    for which, ids in ((REFERENCE, reference), (AFFECTED, affected)):
        side[window.trace_ids.is_in(list(ids)).to_numpy()] = which
    sums = PathSums(Sides(NEITHER, NEITHER, side, np.ones(side.size)))
    for linked in linked_again(cursor, window, np.arange(side.size), _MOST_READ):
        rows = window.rows_of(linked.trace_hash)[linked.trace[linked.root]]
        operations = [
            number for number in range(len(linked.names.operations))
            if linked.names.component(2 * number)[:2] == (entry.service, entry.operation)
        ]  # fmt: skip
        requests = np.isin(linked.operation[linked.root], operations) & linked.whole & (side[rows] != NEITHER)
        sums.add(linked, call_paths(linked, callees(linked), requests), own_time(linked), rows, requests)
    return sums.document(entry, [], window.names)
