"""The slow, obvious decoder: OTLP as protobuf objects, walked in Python into the rows that the fast one must give.

It parses with the protobuf library, from the protocol's own descriptors in which every string is declared as bytes: on
the wire they are the same, but text that is no UTF-8 can be repaired here instead of failing the message. That is the
first documented difference from the library; the second is DEEPEST, see `attributes`.
"""

import base64
import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from traceguard.otlp.attributes import DEEPEST
from traceguard.otlp.flags import canonical_level
from traceguard.settings import Settings

Row = dict[str, Any]
Key = bytes | int  # a key as it was sent, or the index that stands for it

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
EVALUATION = "feature_flag.evaluation"
EVENT_NAMES = {EVALUATION, "feature_flag", "flipt.flag_evaluation", "FeatureEvaluation", "FeatureFlag"}
KEYS = ("feature_flag.key", "flipt.key", "flipt.flag", "FeatureName")
VARIANTS = (
    "feature_flag.result.variant", "feature_flag.variant", "flipt.result.variant", "Variant",
    "feature_flag.result.variationIndex",
)  # fmt: skip
VALUES = ("feature_flag.result.value", "flipt.result.value", "flipt.value", "Enabled")
CONTEXTS = (
    "feature_flag.context.id", "feature_flag.context.key", "flipt.context.entity_id", "flipt.entity_id", "TargetingId",
)  # fmt: skip
PROVIDERS = ("feature_flag.provider.name", "feature_flag.provider_name")
REASONS = (
    "feature_flag.result.reason", "feature_flag.reason", "feature_flag.evaluation.reason", "flipt.result.reason",
    "flipt.reason", "VariantAssignmentReason",
)  # fmt: skip
CONVENTION = {
    key for key in (*KEYS, *VARIANTS, *VALUES, *CONTEXTS, *PROVIDERS, *REASONS) if key.startswith("feature_flag.")
} | {"feature_flag.version", "feature_flag.value", "feature_flag.result", "feature_flag.evaluation"}
FAMILIES = tuple(f"feature_flag.{name}." for name in ("result", "evaluation", "error", "context", "provider", "set"))
LARGEST_TIME = 2**63 - 1


class RefusedError(Exception):
    """The body is no message, or nested too deeply."""


@cache
def request_class(signal: str) -> Any:
    """The class of an export request of `traces` or `logs`, every string of which is bytes."""
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, trace_pb2, logs_pb2, trace_service_pb2, logs_service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        messages = list(file.message_type)
        for message in messages:
            messages.extend(message.nested_type)
            for field in message.field:
                if field.type == field.TYPE_STRING:
                    field.type = field.TYPE_BYTES
        pool.Add(file)
    service = {"traces": "trace.v1.ExportTraceServiceRequest", "logs": "logs.v1.ExportLogsServiceRequest"}[signal]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"opentelemetry.proto.collector.{service}"))


def parsed(body: bytes, signal: str) -> Any:
    """The request that the protobuf library reads from these bytes; RefusedError when it does not."""
    try:
        return request_class(signal).FromString(body)
    except DecodeError as error:
        raise RefusedError(str(error)) from None


def legible(raw: bytes) -> str:
    """Text with what is no UTF-8 replaced."""
    return raw.decode("utf-8", "replace")


def compact(value: Any) -> str:
    """JSON without spaces, characters as they are."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{compact(name(key))}:{compact(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def name(key: Key | str) -> str:
    """A key as text."""
    if isinstance(key, int):
        return f"strindex:{key}"
    return key if isinstance(key, str) else legible(key)


def plain(value: Any, level: int = 0) -> Any:  # noqa: PLR0911  (one for each type)
    """An AnyValue as a Python value; `level` is how many containers are around it."""
    kind = value.WhichOneof("value")
    if kind in {"array_value", "kvlist_value"} and level >= DEEPEST:
        raise RefusedError(f"more than {DEEPEST} containers within each other")
    match kind:
        case "array_value":
            return [plain(element, level + 1) for element in value.array_value.values]
        case "kvlist_value":
            return attributes(value.kvlist_value.values, level + 1)
        case "string_value":
            return legible(value.string_value)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value":
            number = value.double_value
            if math.isnan(number):
                return "NaN"
            return number if math.isfinite(number) else "Infinity" if number > 0 else "-Infinity"
        case "string_value_strindex":
            return f"strindex:{value.string_value_strindex}"
        case None:
            return None
        case _:
            return getattr(value, kind)


def key_of(pair: Any) -> Key:
    """A KeyValue's key."""
    return max(pair.key_strindex, 0) if pair.key_strindex and not pair.key else pair.key


