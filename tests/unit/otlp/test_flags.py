"""Every form in which a flag evaluation arrives becomes one row with the right flag, level, context and span."""

from typing import Any

import pytest
from builders.otlp import PARENT_ID, SPAN_ID, START_NS, TRACE_ID, log_request, make_log, make_span, trace_request
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from traceguard.otlp import Decoded, decode
from traceguard.otlp.flags import canonical_level
from traceguard.settings import Settings

INTERNAL = Span.SPAN_KIND_INTERNAL


def traces(*spans: Span, scope: str = "", **settings: Any) -> Decoded:
    """The decoded request with these spans."""
    body = trace_request(*spans, scope=scope).SerializeToString()
    return decode(body, encoding="protobuf", signal="traces", settings=Settings(**settings))


def told(decoded: Decoded) -> list[tuple[str, str | None, str | None]]:
    """Flag, level and context of each record."""
    return [(r["flag_key"], r["variant"], r["context_id"]) for r in decoded.flag_records.to_pylist()]


PY_03 = {
    "feature_flag.key": "checkout", "feature_flag.result.value": "true", "feature_flag.result.variant": "on",
    "feature_flag.result.reason": "static", "feature_flag.context.id": "u1", "feature_flag.provider.name": "flagd",
}  # fmt: skip
EVENTS = {
    "OpenFeature Python 0.3": ("feature_flag.evaluation", PY_03, ("checkout", "on", "u1")),
    "OpenFeature Python 0.3 without a variant": (
        "feature_flag.evaluation",
        {"feature_flag.key": "logo", "feature_flag.result.value": '"#c05543"'},
        ("logo", "#c05543", None),
    ),
    "OpenFeature Python 0.2, Java 3.3": (
        "feature_flag",
        {"feature_flag.key": "checkout", "feature_flag.variant": "on", "feature_flag.provider_name": "flagd"},
        ("checkout", "on", None),
    ),
    "OpenFeature JS 1.0, typed value": (
        "feature_flag.evaluation",
        {"feature_flag.key": "checkout", "feature_flag.result.value": True},
        ("checkout", "true", None),
    ),
    "OpenFeature JS 1.0, object as JSON text": (
        "feature_flag.evaluation",
        {"feature_flag.key": "cfg", "feature_flag.result.value": '{"b": [1, 2], "a": 1}'},
        ("cfg", '{"a":1,"b":[1,2]}', None),
    ),
    "OpenFeature Go": (
        "feature_flag.evaluation",
        {"feature_flag.key": "checkout", "feature_flag.result.variant": "on", "feature_flag.context.id": ""},
        ("checkout", "on", None),
    ),
    "LaunchDarkly Python, JS": (
        "feature_flag",
        {
            "feature_flag.key": "checkout", "feature_flag.provider.name": "LaunchDarkly",
            "feature_flag.context.id": "u1",
            "feature_flag.result.variationIndex": 2, "feature_flag.result.reason.inExperiment": True,
            "feature_flag.result.value": '"b"',
        },
        ("checkout", "2", "u1"),
    ),
    "LaunchDarkly Go": (
        "feature_flag",
        {
            "feature_flag.key": "checkout", "feature_flag.provider_name": "LaunchDarkly",
            "feature_flag.context.key": "u1", "feature_flag.variant": "1",
        },
        ("checkout", "1", "u1"),
    ),
    "Flipt v2": (
        "flipt.flag_evaluation",
        {"flipt.key": "checkout", "flipt.result.variant": "on", "flipt.context.entity_id": "u1"},
        ("checkout", "on", "u1"),
    ),
    "Flipt v2, other key": ("flipt.flag_evaluation", {"flipt.flag": "checkout"}, ("checkout", None, None)),
    "Microsoft with a variant": (
        "FeatureEvaluation",
        {"FeatureName": "checkout", "Enabled": True, "Variant": "Big", "TargetingId": "u1"},
        ("checkout", "Big", "u1"),
    ),
    "Microsoft without": (
        "FeatureEvaluation", {"FeatureName": "checkout", "Enabled": "True"}, ("checkout", "true", None)
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", EVENTS)
def test_span_events(form: str) -> None:
    """A hook's span event becomes a record on its span, at the event's time."""
    name, attributes, expected = EVENTS[form]
    decoded = traces(make_span(events=[(name, attributes)]))
    assert told(decoded) == [expected]
    (record,) = decoded.flag_records.to_pylist()
    assert (record["trace_id"], record["span_id"], record["time_ns"]) == (TRACE_ID.hex(), SPAN_ID.hex(), START_NS + 1)


@pytest.mark.parametrize("form", EVENTS)
def test_log_records(form: str) -> None:
    """The same attributes in a log record with the event's name become the same record."""
    name, attributes, expected = EVENTS[form]
    body = log_request(make_log(attributes, event_name=name)).SerializeToString()
    decoded = decode(body, encoding="protobuf", signal="logs", settings=Settings())
    assert told(decoded) == [expected]
    (record,) = decoded.flag_records.to_pylist()
    assert (record["span_id"], record["time_ns"]) == (SPAN_ID.hex(), START_NS)
    assert decoded.logs.num_rows == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": {"event.name": "feature_flag.evaluation"}},
        {"attributes": {"microsoft.custom_event.name": "FeatureEvaluation"}},
        {"attributes": {}, "body": {"string_value": "feature_flag.evaluation"}},
    ],
)
def test_log_records_of_sdks_without_event_names(fields: dict[str, Any]) -> None:
    """The event's name may stand in an attribute or in the body."""
    log = make_log(PY_03 | fields.pop("attributes"), **fields)
    decoded = decode(log_request(log).SerializeToString(), encoding="protobuf", signal="logs", settings=Settings())
    assert told(decoded) == [("checkout", "on", "u1")]


