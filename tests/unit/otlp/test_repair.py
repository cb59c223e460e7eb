"""Text that is no UTF-8 is repaired wherever it stands and in either encoding; what cannot be bounded is refused."""

import json
from typing import Any, Literal

import pytest
from builders.otlp import START_NS, any_value, log_request, make_log, make_span, pairs, trace_request
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from traceguard.errors import InputError
from traceguard.otlp import Decoded, decode
from traceguard.otlp.json import to_protobuf
from traceguard.otlp.schema import of_requests
from traceguard.settings import Settings

BROKEN = b"a\xff\xe2\x82b"
REPAIRED = BROKEN.decode("utf-8", "replace")
PLACE = "q" * len(BROKEN)  # where BROKEN is put once the request is bytes: protobuf's library writes valid text only


def decoded(body: bytes, encoding: Literal["protobuf", "json"], signal: Literal["traces", "logs"]) -> Decoded:
    """A decoded request whose tables Arrow has checked, text as valid UTF-8 included."""
    found = decode(body, encoding=encoding, signal=signal, settings=Settings(correlation_keys=(PLACE, "user.id")))
    for table in (found.spans, found.logs, found.flag_records, found.correlations):
        table.validate(full=True)
    return found


def broken(request: Any) -> list[tuple[bytes, Literal["protobuf", "json"]]]:
    """The request with BROKEN in place of each PLACE, in both encodings, without ids that JSON spells otherwise."""
    text = json.dumps(json_format.MessageToDict(request), ensure_ascii=False).encode()
    hexadecimal = text.replace(b"AQIDBAUGBwgJCgsMDQ4PEA==", b"0102030405060708090a0b0c0d0e0f10")
    hexadecimal = hexadecimal.replace(b"AQIDBAUGBwg=", b"0102030405060708")
    return [
        (request.SerializeToString().replace(PLACE.encode(), BROKEN), "protobuf"),
        (hexadecimal.replace(PLACE.encode(), BROKEN), "json"),
    ]


def test_spans_with_broken_text_are_kept_and_repaired() -> None:
    """Names, keys, values, events, links, status, state, resource, scope, flags, correlations: one U+FFFD a fault."""
    attributes = {PLACE: PLACE, "deep": {PLACE: [PLACE]}, "user.id": PLACE, "feature_flag.x": PLACE}
    flag = ("feature_flag", {"feature_flag.key": PLACE, "feature_flag.result.variant": PLACE})
    span = make_span(attributes, name=PLACE, trace_state=PLACE, events=[(PLACE, attributes), flag])
    span.status.CopyFrom(Status(message=PLACE))
    span.links.add(trace_state=PLACE).attributes.extend(pairs(attributes))
    request = trace_request(span, resource={"service.name": PLACE, PLACE: PLACE}, scope=PLACE)
    request.resource_spans[0].schema_url = PLACE
    for body, encoding in broken(request):
        found = decoded(body, encoding, "traces")
        assert (found.received, found.refused) == (1, {})
        (row,) = found.spans.to_pylist()
        assert (row["operation"], row["service"], row["status_message"], row["trace_state"]) == (REPAIRED,) * 4
        shown = {REPAIRED: REPAIRED, "deep": {REPAIRED: [REPAIRED]}, "user.id": REPAIRED, "feature_flag.x": REPAIRED}
        assert json.loads(row["attributes"]) == shown
        assert json.loads(row["events"])[0] == {"name": REPAIRED, "time_ns": START_NS + 1, "attributes": shown}
        assert json.loads(row["links"]) == [{"trace_state": REPAIRED, "attributes": shown}]
        assert json.loads(row["resource"])["schema_url"] == REPAIRED
        assert json.loads(row["scope"]) == {"name": REPAIRED}
        assert found.correlations["value"].to_pylist() == [REPAIRED]
        assert found.flag_records.select(["flag_key", "variant"]).to_pylist() == [
            {"flag_key": "x", "variant": REPAIRED}, {"flag_key": REPAIRED, "variant": REPAIRED},
        ]  # fmt: skip


