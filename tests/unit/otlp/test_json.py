"""OTLP/JSON as exporters, collectors and people write it."""

import json
from typing import Any

import pytest

from traceguard.errors import InputError
from traceguard.otlp import Decoded, decode
from traceguard.settings import Settings

SPAN: dict[str, Any] = {
    "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "name": "op", "kind": 2,
    "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000",
}  # fmt: skip


def document(*spans: dict[str, Any], **members: Any) -> str:
    """A request with these spans, each a copy of SPAN with changes."""
    scoped = [{"scope": {}, "spans": [SPAN | span for span in spans]}]
    return json.dumps({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": scoped}], **members})


def traces(text: str | bytes) -> Decoded:
    """The decoded request."""
    body = text.encode() if isinstance(text, str) else text
    decoded = decode(body, encoding="json", signal="traces", settings=Settings())
    decoded.spans.validate(full=True)
    return decoded


def row(text: str | bytes) -> dict[str, Any]:
    """The only row of the decoded request."""
    (found,) = traces(text).spans.to_pylist()
    return dict(found)


def value(written: str) -> str:
    """The attributes column of a span whose only attribute has this value."""
    return str(row(document({"attributes": [{"key": "k", "value": "HERE"}]}).replace('"HERE"', written))["attributes"])


def test_ids_are_hexadecimal_of_any_case() -> None:
    """They come out in lowercase."""
    found = row(document({"parentSpanId": "EEE19B7EC3C1B173"}))
    assert found["trace_id"] == "5b8efff798038103d269b633813fc60c"
    assert found["parent_span_id"] == "eee19b7ec3c1b173"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"traceId": "5b8e"}, "invalid_trace_id"),
        ({"traceId": "z" * 32}, "invalid_trace_id"),
        ({"traceId": "W47/95gDgQPSabYzgT/GDA=="}, "invalid_trace_id"),
        ({"spanId": None}, "invalid_span_id"),
        ({"spanId": "eee19b7ec3c1b17"}, "invalid_span_id"),
        ({"startTimeUnixNano": 2**63}, "time_out_of_range"),
        ({"endTimeUnixNano": "-1"}, "time_out_of_range"),
    ],
)
def test_a_bad_id_or_time_refuses_its_span_only(change: dict[str, Any], reason: str) -> None:
    """The other spans of the body stay."""
    decoded = traces(document({}, change))
    assert (decoded.received, decoded.refused, decoded.spans.num_rows) == (2, {reason: 1}, 1)


@pytest.mark.parametrize(
    "written", ['"1544712660000000001"', "1544712660000000001", "1544712660000000001.0", "1544712660000000001e0"]
)
def test_times_are_text_or_numbers_and_exact(written: str) -> None:
    """64 bits do not pass through a double."""
    text = document({"startTimeUnixNano": 424242}).replace("424242", written)
    assert row(text)["start_ns"] == 1544712660000000001


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(3, "client"), ("SPAN_KIND_CLIENT", "client"), ("3", "client"), ("NEW", "unspecified"), (99, "unspecified")],
)
def test_enums_are_numbers_or_names(kind: Any, expected: str) -> None:
    """A name that is not known yet is as if it were not set."""
    assert row(document({"kind": kind}))["kind"] == expected


def test_both_spellings_of_names_are_known() -> None:
    """camelCase, as the protocol says, and protobuf's own snake_case."""
    text = document({"droppedEventsCount": 3, "status": {"code": 2, "message": "no"}})
    for camel, snake in (
        ("resourceSpans", "resource_spans"),
        ("traceId", "trace_id"),
        ("startTimeUnixNano", "start_time_unix_nano"),
        ("droppedEventsCount", "dropped_events_count"),
    ):
        text = text.replace(camel, snake)
    found = row(text)
    assert (found["start_ns"], found["dropped_events"], found["status"]) == (1544712660000000000, 3, "error")


def test_unknown_members_are_ignored_at_any_depth() -> None:
    """Later versions of the protocol, and what people add."""
    extra = {"x": [1, {"y": [[], {}, '}]\\"']}, None, True, -1.5e-3], "traceId": {"a": 1}}
    assert (
        row(
            document(
                {"extra": extra, "attributes": [{"key": "k", "value": {"intValue": 1, "extra": extra}, "z": 1}]},
                more=extra,
            )
        )["attributes"]
        == '{"k":1}'
    )


