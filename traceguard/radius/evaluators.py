"""Who evaluated a flag: the services that stand for it, in the traces in which they did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard.store import queries
from traceguard.traces.link import Linked

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from traceguard.radius.names import Target


@dataclass(frozen=True, slots=True)
class Evaluators:
    """Who evaluated a flag where, ordered by trace; service indexes `services`, -1 where the span is missing."""

    trace_hash: NDArray[np.uint64]  # e
    service: NDArray[np.int32]  # e
    services: tuple[str, ...]


def read_evaluators(cursor: "duckdb.DuckDBPyConnection", target: "Target") -> Evaluators | None:
    """Who evaluated the target's flag (to its variant, or to anything) in the whole store; None if it is no flag."""
    if target.flag is None:
        return None
    sql = (queries.folder() / "radius" / "evaluators.sql").read_text(encoding="utf-8")
    rows: pa.Table = cursor.sql(sql, params={"key": target.flag, "variant": target.variant}).to_arrow_table()
    found = rows.combine_chunks().sort_by("trace")
    words = found.column("service").combine_chunks().dictionary_encode()
    return Evaluators(
        found["trace"].to_numpy().astype(np.uint64, copy=False),
        words.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32),
        tuple(words.dictionary.to_pylist()),
    )


def evaluating(linked: Linked, evaluators: Evaluators, read_by: Sequence[str] = ()) -> NDArray[np.bool_]:
    """Mark the spans of services that evaluated the flag, in the traces in which they did; shape n.

    Where the evaluating span is missing, the service in which the trace begins stands for it. Services that will read
    the flag are marked in all traces.
    """
    at = np.searchsorted(linked.trace_hash, evaluators.trace_hash)
    found = at < linked.trace_hash.size
    found[found] = linked.trace_hash[at[found]] == evaluators.trace_hash[found]
    trace, word = at[found], evaluators.service[found]
    known = {name: i for i, name in enumerate(linked.names.services)}
    ids = np.array([*(known.get(name, -1) for name in evaluators.services), -1], dtype=np.int64)
    first = np.full(len(linked.trace_ids), -1, dtype=np.int64)
    begins = linked.root[linked.whole & ~linked.detached[linked.root]][::-1]
    first[linked.trace[begins]] = linked.service[begins]
    service = np.where(word < 0, first[trace], ids[word])
    width = len(known)
    pairs = np.unique(trace[service >= 0] * width + service[service >= 0])
    reads = [known[name] for name in read_by if name in known]
    marked: NDArray[np.bool_] = np.isin(linked.trace.astype(np.int64) * width + linked.service, pairs)
    return marked | np.isin(linked.service, reads) if reads else marked
