"""What callers name at or below a target and that sent no spans: databases, caches, queues, systems of others.

What they do, and whom they reach in turn, is not in the data. That makes them unknown, not safe.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.lookup import Rows
from traceguard.kernels import kernel
from traceguard.stats.clustered import Clusters
from traceguard.store import queries
from traceguard.traces.link import CLIENT, PRODUCER, UNSPECIFIED, Linked, Names

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_I8, _I32, _B = "int8[::1]", "int32[::1]", "boolean[::1]"
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two traces meet
_NAMED = 6


@dataclass(frozen=True, slots=True)
class Peers:
    """Spans of a window whose callee has a name: p rows, found by a key of trace and span."""

    rows: Rows
    name: NDArray[np.int32]  # p: index into `names`
    names: tuple[str, ...]


def no_peers() -> Peers:
    """No span names its callee."""
    return Peers(Rows(np.empty(0, np.uint64)), np.empty(0, np.int32), ())


def read_peers(cursor: "duckdb.DuckDBPyConnection") -> Peers:
    """The names that callers give to callees, for the window that is open on the cursor; some 20 bytes a span."""
    sql = (queries.folder() / "radius" / "peers.sql").read_text(encoding="utf-8")
    rows: pa.Table = cursor.sql(sql).to_arrow_table().combine_chunks()
    if not rows.num_rows:
        return no_peers()
    words = rows.column("name").combine_chunks().dictionary_encode()
    key = _key(rows["trace"].to_numpy().astype(np.uint64), rows["span"].to_numpy().astype(np.uint64))
    order = np.argsort(key, kind="stable")
    name = words.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    return Peers(Rows(key[order]), name[order], tuple(words.dictionary.to_pylist()))


def _key(trace: NDArray[np.uint64], span: NDArray[np.uint64]) -> NDArray[np.uint64]:
    keys: NDArray[np.uint64] = trace * _MIX + span
    return keys


@kernel(f"{_B}({_I32}, {_I8}, {_I32}, {_B})")
def _unanswered(parent, kind, service, evaluation):  # type: ignore[no-untyped-def]
    """Mark the spans that may be calls of something below which the data ends."""
    found = np.zeros(parent.size, dtype=np.bool_)
    for i in range(parent.size):
        found[i] = (kind[i] == CLIENT or kind[i] == PRODUCER or kind[i] == UNSPECIFIED) and not evaluation[i]
    for i in range(parent.size):
        p = parent[i]
        if p >= 0 and not evaluation[i] and (service[i] != service[p] or kind[i] >= 2):
            found[p] = False
    return found


def named_calls(
    linked: Linked, peers: Peers, among: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The spans `among` a partition's (n) that call something which sent no spans, and whom: index into the names."""
    open_ = _unanswered(linked.parent, linked.kind, linked.service, linked.evaluation)
    span = np.flatnonzero(open_ if among is None else open_ & among)
    if not peers.names:
        return span[:0], span[:0]
    key = _key(linked.trace_hash[linked.trace[span]], linked.span_hash[span])
    at = peers.rows.find(key)
    known = at >= 0
    return span[known], peers.name[at[known]].astype(np.int64)


@dataclass(slots=True)
class Unseen:
    """Calls of what sent no spans, summed over partitions; made anew for each question."""

    peers: Peers
    names: Names
    _calls: NDArray[np.int64] = field(init=False)  # peers x services: calls by who calls
    _hit: Clusters = field(default_factory=Clusters)  # the target's requests that come there

    def __post_init__(self) -> None:
        self._calls = np.zeros((len(self.peers.names), len(self.names.services)), np.int64)

    def add(self, linked: Linked, request: NDArray[np.int64], unit: NDArray[np.int64]) -> None:
        """Add a partition: `request` (n) numbers the target's request that a span belongs to, -1 for none.

        `unit` (t) is whose trace it is.
        """
        if not self.peers.names:
            return
        span, name = named_calls(linked, self.peers, request >= 0)
        np.add.at(self._calls, (name, linked.service[span]), 1)
        pairs, first = np.unique(request[span] * len(self.peers.names) + name, return_index=True)
        hit = np.ones(pairs.size, dtype=np.bool_)
        self._hit.add(name[first], unit[linked.trace[span[first]]], hit)

    def rows(self, requests: Clusters) -> list[model.UnknownService]:
        """What is called most often first; `requests` are all of the target's."""
        shares = self._hit.shares_of(requests, len(self.peers.names))
        low, high = shares.interval()
        seen = set(self.names.services)
        found = [
            model.UnknownService(
                service=name,
                called_by=[self.names.services[s] for s in np.flatnonzero(self._calls[at])],
                calls=int(self._calls[at].sum()),
                fraction=float(shares.fraction[at]),
                low=float(low[at]),
                high=float(high[at]),
            )
            for at, name in enumerate(self.peers.names)
            if name not in seen and self._calls[at].any()
        ]
        return sorted(found, key=lambda u: (-u.fraction, -u.calls, u.service))


def unseen_warnings(
    name: str, unknown: list[model.UnknownService], downstream: list[model.Neighbour]
) -> list[model.Warning]:
    """That what sent no spans is not known, and not safe; and where the data shows nothing below, that it does not."""
    if not unknown and not downstream:
        message = (
            f"Nothing below {name} is in the data: no service answers its calls, and none of its spans names a database"
            " or another system; what it depends on is unknown, which is not nothing."
        )
        return [model.Warning(code="nothing_seen_below", message=message)]
    if not unknown:
        return []
    listed = ", ".join(f"{u.service} (called by {', '.join(u.called_by)})" for u in unknown[:_NAMED])
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    message = f"No spans came from {listed}{more}: what they do, and whom they reach, is unknown, not safe."
    return [model.Warning(code="unseen_services", message=message)]