def test_logs_with_broken_text_are_kept_and_repaired() -> None:
    """Body, severity, event name, attributes."""
    record = make_log({PLACE: PLACE}, body=any_value({PLACE: PLACE}), severity_text=PLACE, event_name=PLACE)
    for body, encoding in broken(log_request(record)):
        (row,) = decoded(body, encoding, "logs").logs.to_pylist()
        assert (row["severity_text"], row["event_name"]) == (REPAIRED, REPAIRED)
        assert json.loads(row["body"]) == json.loads(row["attributes"]) == {REPAIRED: REPAIRED}


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        (r"\ud83d\ude00", "😀"), (r"\ud83d", "\ufffd"), (r"\ude00\ud83d", "\ufffd\ufffd"), (r"\ud83dx", "\ufffdx"),
        (r"\ud83d\u0041", "\ufffdA"), (r"\u0000", "\0"),
    ],
)  # fmt: skip
def test_lone_surrogates_are_repaired(literal: str, expected: str) -> None:
    """Half of a pair is a character that nobody can write; it costs one U+FFFD and no span."""
    span = '{"traceId":"%s","spanId":"%s","name":"%s","attributes":[{"key":"%s","value":{"stringValue":"%s"}}]}'
    text = span % ("01" * 16, "02" * 8, literal, literal, literal)
    body = '{"resourceSpans":[{"scopeSpans":[{"spans":[' + text + "]}]}]}"
    (row,) = decoded(body.encode(), "json", "traces").spans.to_pylist()
    assert (row["operation"], json.loads(row["attributes"])) == (expected, {expected: expected})


def test_broken_text_is_repaired_where_messages_are_merged() -> None:
    """Protobuf's library, which puts the pieces together, would refuse it."""
    body = trace_request(make_span(), resource={"service.name": PLACE}).SerializeToString()
    size = len(body) - 2  # one ResourceSpans of less than 128 bytes: its tag and length come first
    twice = b"\x0a" + bytes([(2 * size) & 127 | 128, 2 * size >> 7]) + body[2:] * 2
    found = decoded(twice.replace(PLACE.encode(), BROKEN), "protobuf", "traces")
    assert found.spans["service"].to_pylist() == [REPAIRED, REPAIRED]


def test_a_body_beyond_the_limit_is_refused_in_words() -> None:
    """256 MiB, whatever is in it; nothing of it is looked at."""
    body = bytes(2**28 + 1)
    for encoding in ("protobuf", "json"):
        with pytest.raises(InputError, match=r"The body has 268435457 bytes, more than .* send smaller batches"):
            decode(body, encoding=encoding, signal="traces", settings=Settings())  # type: ignore[arg-type]


@pytest.mark.parametrize("part", [b"\x0a\x00", b"\x0a\x02\x12\x00", b"\x0a\x04\x12\x02\x12\x00"])
@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_millions_of_empty_messages_are_refused(part: bytes, signal: Any) -> None:
    """Two bytes of body must not become hundreds of memory."""
    with pytest.raises(InputError, match=r"resources, scopes and records, more than .* send smaller batches"):
        decode(part * (2**20 + 1), encoding="protobuf", signal=signal, settings=Settings())
    assert decode(part * 1000, encoding="protobuf", signal=signal, settings=Settings()).spans.num_rows == 0


def test_a_large_body_with_repeated_fields_is_refused() -> None:
    """Merging makes objects, which take far more room than the body."""
    span = trace_request(make_span({"k": "x" * 100})).SerializeToString()
    twice = b"".join(b"\x0a\x02\x12\x00" for _ in range(2))
    resource = b"\x0a\x04" + b"\x0a\x00\x0a\x00"
    assert decode(span + twice + resource, encoding="protobuf", signal="traces", settings=Settings()).received == 1
    with pytest.raises(InputError, match="repeats a field that stands once"):
        decode(span * 30_000 + resource, encoding="protobuf", signal="traces", settings=Settings())


def test_repeated_members_of_json_merge_too() -> None:
    """A JSON object that names a member twice: protobuf's fields of it merge."""
    text = (
        b'{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},'
        b'"resource":{"attributes":[{"key":"service.version","value":{"stringValue":"1"}}]},"scopeSpans":[{"spans":['
        b'{"traceId":"' + b"01" * 16 + b'","spanId":"' + b"02" * 8 + b'"}]}]}]}'
    )
    assert to_protobuf(text, of_requests("traces")).known == 1
    (row,) = decoded(text, "json", "traces").spans.to_pylist()
    assert (row["service"], row["version"]) == ("cart", "1")
