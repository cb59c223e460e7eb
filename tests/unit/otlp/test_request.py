"""One request body into tables: what is kept, what is refused, what makes the whole body bad."""

import json
from typing import Any

import pytest
from builders.otlp import PARENT_ID, SPAN_ID, START_NS, TRACE_ID, make_span, trace_request
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from traceguard.errors import InputError
from traceguard.otlp import Decoded, decode
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, LOGS, SPANS
from traceguard.settings import Settings


def traces(*spans: Span, **request: Any) -> Decoded:
    """The decoded request with these spans."""
    body = trace_request(*spans, **request).SerializeToString()
    return decode(body, encoding="protobuf", signal="traces", settings=Settings())


def row(*spans: Span, **request: Any) -> dict[str, Any]:
    """The only row of the decoded request."""
    (found,) = traces(*spans, **request).spans.to_pylist()
    return dict(found)


def test_tables_have_the_promised_schemas() -> None:
    """Whatever a body holds, each table has the columns that the store expects."""
    decoded = traces(make_span())
    assert (decoded.spans.schema, decoded.flag_records.schema) == (SPANS, FLAG_RECORDS)
    assert (decoded.correlations.schema, decoded.logs.schema) == (CORRELATIONS, LOGS)


@pytest.mark.parametrize(
    ("encoding", "body"), [("protobuf", b""), ("json", b"{}"), ("json", b' {"resourceSpans": []}\n')]
)
def test_an_empty_request_is_no_error(encoding: Any, body: bytes) -> None:
    """Nothing sent is nothing received."""
    assert decode(body, encoding=encoding, signal="traces", settings=Settings()).received == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b""}, "invalid_trace_id"),
        ({"trace_id": bytes(16)}, "invalid_trace_id"),
        ({"trace_id": TRACE_ID[:15]}, "invalid_trace_id"),
        ({"span_id": b""}, "invalid_span_id"),
        ({"span_id": bytes(8)}, "invalid_span_id"),
        ({"span_id": SPAN_ID + b"x"}, "invalid_span_id"),
        ({"start_time_unix_nano": 2**63}, "time_out_of_range"),
        ({"end_time_unix_nano": 2**64 - 1}, "time_out_of_range"),
    ],
)
def test_spans_that_cannot_be_kept_are_counted_by_reason(fields: dict[str, Any], reason: str) -> None:
    """A bad span is refused with everything on it, its neighbours stay."""
    bad = make_span(
        {"session.id": "bad", "feature_flag.x": "on"}, events=[("feature_flag", {"feature_flag.key": "y"})], **fields
    )
    decoded = traces(make_span({"session.id": "good"}), bad, make_span(name="last"))
    assert (decoded.received, decoded.refused) == (3, {reason: 1})
    assert decoded.spans["operation"].to_pylist() == ["op", "last"]
    assert decoded.correlations["value"].to_pylist() == ["good"]
    assert decoded.flag_records.num_rows == 0


def test_an_end_before_its_start_is_kept_as_zero_and_told() -> None:
    """The duration is 0 and the distance is kept."""
    found = row(make_span(end_time_unix_nano=START_NS - 5))
    assert (found["dur_ns"], found["end_before_start_ns"]) == (0, 5)


@pytest.mark.parametrize(
    ("parent", "expected"), [(b"", None), (bytes(8), None), (PARENT_ID, PARENT_ID.hex()), (b"\x01\x02", "0102")]
)
def test_parents_are_hex_or_null(parent: bytes, expected: str | None) -> None:
    """No parent and an all-zero one are a root; one of odd length stays legible, so its span is an orphan."""
    assert row(make_span(parent_span_id=parent))["parent_span_id"] == expected


def test_attribute_values_keep_their_types() -> None:
    """Integers exact, doubles with a point or exponent, bytes base64, NaN text, empty null, containers nested."""
    values = {
        "int": 2**63 - 1, "min": -(2**63), "whole": 3.0, "tenth": 0.1, "big": 1e300, "nan": float("nan"),
        "inf": float("-inf"),
        "bytes": b"\x00\xff", "none": None, "yes": True, "list": [1, "a", [2.5, {}]], "map": {"k": {"inner": []}},
    }  # fmt: skip
    assert row(make_span(values))["attributes"] == (
        '{"int":9223372036854775807,"min":-9223372036854775808,"whole":3.0,"tenth":0.1,"big":1e+300,"nan":"NaN",'
        '"inf":"-Infinity","bytes":"AP8=","none":null,"yes":true,"list":[1,"a",[2.5,{}]],"map":{"k":{"inner":[]}}}'
    )


def test_text_is_escaped_and_repaired() -> None:
    """Quotes, control characters and any script survive; bytes that are no UTF-8 become U+FFFD as Python has it."""
    body = trace_request(make_span({"k": 'a"\\\n\x00\x7f é 漢 😀'}, name="XXXX")).SerializeToString()
    broken = b"\xffa\xe2"
    decoded = decode(
        body.replace(b"XXXX", broken + b"b"), encoding="protobuf", signal="traces", settings=Settings()
    ).spans.to_pylist()[0]
    assert json.loads(decoded["attributes"]) == {"k": 'a"\\\n\x00\x7f é 漢 😀'}
    assert decoded["operation"] == (broken + b"b").decode("utf-8", "replace")


