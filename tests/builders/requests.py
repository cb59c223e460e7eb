"""Requests written as rows, linked by the product's own linker: what tests of reach and retiming are told in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from traceguard.traces.link import Linked, Names, link

KINDS = {"unspecified": 0, "internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}


@dataclass(frozen=True, slots=True)
class Span:
    """A span of a test: times in nanoseconds, parent by name, `id` unique within its trace."""

    id: int
    parent: int | None
    service: str
    start: int
    end: int
    operation: str = "op"
    kind: str = "server"
    failed: bool = False
    trace: int = 1
    environment: str = "prod"
    evaluation: bool = False
    instance: str = ""
    follows: bool = False


def names_of(spans: Sequence[Span]) -> Names:
    """Number services, operations and environments in sorted order."""
    services = tuple(sorted({s.service for s in spans}))
    operations = tuple(sorted({(services.index(s.service), s.operation) for s in spans}))
    hosts = tuple(sorted({(services.index(s.service), s.instance) for s in spans}))
    return Names(services, operations, tuple(sorted({s.environment for s in spans})), hosts)


def linked_of(spans: Sequence[Span], names: Names | None = None, streams: Sequence[str] = ()) -> Linked:
    """Link the spans as one partition, of an analysis with more names where `names` is given.

    `streams` names the operations whose calls are long-lived streams.
    """
    names = names or names_of(spans)
    services, operations, environments = names.services, names.operations, names.environments
    traces = sorted({s.trace for s in spans})
    columns = {
        "trace": np.array([traces.index(s.trace) for s in spans], dtype=np.int32),
        "span": np.array([s.id for s in spans], dtype=np.uint64),
        "parent": np.array([s.parent or 0 for s in spans], dtype=np.uint64),
        "start": np.array([s.start for s in spans], dtype=np.int64),
        "dur": np.array([s.end - s.start for s in spans], dtype=np.int64),
        "kind": np.array([KINDS[s.kind] for s in spans], dtype=np.int8),
        "failed": np.array([s.failed for s in spans], dtype=np.bool_),
        "evaluation": np.array([s.evaluation for s in spans], dtype=np.bool_),
        "follows": np.array([s.follows for s in spans], dtype=np.bool_),
        "operation": np.array(
            [operations.index((services.index(s.service), s.operation)) for s in spans], dtype=np.int32
        ),
        "service": np.array([services.index(s.service) for s in spans], dtype=np.int32),
        "environment": np.array([environments.index(s.environment) for s in spans], dtype=np.int32),
    }
    if names.hosts:
        hosts = [names.hosts.index((services.index(s.service), s.instance)) for s in spans]
        columns["host"] = np.array(hosts, dtype=np.int32)
    ids = pl.Series([f"{t:032x}" for t in traces])
    long_lived = np.array([operation in streams for _, operation in operations], dtype=np.bool_)
    return link(columns, names, ids, np.array(traces, dtype=np.uint64), long_lived)