def test_null_is_not_set() -> None:
    """Anywhere, and an element of an array keeps its place."""
    found = row(
        document({"parentSpanId": None, "attributes": None, "events": [], "links": None, "status": None, "kind": None})
    )
    assert (found["attributes"], found["kind"], found["status"]) == (None, "unspecified", "unset")
    assert value('{"arrayValue":{"values":[{"intValue":1},null,{"intValue":"2"}]}}') == '{"k":[1,null,2]}'
    assert value("null") == '{"k":null}'


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('{"doubleValue": 0.1}', "0.1"), ('{"doubleValue": 5}', "5.0"), ('{"doubleValue": "NaN"}', '"NaN"'),
        ('{"doubleValue": "-Infinity"}', '"-Infinity"'), ('{"doubleValue": "2.5"}', "2.5"),
        ('{"doubleValue": 1e999}', '"Infinity"'),
        ('{"doubleValue": 1E-5}', "1e-05"), ('{"intValue": "9223372036854775807"}', "9223372036854775807"),
        ('{"intValue": -9223372036854775808}', "-9223372036854775808"), ('{"intValue": 5e3}', "5000"),
        ('{"boolValue": false}', "false"),
        ('{"bytesValue": "AAAwOQ=="}', '"AAAwOQ=="'), ('{"bytesValue": "AAAwOQ"}', '"AAAwOQ=="'),
        ('{"bytesValue": "-_8"}', '"+/8="'),
        ('{"stringValue": ""}', '""'), ("{}", "null"), ('{"arrayValue": {}}', "[]"),
        ('{"kvlistValue": {"values": []}}', "{}"),
        ('{"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}}', '{"a":"b"}'),
    ],
)  # fmt: skip
def test_values_of_every_type(written: str, expected: str) -> None:
    """Each kind of AnyValue, in each way of writing it."""
    assert value(written) == '{"k":' + expected + "}"


def test_escapes_and_surrogates_in_text() -> None:
    """Any character may be escaped; half of a pair becomes U+FFFD."""
    written = r'{"stringValue": "a\"\\\/\b\f\n\r\t\u00e9\u6f22\ud83d\ude00\ud83d."}'
    assert json.loads(value(written))["k"] == 'a"\\/\b\f\n\r\té漢😀\ufffd.'


def test_a_byte_order_mark_and_any_layout() -> None:
    """A mark may lead, and white space may stand anywhere."""
    assert (
        row(b"\xef\xbb\xbf\r\n\t " + json.dumps(json.loads(document({})), indent=3).encode() + b"\n")["operation"]
        == "op"
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "[]", "null", "1", "{",
        '{"resourceSpans"', '{"resourceSpans": [}', '{"resourceSpans": {}}', '{"resourceSpans": 1}',
        '{"a": 1,}', '{"a": 1} x', '{"a": tru}', '{"a": 01x}', '{"a": "\\', '{"a" 1}', "{'a': 1}", "{}{}",
        '{"a": [1 2]}', '{"a": nul',
        "<html>", "x" * 100,
        document({"name": 5}), document({"attributes": {}}), document({"kind": 1.5}),
        document({"startTimeUnixNano": "soon"}),
        document({"startTimeUnixNano": 2**64}), document({"status": []}),
        document({"attributes": [{"key": "\\q"}]}).replace("\\\\", "\\"),
        document({"attributes": [{"key": "k", "value": {"bytesValue": "***"}}]}),
        document({"attributes": [{"key": "k", "value": {"boolValue": 1}}]}), '{"a":' * 500 + "1" + "}" * 500,
    ],
)  # fmt: skip
def test_text_that_is_no_request_is_refused_whole(text: str) -> None:
    """An InputError says what is wrong and where."""
    with pytest.raises(InputError, match="near byte"):
        traces(text)


@pytest.mark.parametrize("text", ["[]", " [1]", '"text"', "null"])
def test_json_that_is_no_object_is_called_no_request(text: str) -> None:
    """Valid JSON is not called invalid."""
    with pytest.raises(InputError, match="no OTLP/JSON request"):
        traces(text)