def attributes(pairs: Any, level: int = 1) -> dict[Key, Any]:
    """A list of KeyValues as a dictionary; a repeated key takes its last value and the last one's place.

    Keys are equal when their bytes are. More than DEEPEST containers within each other are refused (the list itself is
    one), where the protobuf library stops at 100 messages.
    """
    found: dict[Key, Any] = {}
    for pair in pairs:
        found.pop(key_of(pair), None)
        found[key_of(pair)] = plain(pair.value, level)
    return found


def text(value: Any) -> str | None:
    """A value as plain text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) or value is None else compact(value)


def members(**all_members: Any) -> Row:
    """Members that are neither empty nor zero."""
    return {name: value for name, value in all_members.items() if value}


def resource_json(container: Any) -> str | None:
    """The resource column."""
    resource = container.resource
    entities = [
        members(
            schema_url=legible(e.schema_url),
            type=legible(e.type),
            id_keys=list(map(legible, e.id_keys)),
            description_keys=list(map(legible, e.description_keys)),
        )
        for e in resource.entity_refs
    ]
    found = members(
        attributes=attributes(resource.attributes),
        dropped=resource.dropped_attributes_count,
        schema_url=legible(container.schema_url),
        entities=entities,
    )
    return compact(found) if found else None


def scope_json(container: Any) -> str | None:
    """The scope column."""
    scope = container.scope
    found = members(
        name=legible(scope.name),
        version=legible(scope.version),
        attributes=attributes(scope.attributes),
        dropped=scope.dropped_attributes_count,
        schema_url=legible(container.schema_url),
    )
    return compact(found) if found else None


def origin(container: Any) -> Row:
    """The columns that come from the resource."""
    found = {name(key): text(value) or None for key, value in attributes(container.resource.attributes).items()}
    return {
        "service": found.get("service.name") or "unknown_service",
        "version": found.get("service.version"),
        "environment": found.get("deployment.environment.name") or found.get("deployment.environment"),
        "instance": found.get("service.instance.id"),
        "resource": resource_json(container),
    }


def first_of(found: dict[Key, Any], keys: tuple[str, ...], *, empty: bool = False) -> Any:
    """The value of the first of `keys` that is there; empty text is not, unless `empty`."""
    for key in (key.encode() for key in keys):
        if found.get(key) is not None and (empty or found[key] != ""):
            return found[key]
    return None


def evaluation(found: dict[Key, Any]) -> Row | None:
    """A flag record's own columns from the attributes of whatever carried it."""
    key = first_of(found, KEYS)
    if key is None:
        return None
    level = text(first_of(found, VARIANTS))
    if level is None:
        value = text(first_of(found, VALUES, empty=True))
        level = None if value is None else canonical_level(value)
    return {
        "flag_key": text(key),
        "variant": level,
        "context_id": text(first_of(found, CONTEXTS)) or None,
        "provider": text(first_of(found, PROVIDERS)) or None,
        "reason": text(first_of(found, REASONS)) or None,
    }


def tags(found: dict[Key, Any], settings: Settings) -> Iterator[Row]:
    """Flag records that plain attributes are, in the attributes' order."""
    prefixes = sorted(filter(None, settings.flag_prefixes), key=len, reverse=True)
    for key, value in ((name(key), value) for key, value in found.items() if isinstance(key, bytes)):
        prefix = next((p for p in prefixes if key.startswith(p) and key != p), None)
        if prefix is None or key in CONVENTION or key.startswith(FAMILIES):
            continue
        level = None if value is None else canonical_level(text(value) or "")
        yield {"flag_key": key[len(prefix) :], "variant": level, "context_id": None, "provider": None, "reason": None}


def spans(body: bytes, settings: Settings) -> dict[str, Any]:
    """All tables of a trace request."""
    request = parsed(body, "traces")
    out: dict[str, Any] = {"spans": [], "flag_records": [], "correlations": [], "received": 0, "refused": {}}
    for container in request.resource_spans:
        from_resource = origin(container)
        for scoped in container.scope_spans:
            for span in scoped.spans:
                out["received"] += 1
                reason = refusal(span)
                if reason:
                    out["refused"][reason] = out["refused"].get(reason, 0) + 1
                # A span that cannot be kept is looked at as well: too deep a value in it fails the body.
                kept = {name: [] for name in out} if reason else out
                add_span(span, from_resource | {"scope": scope_json(scoped)}, scoped.scope.name, settings, kept)
    return out


def refusal(span: Any) -> str | None:
    """Why a span cannot be kept."""
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "invalid_trace_id"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "invalid_span_id"
    if max(span.start_time_unix_nano, span.end_time_unix_nano) > LARGEST_TIME:
        return "time_out_of_range"
    return None


