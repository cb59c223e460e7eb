"""What a simulation leaves behind: span columns as a receiver would decode them, and the truth about every request."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from traceguard.otlp.columns import Decoded
from traceguard.simulate.fleet import Fleet, Plant, Value


@dataclass(frozen=True, slots=True)
class Site:
    """What all spans from one place in the code share; `failed` is added to the attributes of spans that fail."""

    service: int  # index into fleet.services
    name: str
    kind: str  # internal | server | client | producer | consumer
    attributes: Mapping[str, Value]
    failed: Mapping[str, Value]
    tagged: bool  # carries user.id and session.id


@dataclass(frozen=True, slots=True)
class Rows:
    """The n spans as numbers, in order of request and start. Hashes are the big-endian value of the ids."""

    request: NDArray[np.int64]
    site: NDArray[np.int32]  # index into Skeleton.sites
    process: NDArray[np.int32]  # index into Skeleton.resources
    span: NDArray[np.uint64]
    parent: NDArray[np.uint64]  # 0 for a root
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    failure: NDArray[np.int8]  # 0 none, 1 its own, 2 because of a call
    remote: NDArray[np.bool_]  # the parent is in another process


@dataclass(frozen=True, slots=True)
class Evaluations:
    """The e flag evaluations, in order of span and time."""

    row: NDArray[np.int64]  # index of the span
    flag: NDArray[np.int32]  # index into fleet.flags
    level: NDArray[np.int32]  # index into that flag's variants
    time: NDArray[np.int64]  # ns since the epoch
    logged: NDArray[np.bool_]  # reported as a log record, not as a span event


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Everything about a recording that is not text yet; the encoders and the tables are made from it."""

    sites: tuple[Site, ...]
    resources: tuple[Mapping[str, Value], ...]
    rows: Rows
    evaluations: Evaluations
    trace_high: NDArray[np.uint64]  # r
    trace_low: NDArray[np.uint64]  # r
    users: pa.StringArray  # r: user.id, also the flags' targeting key
    sessions: pa.StringArray  # r: session.id


@dataclass(frozen=True, slots=True)
class Truth:
    """What was planted, and which requests each plant touched: r booleans a plant, ordered as `Recording.requests`."""

    plants: tuple[Plant, ...]
    touched: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """A simulated fleet's telemetry.

    `spans`, `flag_records`, `correlations` and `logs` have the schemas of `traceguard.otlp.columns`. `requests` has a
    row a request in order of start: `trace_id`, `entry_service`, `entry_operation`, `user`, `session`, `start_ns`,
    `dur_ns`, `failed`, `flag:KEY` (the level; null where the request did not evaluate the flag), `version:SERVICE`
    (null where the request did not reach the service) and `plant:NUMBER` (touched by that plant).
    """

    fleet: Fleet
    seed: int
    spans: pa.Table
    flag_records: pa.Table
    correlations: pa.Table
    logs: pa.Table
    requests: pa.Table
    truth: Truth
    skeleton: Skeleton

    @property
    def span_count(self) -> int:
        """The number of spans."""
        return int(self.spans.num_rows)

    def decoded(self) -> Decoded:
        """The whole recording as one decoded body."""
        return Decoded(
            spans=self.spans, flag_records=self.flag_records, correlations=self.correlations, logs=self.logs,
            received=self.spans.num_rows + self.logs.num_rows,
        )  # fmt: skip

    def bodies(self, spans_per_body: int = 512) -> Iterator[bytes]:
        """The spans as OTLP protobuf requests, as exporters would send them: one process a body, in order of time."""
        from traceguard.simulate.wire import bodies

        return bodies(self, spans_per_body)