def test_a_log_record_outside_of_traces_is_no_evaluation_of_a_request() -> None:
    """Without a trace id there is nothing that the evaluation could belong to."""
    log = make_log(PY_03, event_name="feature_flag.evaluation", trace_id=b"")
    decoded = decode(log_request(log).SerializeToString(), encoding="protobuf", signal="logs", settings=Settings())
    assert told(decoded) == []
    assert decoded.logs["trace_id"].to_pylist() == [None]


def test_exception_events_are_no_evaluations() -> None:
    """OpenFeature Python adds the flag's key to the exception of a failed evaluation, which has an event too."""
    failed = {
        "exception.type": "FlagNotFoundError",
        "feature_flag.key": "checkout",
        "feature_flag.result.value": "false",
    }
    assert told(traces(make_span(events=[("exception", failed)]))) == []


def test_an_extra_span_is_an_evaluation_of_its_parent() -> None:
    """The span that OpenFeature JS makes is marked, and the evaluation belongs to the application's span."""
    span = make_span(PY_03, name="feature_flag.evaluation", kind=INTERNAL, parent_span_id=PARENT_ID)
    decoded = traces(span)
    assert told(decoded) == [("checkout", "on", "u1")]
    assert decoded.flag_records["span_id"].to_pylist() == [PARENT_ID.hex()]
    assert decoded.spans["evaluation_only"].to_pylist() == [True]


def test_launchdarklys_extra_span_repeats_no_evaluation() -> None:
    """LaunchDarkly's span around an evaluation has no level; its event on the parent has."""
    span = make_span(
        {"feature_flag.key": "checkout", "feature_flag.context.id": "u1"},
        name="variation", kind=INTERNAL, parent_span_id=PARENT_ID,
    )  # fmt: skip
    decoded = traces(span, scope="launchdarkly")
    assert told(decoded) == []
    assert decoded.spans["evaluation_only"].to_pylist() == [True]


def test_flagd_servers_spans_are_real() -> None:
    """A server span that carries an evaluation is a call, and the evaluation is its own."""
    decoded = traces(make_span(PY_03, name="resolveBoolean", kind=Span.SPAN_KIND_SERVER, parent_span_id=PARENT_ID))
    assert told(decoded) == [("checkout", "on", "u1")]
    assert decoded.flag_records["span_id"].to_pylist() == [SPAN_ID.hex()]
    assert decoded.spans["evaluation_only"].to_pylist() == [False]


def test_plain_tags_name_flags_and_the_conventions_keys_do_not() -> None:
    """`PREFIX<flag>` is a flag unless the convention means something else by it."""
    tags = {
        "feature_flag.new-pricing": "on", "feature_flag.result.reason": "static", "feature_flag.set.id": "prod",
        "feature_flag.provider.name": "x", "feature_flag.version": "7", "feature_flag.error.message": "no",
        "feature_flag.": "empty name", "flag.evaluation.logo": True, "ff/cart": 3, "feature_flag.nothing": None,
    }  # fmt: skip
    decoded = traces(make_span(tags), flag_prefixes=("feature_flag.", "flag.evaluation.", "ff/"))
    assert told(decoded) == [
        ("new-pricing", "on", None), ("logo", "true", None), ("cart", "3", None), ("nothing", None, None),
    ]  # fmt: skip
    assert told(traces(make_span(tags), flag_prefixes=())) == []


def test_the_longest_prefix_wins() -> None:
    """Where prefixes contain each other, the flag's name is what is left after the longest."""
    assert told(traces(make_span({"app.flag.x": "on"}), flag_prefixes=("app.", "app.flag."))) == [("x", "on", None)]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("on", "on"), ("true", "true"), ("True", "true"), ('"on"', "on"), ("3", "3"), ("3.0", "3.0"), ("3.5", "3.5"),
        ('{"b":1,"a":{"d":2,"c":3}}', '{"a":{"c":3,"d":2},"b":1}'), ("[1, 2]", "[1,2]"),
        ("{not json", "{not json"), ('{"a": NaN}', '{"a": NaN}'), ('"', '"'), ("", ""), ('"é"', "é"),
        ('"\\ud800"', '"\\ud800"'), ("[" * 5000, "[" * 5000),
    ],
)  # fmt: skip
def test_canonical_levels(text: str, level: str) -> None:
    """Equal values have one spelling, and text that is no value stays as it is."""
    assert canonical_level(text) == level