def add_span(span: Any, shared: Row, scope: bytes, settings: Settings, out: dict[str, Any]) -> None:
    """One span's rows in all tables."""
    found = attributes(span.attributes)
    parent = (
        None if len(span.parent_span_id) == 8 and not any(span.parent_span_id) else span.parent_span_id.hex() or None
    )
    hook = b"launchdarkly" in scope
    only = b"feature_flag.key" in found and span.kind in {0, 1} and (hook or span.name == EVALUATION.encode())
    ids = {"trace_id": span.trace_id.hex(), "span_id": span.span_id.hex()}
    owner = ids | {"span_id": parent} if only else ids
    for key, value in found.items():
        chosen = text((value[0] if value else None) if isinstance(value, list) else value)
        if name(key) in settings.promoted_keys and chosen:
            out["correlations"].append(ids | {"key": name(key), "value": chosen})

    def record(row: Row | None, time: int) -> None:
        if row is not None:
            out["flag_records"].append(owner | row | {"time_ns": time if 0 < time <= LARGEST_TIME else None})

    for tag in tags(found, settings):
        record(tag, span.start_time_unix_nano)
    if b"feature_flag.key" in found:
        own = evaluation(found)
        if own is not None and not (only and hook and own["variant"] is None):
            record(own, span.start_time_unix_nano)
    for event in span.events:
        if legible(event.name) in EVENT_NAMES:
            record(evaluation(attributes(event.attributes)), event.time_unix_nano)
    duration = span.end_time_unix_nano - span.start_time_unix_nano
    events = [
        members(
            name=legible(e.name),
            time_ns=e.time_unix_nano,
            attributes=attributes(e.attributes),
            dropped=e.dropped_attributes_count,
        )
        for e in span.events
    ]
    links = [
        members(
            trace_id=k.trace_id.hex(), span_id=k.span_id.hex(), trace_state=legible(k.trace_state),
            attributes=attributes(k.attributes), dropped=k.dropped_attributes_count, flags=k.flags,
        )
        for k in span.links
    ]  # fmt: skip
    out["spans"].append(
        ids
        | shared
        | {
            "parent_span_id": parent,
            "operation": legible(span.name),
            "kind": KINDS[span.kind] if 0 <= span.kind < len(KINDS) else KINDS[0],
            "start_ns": span.start_time_unix_nano,
            "dur_ns": max(duration, 0),
            "status": STATUSES[span.status.code] if 0 <= span.status.code < len(STATUSES) else STATUSES[0],
            "status_message": legible(span.status.message) or None,
            "attributes": compact(found) if found else None,
            "events": compact(events) if events else None,
            "links": compact(links) if links else None,
            "trace_state": legible(span.trace_state) or None,
            "flags": span.flags,
            "dropped_attributes": span.dropped_attributes_count,
            "dropped_events": span.dropped_events_count,
            "dropped_links": span.dropped_links_count,
            "evaluation_only": only,
            "end_before_start_ns": max(-duration, 0),
        }
    )


def logs(body: bytes) -> dict[str, Any]:
    """All tables of a log request."""
    request = parsed(body, "logs")
    out: dict[str, Any] = {"logs": [], "flag_records": [], "received": 0, "refused": {}}
    for container in request.resource_logs:
        shared = origin(container)
        for scoped in container.scope_logs:
            for log in scoped.log_records:
                out["received"] += 1
                late = max(log.time_unix_nano, log.observed_time_unix_nano) > LARGEST_TIME
                if late:
                    out["refused"]["time_out_of_range"] = out["refused"].get("time_out_of_range", 0) + 1
                add_log(log, shared, scope_json(scoped), {name: [] for name in out} if late else out)
    return out


def add_log(log: Any, shared: Row, scope: str | None, out: dict[str, Any]) -> None:
    """One log record's rows."""
    found = attributes(log.attributes)
    trace = log.trace_id.hex() if len(log.trace_id) == 16 and any(log.trace_id) else None
    span = log.span_id.hex() if len(log.span_id) == 8 and any(log.span_id) else None
    named = [value for key, value in found.items() if key in {b"event.name", b"microsoft.custom_event.name"}]
    named = [value for value in named if isinstance(value, str)]
    body = plain(log.body) if log.body.WhichOneof("value") == "string_value" else None
    event = legible(log.event_name) or (named[0] if named else body)
    row = evaluation(found) if trace and event in EVENT_NAMES else None
    if row is not None:
        time = log.time_unix_nano or log.observed_time_unix_nano
        out["flag_records"].append({"trace_id": trace, "span_id": span} | row | {"time_ns": time or None})
    out["logs"].append(
        {
            "trace_id": trace,
            "span_id": span,
            "time_ns": log.time_unix_nano or None,
            "observed_ns": log.observed_time_unix_nano or None,
            "service": shared["service"],
            "severity": log.severity_number,
            "severity_text": legible(log.severity_text) or None,
            "event_name": legible(log.event_name) or None,
            "body": None if log.body.WhichOneof("value") is None else compact(plain(log.body)),
            "attributes": compact(found) if found else None,
            "resource": shared["resource"],
            "scope": scope,
            "flags": log.flags,
            "dropped_attributes": log.dropped_attributes_count,
        }
    )