def test_of_equal_keys_the_last_wins() -> None:
    """The text stays valid JSON, in short lists and long ones."""
    span = make_span({f"k{n}": n for n in range(40)})
    span.attributes.add(key="k3").value.string_value = "last"
    found = json.loads(row(span)["attributes"])
    assert (found["k3"], len(found)) == ("last", 40)
    short = make_span({"a": 1, "b": 2})
    short.attributes.add(key="a").value.int_value = 3
    assert row(short)["attributes"] == '{"b":2,"a":3}'


def test_containers_nested_too_deeply_are_refused_whole() -> None:
    """Like protobuf's own limit: the body is bad, the process is not."""
    value: Any = 1
    for _ in range(31):
        value = [value]
    assert json.loads(row(make_span({"k": value}))["attributes"])["k"]
    with pytest.raises(InputError):
        traces(make_span({"k": [[value]]}))


def test_service_and_deployment_come_from_the_resource() -> None:
    """Names of today win over older ones, text of other types too, and a missing service has the convention's name."""
    resource = {
        "service.name": "cart", "service.version": 2, "service.instance.id": "cart-1",
        "deployment.environment": "old",
        "deployment.environment.name": "prod",
    }  # fmt: skip
    found = row(make_span(), resource=resource, scope="lib")
    assert [found[c] for c in ("service", "version", "instance", "environment")] == ["cart", "2", "cart-1", "prod"]
    assert found["resource"].startswith('{"attributes":{"service.name":"cart","service.version":2,')
    assert found["scope"] == '{"name":"lib"}'
    bare = row(make_span(), resource={"deployment.environment": "old"})
    assert [bare[c] for c in ("service", "version", "environment")] == ["unknown_service", None, "old"]


def test_correlations_take_the_first_of_an_array() -> None:
    """Identifying attributes have a row each with their text; empty ones and those of other keys have none."""
    span = make_span({
        "http.request.header.x-request-id": ["r1", "r2"], "session.id": "", "user.id": 7, "tenant.id": [],
        "other.id": "x",
    })  # fmt: skip
    assert traces(span).correlations.to_pylist() == [
        {
            "trace_id": TRACE_ID.hex(),
            "span_id": SPAN_ID.hex(),
            "key": "http.request.header.x-request-id",
            "value": "r1",
        },
        {"trace_id": TRACE_ID.hex(), "span_id": SPAN_ID.hex(), "key": "user.id", "value": "7"},
    ]


def test_repeated_text_is_a_dictionary() -> None:
    """A service's name lies in a batch once, however the batch is put together."""
    request = trace_request(make_span(), resource={"service.name": "cart"})
    body = request.SerializeToString() * 50
    column = decode(body, encoding="protobuf", signal="traces", settings=Settings()).spans["service"].combine_chunks()
    assert (len(column), column.dictionary.to_pylist()) == (50, ["cart"])


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-1], lambda b: b[:40], lambda b: b + b"\x0a\x05", lambda b: b"\x00" + b, lambda b: b + b"\xff" * 11],
)
def test_a_body_that_does_not_parse_whole_is_refused_whole(damage: Any) -> None:
    """Cut off, too long, no tags: an InputError says what to do."""
    body = damage(trace_request(make_span({"k": "v"})).SerializeToString())
    with pytest.raises(InputError, match="send"):
        decode(body, encoding="protobuf", signal="traces", settings=Settings())


def test_unknown_fields_and_wrong_wire_types_are_skipped() -> None:
    """As protobuf does it: what is not known is passed over, groups included."""
    body = trace_request(make_span()).SerializeToString()
    unknown = b"\x08\x01" + b"\xa2\x06\x03abc" + b"\xa3\x06\x08\x01\xa4\x06" + b"\x11" + bytes(8)
    assert decode(unknown + body + unknown, encoding="protobuf", signal="traces", settings=Settings()).received == 1


def test_text_that_grows_sixfold_finds_room() -> None:
    """A body of control characters needs more room than is set aside at first."""
    span = make_span({"k" * 10: "\x01" * 200_000, "session.id": "\x02" * 50_000})
    decoded = traces(span)
    assert json.loads(decoded.spans["attributes"][0].as_py())["k" * 10] == "\x01" * 200_000
    assert decoded.correlations["value"].to_pylist() == ["\x02" * 50_000]
    decoded.spans.validate(full=True)


def test_many_attributes_and_flags_on_one_span_find_room() -> None:
    """Thousands of attributes, events and flag records on one span."""
    span = make_span(
        {f"feature_flag.f{n}": "on" for n in range(20_000)},
        events=[("feature_flag", {"feature_flag.key": f"e{n}"}) for n in range(5_000)],
    )
    decoded = traces(span)
    assert decoded.flag_records.num_rows == 25_000
    assert len(json.loads(decoded.spans["attributes"][0].as_py())) == 20_000
