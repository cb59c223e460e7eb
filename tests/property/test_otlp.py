"""What must always hold of decoding: equal to the slow decoder, from either encoding, no crash on any bytes."""

import base64
import json
import random
from typing import Any

import hypothesis.strategies as st
import pytest
from builders import otlp_reference as reference
from builders import redact_reference
from google.protobuf import json_format
from hypothesis import given, settings
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    EntityRef,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from traceguard.errors import InputError
from traceguard.otlp import Decoded, decode, redact
from traceguard.settings import Settings

SETTINGS = Settings(flag_prefixes=("feature_flag.", "flag.evaluation.", "ff/"))
DROP = ("*variant", "ff/*", "a*b*", "service.version", "feature_flag.context.id", "*\u00e9*")
HASH = ("user.id", "session.*", "*request-id", "feature_flag.*", "service.instance.id", "TargetingId", "c", "d")
HIDING = Settings(flag_prefixes=SETTINGS.flag_prefixes, drop_attributes=DROP, hash_attributes=HASH)
ID_FIELDS = {"traceId", "spanId", "parentSpanId"}

words = st.text(max_size=12)
keys = st.one_of(
    words,
    st.sampled_from([
        *reference.KEYS, *reference.VARIANTS, *reference.VALUES, *reference.CONTEXTS, *reference.PROVIDERS,
        *reference.REASONS, "feature_flag.checkout", "feature_flag.result.reason.inExperiment",
        "flag.evaluation.new", "ff/x", "ff/",
        "session.id",
        "user.id", "service.name", "service.version", "deployment.environment", "deployment.environment.name",
        "service.instance.id", "event.name", "http.request.header.x-request-id",
    ]),
)  # fmt: skip
texts = st.one_of(
    words,
    st.sampled_from(["on", "True", "3.0", '"quoted"', '{"b": 1, "a": [2]}', "{", "feature_flag", "FeatureEvaluation"]),
)
scalars = st.one_of(
    st.builds(AnyValue),
    st.builds(AnyValue, string_value=texts),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(AnyValue, double_value=st.floats()),
    st.builds(AnyValue, bytes_value=st.binary(max_size=9)),
    st.builds(AnyValue, string_value_strindex=st.integers(0, 9)),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=3))),
        st.builds(
            AnyValue,
            kvlist_value=st.builds(
                KeyValueList, values=st.lists(st.builds(KeyValue, key=keys, value=inner), max_size=3)
            ),
        ),
    ),
    max_leaves=5,
)
pair = st.one_of(
    st.builds(KeyValue, key=keys, value=values),
    st.builds(KeyValue, key=keys),
    st.builds(KeyValue, key=st.one_of(st.just(""), keys), key_strindex=st.integers(-2, 9), value=scalars),
)
pairs = st.lists(pair, max_size=6)
long_pairs = st.one_of(
    pairs, st.lists(st.builds(KeyValue, key=st.sampled_from("abcdefghijklmnopqrstuvw"), value=scalars), max_size=40)
)
small = st.integers(0, 2**32 - 1)
times = st.one_of(
    st.integers(0, 10), st.integers(1_700_000_000_000_000_000, 1_800_000_000_000_000_000), st.integers(0, 2**64 - 1)
)
trace_ids = st.one_of(st.binary(min_size=16, max_size=16), st.binary(max_size=17))
span_ids = st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=9), st.just(bytes(8)))
event_names = st.one_of(words, st.sampled_from([*reference.EVENT_NAMES, "exception"]))
events = st.builds(Span.Event, time_unix_nano=times, name=event_names, attributes=pairs, dropped_attributes_count=small)
links = st.builds(
    Span.Link,
    trace_id=trace_ids,
    span_id=span_ids,
    trace_state=words,
    attributes=pairs,
    dropped_attributes_count=small,
    flags=small,
)
spans = st.builds(
    Span,
    trace_id=trace_ids, span_id=span_ids, trace_state=words, parent_span_id=span_ids, flags=small,
    name=event_names, kind=st.integers(0, 7), start_time_unix_nano=times, end_time_unix_nano=times,
    attributes=long_pairs,
    dropped_attributes_count=small, events=st.lists(events, max_size=3), dropped_events_count=small,
    links=st.lists(links, max_size=2), dropped_links_count=small,
    status=st.builds(Status, message=words, code=st.integers(0, 4)),
)  # fmt: skip
entities = st.builds(
    EntityRef,
    schema_url=words,
    type=words,
    id_keys=st.lists(words, max_size=2),
    description_keys=st.lists(words, max_size=2),
)
resources = st.builds(
    Resource, attributes=pairs, dropped_attributes_count=small, entity_refs=st.lists(entities, max_size=2)
)
scopes = st.builds(
    InstrumentationScope,
    name=st.one_of(words, st.sampled_from(["launchdarkly", "@launchdarkly/otel"])),
    version=words, attributes=pairs, dropped_attributes_count=small,
)  # fmt: skip
scope_spans = st.builds(ScopeSpans, scope=scopes, schema_url=words, spans=st.lists(spans, max_size=3))
resource_spans = st.builds(
    ResourceSpans, resource=resources, schema_url=words, scope_spans=st.lists(scope_spans, max_size=2)
)
trace_requests = st.builds(ExportTraceServiceRequest, resource_spans=st.lists(resource_spans, max_size=2))
log_records = st.builds(
    LogRecord,
    time_unix_nano=times, observed_time_unix_nano=times, severity_number=st.integers(0, 30), severity_text=words,
    body=values,
    attributes=pairs, dropped_attributes_count=small, flags=small, trace_id=trace_ids, span_id=span_ids,
    event_name=st.one_of(st.just(""), event_names),
)  # fmt: skip
log_requests = st.builds(
    ExportLogsServiceRequest,
    resource_logs=st.lists(
        st.builds(
            ResourceLogs, resource=resources, schema_url=words,
            scope_logs=st.lists(
                st.builds(ScopeLogs, scope=scopes, schema_url=words, log_records=st.lists(log_records, max_size=3)),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)  # fmt: skip


def as_rows(decoded: Decoded, *tables: str) -> dict[str, Any]:
    """The tables as rows, each checked by Arrow, text as valid UTF-8 included."""
    rows: dict[str, Any] = {"received": decoded.received, "refused": decoded.refused}
    for name in tables:
        table = getattr(decoded, name)
        table.validate(full=True)
        rows[name] = table.to_pylist()
    return rows


def with_hex_ids(value: Any) -> Any:
    """What protobuf's JSON printer made, with ids in hexadecimal as OTLP has them."""
    if isinstance(value, list):
        return [with_hex_ids(element) for element in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(inner).hex().upper() if key in ID_FIELDS else with_hex_ids(inner)
            for key, inner in value.items()
        }
    return value


def as_json(request: Any, **options: Any) -> bytes:
    """A request as OTLP/JSON."""
    return json.dumps(with_hex_ids(json_format.MessageToDict(request, **options))).encode()


@given(trace_requests)
def test_spans_equal_the_reference(request: ExportTraceServiceRequest) -> None:
    """Every column of every table is what the slow decoder says."""
    body = request.SerializeToString()
    decoded = decode(body, encoding="protobuf", signal="traces", settings=SETTINGS)
    assert as_rows(decoded, "spans", "flag_records", "correlations") == reference.spans(body, SETTINGS)


@given(log_requests)
def test_logs_equal_the_reference(request: ExportLogsServiceRequest) -> None:
    """Every column of every log record, and of the evaluations among them."""
    body = request.SerializeToString()
    assert as_rows(
        decode(body, encoding="protobuf", signal="logs", settings=SETTINGS), "logs", "flag_records"
    ) == reference.logs(body)


@given(trace_requests, st.booleans(), st.booleans())
def test_json_equals_protobuf(request: ExportTraceServiceRequest, numbers: bool, indent: bool) -> None:
    """The same request as OTLP/JSON gives the same tables, with enums as names or numbers, in any layout."""
    text = as_json(request, use_integers_for_enums=numbers)
    if indent:
        text = json.dumps(json.loads(text), indent=1, ensure_ascii=False).encode()
    names = ("spans", "flag_records", "correlations")
    from_json = as_rows(decode(text, encoding="json", signal="traces", settings=SETTINGS), *names)
    assert from_json == as_rows(
        decode(request.SerializeToString(), encoding="protobuf", signal="traces", settings=SETTINGS), *names
    )


@given(log_requests)
def test_json_logs_equal_protobuf(request: ExportLogsServiceRequest) -> None:
    """The same for log records."""
    from_json = as_rows(
        decode(as_json(request), encoding="json", signal="logs", settings=SETTINGS), "logs", "flag_records"
    )
    body = request.SerializeToString()
    assert from_json == as_rows(
        decode(body, encoding="protobuf", signal="logs", settings=SETTINGS), "logs", "flag_records"
    )


@given(st.binary(max_size=200), st.sampled_from(["traces", "logs"]), st.sampled_from(["protobuf", "json"]))
def test_any_bytes_decode_or_are_refused(body: bytes, signal: Any, encoding: Any) -> None:
    """Whatever comes is a result or an InputError."""
    try:
        as_rows(
            decode(body, encoding=encoding, signal=signal, settings=SETTINGS),
            "spans",
            "logs",
            "flag_records",
            "correlations",
        )
    except InputError:
        return


def mutated(body: bytes, seed: int) -> bytes:
    """A copy with some bytes changed, removed, repeated or cut off."""
    chance = random.Random(seed)
    changed = bytearray(body)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[at : at + chance.randrange(9)] = b""
            case 2:
                changed[at:at] = bytes(chance.choices(b'\x00\x0a\x12\x80\xff{}[]",:\\', k=chance.randrange(4)))
            case 3:
                changed[at : at + 1] = bytes([(changed[at] if at < len(changed) else 0) ^ (1 << chance.randrange(8))])
            case _:
                del changed[max(at, 1) :]
    return bytes(changed)


@given(trace_requests, st.integers(0, 2**32), st.booleans())
@settings(max_examples=300)
def test_damaged_requests_decode_or_are_refused(request: ExportTraceServiceRequest, seed: int, as_text: bool) -> None:
    """A damaged request is a result with valid columns or an InputError, never a crash or text that is no UTF-8."""
    body = mutated(as_json(request) if as_text else request.SerializeToString(), seed)
    try:
        decoded = decode(body, encoding="json" if as_text else "protobuf", signal="traces", settings=SETTINGS)
    except InputError:
        return
    as_rows(decoded, "spans", "flag_records", "correlations")


@given(trace_requests, st.integers(0, 2**32))
def test_what_protobuf_parses_is_not_refused(request: ExportTraceServiceRequest, seed: int) -> None:
    """A damaged request that protobuf still parses is parsed here too."""
    body = mutated(request.SerializeToString(), seed)
    try:
        ExportTraceServiceRequest.FromString(body)
    except Exception:  # noqa: BLE001  (protobuf's implementations raise different errors)
        return
    decode(body, encoding="protobuf", signal="traces", settings=SETTINGS)


@given(trace_requests, st.data())
def test_cut_requests_are_refused_or_shorter(request: ExportTraceServiceRequest, data: st.DataObject) -> None:
    """A request that ends too early never yields more spans than the whole one."""
    body = request.SerializeToString()
    cut = body[: data.draw(st.integers(0, max(len(body) - 1, 0)))]
    try:
        received = decode(cut, encoding="protobuf", signal="traces", settings=SETTINGS).received
    except InputError:
        return
    assert received <= decode(body, encoding="protobuf", signal="traces", settings=SETTINGS).received


@given(trace_requests)
def test_hidden_attributes_are_in_no_table(request: ExportTraceServiceRequest) -> None:
    """Decoding with rules equals decoding what the slow rules left of the request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(redact.KEY_VARIABLE, redact_reference.KEY)
        hidden = decode(request.SerializeToString(), encoding="protobuf", signal="traces", settings=HIDING)
    left = redact_reference.hide_in_request(request.SerializeToString(), "traces", DROP, HASH)
    names = ("spans", "flag_records", "correlations")
    assert as_rows(hidden, *names) == as_rows(
        decode(left, encoding="protobuf", signal="traces", settings=SETTINGS), *names
    )


@given(log_requests)
def test_hidden_attributes_are_in_no_log(request: ExportLogsServiceRequest) -> None:
    """The same for log records, sent as JSON."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(redact.KEY_VARIABLE, redact_reference.KEY)
        hidden = decode(as_json(request), encoding="json", signal="logs", settings=HIDING)
    left = redact_reference.hide_in_request(request.SerializeToString(), "logs", DROP, HASH)
    names = ("logs", "flag_records")
    assert as_rows(hidden, *names) == as_rows(
        decode(left, encoding="protobuf", signal="logs", settings=SETTINGS), *names
    )


def inside(number: int, *pieces: bytes) -> bytes:
    """A length-delimited field whose payload are these pieces in a row."""
    payload = b"".join(pieces)
    size, length = bytearray(), len(payload)
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes([number * 8 + 2]) + bytes(size) + bytes([length]) + payload


def welded(number: int, *parts: Any) -> bytes:
    """One message in field `number` made of several in a row, so that fields which may stand once stand repeatedly."""
    return inside(number, *(part.SerializeToString() for part in parts))


@given(st.lists(resource_spans, min_size=2, max_size=3), st.lists(scope_spans, min_size=2, max_size=3))
def test_repeated_resources_and_scopes_merge(containers: list[ResourceSpans], scoped: list[ScopeSpans]) -> None:
    """As protobuf merges them."""
    body = welded(1, *containers) + inside(1, containers[0].SerializeToString(), welded(2, *scoped))
    decoded = decode(body, encoding="protobuf", signal="traces", settings=SETTINGS)
    assert as_rows(decoded, "spans", "flag_records", "correlations") == reference.spans(body, SETTINGS)


@given(st.lists(spans, min_size=2, max_size=3), st.lists(pair, min_size=2, max_size=3), st.lists(values, max_size=4))
def test_repeated_statuses_and_values_merge(parts: list[Span], both: list[KeyValue], many: list[AnyValue]) -> None:
    """Status, value of an attribute, map and array within a value: the second adds to the first, as in protobuf."""
    attributes = welded(9, *both) + inside(9, both[0].SerializeToString(), welded(2, *many))
    body = inside(1, inside(2, inside(2, *(part.SerializeToString() for part in parts), attributes)))
    decoded = decode(body, encoding="protobuf", signal="traces", settings=SETTINGS)
    assert as_rows(decoded, "spans", "flag_records", "correlations") == reference.spans(body, SETTINGS)


@given(st.lists(log_records, min_size=2, max_size=3))
def test_repeated_log_bodies_merge(parts: list[LogRecord]) -> None:
    """The same for the body of a log record."""
    body = inside(1, inside(2, welded(2, *parts)))
    decoded = decode(body, encoding="protobuf", signal="logs", settings=SETTINGS)
    assert as_rows(decoded, "logs", "flag_records") == reference.logs(body)
