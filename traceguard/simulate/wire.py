"""A recording as OTLP protobuf bodies, as its processes' exporters would send them, without an object per span.

Serialised protobuf messages merge by concatenation. What spans of one site share is serialised once by the real
protobuf classes; ids, times, users and events are joined to it column by column. That is fast enough (about a million
spans a second) to feed benchmarks.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_INFO, LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from traceguard.simulate import tables
from traceguard.simulate.fleet import Value
from traceguard.simulate.recording import Recording, Skeleton
from traceguard.simulate.text import fixed, grouped, joined, octets

_AT_ONCE = 100_000  # rows encoded together: bounds the memory of long recordings
_KINDS = {
    "internal": Span.SPAN_KIND_INTERNAL, "server": Span.SPAN_KIND_SERVER, "client": Span.SPAN_KIND_CLIENT,
    "producer": Span.SPAN_KIND_PRODUCER, "consumer": Span.SPAN_KIND_CONSUMER,
}  # fmt: skip


def bodies(recording: Recording, spans_per_body: int = 512) -> Iterator[bytes]:
    """ExportTraceServiceRequest bodies of one process each, in order of their last span's end."""
    rows = recording.skeleton.rows
    scope = ScopeSpans(scope=_scope()).SerializeToString()
    for members, spans in _encoded(rows.process, rows.end, spans_per_body, _Spans(recording)):
        head = ResourceSpans(resource=_resource(recording.skeleton, rows.process[members[0]])).SerializeToString()
        yield _framed(head + _framed(scope + spans, 0x12), 0x0A)


def log_bodies(recording: Recording, records_per_body: int = 512) -> Iterator[bytes]:
    """ExportLogsServiceRequest bodies of one process each with the evaluations that came as log records."""
    rows, found = recording.skeleton.rows, recording.skeleton.evaluations
    logged = np.flatnonzero(found.logged)
    process = rows.process[found.row[logged]]
    scope = ScopeLogs(scope=_scope()).SerializeToString()
    for members, records in _encoded(process, found.time[logged], records_per_body, _Records(recording, logged)):
        head = ResourceLogs(resource=_resource(recording.skeleton, process[members[0]])).SerializeToString()
        yield _framed(head + _framed(scope + records, 0x12), 0x0A)


class _Spans:
    """Encodes chosen spans; what repeats is prepared once."""

    def __init__(self, recording: Recording) -> None:
        skeleton = recording.skeleton
        self.skeleton = skeleton
        self.names = _binary(
            Span(name=site.name, kind=_KINDS[site.kind]).SerializeToString() for site in skeleton.sites
        )
        self.attributes = _binary(
            Span(attributes=_pairs({**site.attributes, **more})).SerializeToString()
            for site in skeleton.sites
            for more in ({}, site.failed)
        )
        self.tagged = np.array([site.tagged for site in skeleton.sites])
        identity = joined(
            _attribute(0x4A, "user.id", skeleton.users), _attribute(0x4A, "session.id", skeleton.sessions)
        )
        self.identity = pa.concat_arrays([identity, _binary([b""])])
        self.endings = _binary(
            Span(
                status=Status(code=Status.STATUS_CODE_ERROR, message=message) if message else Status(), flags=flags
            ).SerializeToString()
            for message in tables.FAILURE_MESSAGES
            for flags in (tables.IS_REMOTE_KNOWN, tables.IS_REMOTE_KNOWN | tables.IS_REMOTE)
        )
        self.levels = _levels(recording, 0x1A, Span.Event(name="feature_flag.evaluation").SerializeToString())
        self.level_codes = tables.level_codes(recording.fleet, skeleton)

    def __call__(self, chosen: NDArray[np.int64]) -> pa.BinaryArray:
        """The spans of rows `chosen`, each framed as an element of ScopeSpans.spans."""
        skeleton, rows = self.skeleton, self.skeleton.rows
        site, request, failed = rows.site[chosen], rows.request[chosen], rows.failure[chosen]
        ids = joined(
            _fixed_bytes(0x0A, octets(skeleton.trace_high[request], skeleton.trace_low[request])),
            _fixed_bytes(0x12, octets(rows.span[chosen])),
        )
        parents = pa.concat_arrays([_fixed_bytes(0x22, octets(rows.parent[chosen])), _binary([b""])])
        parent = parents.take(pa.array(np.where(rows.parent[chosen] > 0, np.arange(chosen.size), chosen.size)))
        identity = self.identity.take(pa.array(np.where(self.tagged[site], request, len(self.identity) - 1)))
        return _delimited(0x12, joined(
            ids, parent, self.names.take(pa.array(site)), _fixed64(0x39, rows.start[chosen]),
            _fixed64(0x41, rows.end[chosen]),
            self.attributes.take(pa.array(site * 2 + (failed > 0))), identity, self._events(chosen),
            self.endings.take(pa.array(failed * 2 + rows.remote[chosen])),
        ))  # fmt: skip

    def _events(self, chosen: NDArray[np.int64]) -> pa.BinaryArray:
        """Per chosen span: its evaluation events as elements of Span.events."""
        skeleton, found = self.skeleton, self.skeleton.evaluations
        first, last = np.searchsorted(found.row, chosen), np.searchsorted(found.row, chosen + 1)
        mine = _ranges(first, last)
        mine_logged = found.logged[mine]
        counts = np.bincount(np.repeat(np.arange(chosen.size), last - first)[~mine_logged], minlength=chosen.size)
        mine = mine[~mine_logged]
        user = skeleton.users.take(pa.array(skeleton.rows.request[found.row[mine]]))
        events = joined(
            _fixed64(0x09, found.time[mine]),
            self.levels.take(pa.array(self.level_codes[mine])),
            _attribute(0x1A, "feature_flag.context.id", user),
        )
        return grouped(_delimited(0x5A, events), counts, b"")


class _Records:
    """Encodes chosen evaluations as log records; `logged` are the evaluations that numbers refer to."""

    def __init__(self, recording: Recording, logged: NDArray[np.int64]) -> None:
        self.skeleton = recording.skeleton
        self.logged = logged
        self.levels = _levels(
            recording, 0x32, LogRecord(severity_number=SEVERITY_NUMBER_INFO, severity_text="INFO").SerializeToString()
        )
        self.level_codes = tables.level_codes(recording.fleet, recording.skeleton)
        self.tail = pa.scalar(LogRecord(flags=1, event_name="feature_flag.evaluation").SerializeToString(), pa.binary())

    def __call__(self, chosen: NDArray[np.int64]) -> pa.BinaryArray:
        """The records, each framed as an element of ScopeLogs.log_records."""
        skeleton, found = self.skeleton, self.skeleton.evaluations
        mine = self.logged[chosen]
        request = skeleton.rows.request[found.row[mine]]
        return _delimited(0x12, joined(
            _fixed64(0x09, found.time[mine]), self.levels.take(pa.array(self.level_codes[mine])),
            _attribute(0x32, "feature_flag.context.id", skeleton.users.take(pa.array(request))),
            _fixed_bytes(0x4A, octets(skeleton.trace_high[request], skeleton.trace_low[request])),
            _fixed_bytes(0x52, octets(skeleton.rows.span[found.row[mine]])),
            _fixed64(0x59, found.time[mine]), self.tail,
        ))  # fmt: skip


def _encoded(
    process: NDArray[np.int32], time: NDArray[np.int64], size: int, encode: "_Spans | _Records"
) -> Iterator[tuple[NDArray[np.int64], bytes]]:
    """Per body: its members' numbers and their bytes. A process's rows go out in order of time, `size` at once."""
    order = np.lexsort((time, process))
    starts = np.flatnonzero(np.diff(process[order], prepend=-1))
    lengths = np.diff(starts, append=order.size)
    bounds = [(a, min(a + size, s + n)) for s, n in zip(starts, lengths, strict=True) for a in range(s, s + n, size)]
    bounds.sort(key=lambda bound: time[order[bound[1] - 1]])
    step = max(1, _AT_ONCE // size)
    for first in range(0, len(bounds), step):
        members = [order[a:b] for a, b in bounds[first : first + step]]
        encoded = encode(np.concatenate(members))
        data, offsets = encoded.buffers()[2], np.frombuffer(encoded.buffers()[1], np.int32)
        ends = np.cumsum([m.size for m in members])
        for member, end in zip(members, ends, strict=True):
            yield member, data[offsets[end - member.size] : offsets[end]].to_pybytes()


def _pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in attributes.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)


def _resource(skeleton: Skeleton, process: int) -> Resource:
    return Resource(attributes=_pairs(skeleton.resources[process]))


def _scope() -> InstrumentationScope:
    return InstrumentationScope(name=tables.SCOPE["name"], version=tables.SCOPE["version"])


def _levels(recording: Recording, tag: int, head: bytes) -> pa.BinaryArray:
    """Per flag level: what all its evaluations share, `head` and then the attributes in the field `tag`."""
    every = [_pairs(attributes) for attributes in tables.evaluation_attributes(recording.fleet)]
    return _binary(head + b"".join(_framed(pair.SerializeToString(), tag) for pair in pairs) for pairs in every)


def _attribute(tag: int, key: str, values: pa.StringArray) -> pa.BinaryArray:
    """A KeyValue with a text value per row, framed as an element of a repeated field."""
    text = _delimited(0x12, _delimited(0x0A, values.cast(pa.binary())))
    return _delimited(tag, joined(pa.scalar(KeyValue(key=key).SerializeToString(), pa.binary()), text))


def _delimited(tag: int, payloads: pa.BinaryArray) -> pa.BinaryArray:
    """Each payload behind its tag and length."""
    lengths = np.diff(np.frombuffer(payloads.buffers()[1], np.int32, len(payloads) + 1, payloads.offset * 4))
    longest = int(lengths.max(initial=0))
    heads = _binary(bytes([tag]) + _varint(length) for length in range(longest + 1))
    return joined(heads.take(pa.array(lengths)), payloads)


def _fixed_bytes(tag: int, cells: NDArray[np.uint8]) -> pa.BinaryArray:
    head = np.broadcast_to(np.array([tag, cells.shape[1]], np.uint8), (cells.shape[0], 2))
    return fixed(np.concatenate([head, cells], axis=1), pa.binary())


def _fixed64(tag: int, values: NDArray[np.int64]) -> pa.BinaryArray:
    cells = values.astype("<u8").view(np.uint8).reshape(-1, 8)
    head = np.full((values.size, 1), tag, np.uint8)
    return fixed(np.concatenate([head, cells], axis=1), pa.binary())


def _binary(pieces: Iterable[bytes]) -> pa.BinaryArray:
    return pa.array(list(pieces), pa.binary())


def _framed(payload: bytes, tag: int) -> bytes:
    return bytes([tag]) + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _ranges(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of all ranges `[first, last)`, one range after the other."""
    lengths = last - first
    skipped = np.repeat(first - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return np.asarray(np.arange(lengths.sum()) + skipped, dtype=np.int64)
