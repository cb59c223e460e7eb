"""A skeleton to the tables of `traceguard.otlp.columns`, as the receiver would have decoded them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, LOGS, SPANS
from traceguard.simulate.fleet import Fleet
from traceguard.simulate.recording import Skeleton, Truth
from traceguard.simulate.text import dumped, grouped, hex_of, joined, words
from traceguard.simulate.traffic import Requests

SCOPE = {"name": "traceguard.simulate", "version": "0.1.0"}
REASON = "split"  # feature_flag.result.reason of an assignment by share
IS_REMOTE_KNOWN, IS_REMOTE = 0x100, 0x200  # SpanFlags of OTLP
KINDS = ("internal", "server", "client", "producer", "consumer")
FAILURE_MESSAGES = (None, "the operation failed", "a call failed")  # by Rows.failure


def spans(fleet: Fleet, skeleton: Skeleton) -> pa.Table:
    """The spans, in order of request and start."""
    rows, sites = skeleton.rows, skeleton.sites
    count = rows.span.size
    site_kind = np.array([KINDS.index(site.kind) for site in sites])
    site_service = np.array([site.service for site in sites])
    versions = [str(resource["service.version"]) for resource in skeleton.resources]
    instances = [str(resource["service.instance.id"]) for resource in skeleton.resources]
    resources = [dumped({"attributes": dict(resource)}) for resource in skeleton.resources]
    zeros, constant = np.zeros(count, np.int64), np.zeros(count, np.int32)
    columns = {
        "trace_id": trace_ids(skeleton).take(pa.array(rows.request)),
        "span_id": hex_of(rows.span),
        "parent_span_id": _parents(rows.parent),
        "service": words([service.name for service in fleet.services], site_service[rows.site]),
        "operation": words([site.name for site in sites], rows.site),
        "kind": words(KINDS, site_kind[rows.site]),
        "start_ns": pa.array(rows.start),
        "dur_ns": pa.array(rows.end - rows.start),
        "status": words(("unset", "error", "error"), rows.failure),
        "status_message": words(FAILURE_MESSAGES, rows.failure).cast(pa.string()),
        "version": words(versions, rows.process),
        "environment": words([fleet.environment], constant),
        "instance": words(instances, rows.process),
        "attributes": _attributes(skeleton),
        "events": _events(fleet, skeleton),
        "links": pa.nulls(count, pa.string()),
        "resource": words(resources, rows.process),
        "scope": words([dumped(SCOPE)], constant),
        "trace_state": pa.nulls(count, pa.string()),
        "flags": pa.array(np.where(rows.remote, IS_REMOTE_KNOWN | IS_REMOTE, IS_REMOTE_KNOWN)),
        "dropped_attributes": pa.array(zeros), "dropped_events": pa.array(zeros), "dropped_links": pa.array(zeros),
        "evaluation_only": pa.array(np.zeros(count, np.bool_)),
        "end_before_start_ns": pa.array(zeros),
    }  # fmt: skip
    return pa.table(columns, schema=SPANS)


def flag_records(fleet: Fleet, skeleton: Skeleton) -> pa.Table:
    """The flag evaluations, in order of span and time."""
    found, request = skeleton.evaluations, skeleton.rows.request[skeleton.evaluations.row]
    variant = words([variant for _, variant in levels(fleet)], level_codes(fleet, skeleton))
    columns = {
        "trace_id": trace_ids(skeleton).take(pa.array(request)),
        "span_id": hex_of(skeleton.rows.span[found.row]),
        "flag_key": words([flag.key for flag in fleet.flags], found.flag).cast(pa.string()),
        "variant": variant.cast(pa.string()),
        "context_id": skeleton.users.take(pa.array(request)),
        "provider": words([flag.provider for flag in fleet.flags], found.flag).cast(pa.string()),
        "reason": pa.array(np.full(found.row.size, REASON, object), pa.string()),
        "time_ns": pa.array(found.time),
    }
    return pa.table(columns, schema=FLAG_RECORDS)


def correlations(skeleton: Skeleton) -> pa.Table:
    """The user and the session of every span that names them: all users, then all sessions."""
    rows = skeleton.rows
    row = np.flatnonzero(np.array([site.tagged for site in skeleton.sites])[rows.site])
    request = pa.array(rows.request[row])
    trace, span = trace_ids(skeleton).take(request), hex_of(rows.span[row])
    parts = [
        pa.table(
            [trace, span, words([key], np.zeros(row.size, np.int32)).cast(pa.string()), ids.take(request)],
            schema=CORRELATIONS,
        )
        for key, ids in (("user.id", skeleton.users), ("session.id", skeleton.sessions))
    ]
    return pa.concat_tables(parts).combine_chunks()


def logs(fleet: Fleet, skeleton: Skeleton) -> pa.Table:
    """The evaluations that came as log records, in order of span and time."""
    rows, found = skeleton.rows, skeleton.evaluations
    chosen = np.flatnonzero(found.logged)
    row = found.row[chosen]
    request, process = rows.request[row], rows.process[row]
    count, zeros = row.size, np.zeros(row.size, np.int32)
    names = [service.name for service in fleet.services]
    service = np.array([site.service for site in skeleton.sites])[rows.site[row]]
    columns = {
        "trace_id": trace_ids(skeleton).take(pa.array(request)),
        "span_id": hex_of(rows.span[row]),
        "time_ns": pa.array(found.time[chosen]),
        "observed_ns": pa.array(found.time[chosen]),
        "service": words(names, service),
        "severity": pa.array(np.full(count, 9)),  # INFO
        "severity_text": words(["INFO"], zeros).cast(pa.string()),
        "event_name": words(["feature_flag.evaluation"], zeros).cast(pa.string()),
        "body": pa.nulls(count, pa.string()),
        "attributes": _evaluation_attributes(fleet, skeleton, chosen),
        "resource": words([dumped({"attributes": dict(resource)}) for resource in skeleton.resources], process),
        "scope": words([dumped(SCOPE)], zeros),
        "flags": pa.array(np.full(count, 1)),  # sampled
        "dropped_attributes": pa.array(np.zeros(count, np.int64)),
    }
    return pa.table(columns, schema=LOGS)


def requests(fleet: Fleet, arrivals: Requests, skeleton: Skeleton, truth: Truth) -> pa.Table:
    """A row a request with what it ran under and what became of it; columns as `Recording` says."""
    rows, found = skeleton.rows, skeleton.evaluations
    total = arrivals.keys.size
    root = np.flatnonzero(rows.parent == 0)  # rows are in order of request, and a request has one root
    everyone = np.arange(total)
    columns = {
        "trace_id": trace_ids(skeleton),
        "entry_service": words([entry.service for entry in fleet.entries], arrivals.entry),
        "entry_operation": words([entry.operation for entry in fleet.entries], arrivals.entry),
        "user": skeleton.users, "session": skeleton.sessions,
        "start_ns": pa.array(arrivals.start), "dur_ns": pa.array(rows.end[root] - rows.start[root]),
        "failed": pa.array(rows.failure[root] > 0),
    }  # fmt: skip
    for number, flag in enumerate(fleet.flags):
        evaluated = np.isin(everyone, rows.request[found.row[found.flag == number]])
        level = np.where(evaluated, arrivals.assigned[number], len(flag.variants))
        columns[f"flag:{flag.key}"] = words([*(variant.name for variant in flag.variants), None], level)
    service = np.array([site.service for site in skeleton.sites])[rows.site]
    for number, member in enumerate(fleet.services):
        reached = np.isin(everyone, rows.request[service == number])
        level = np.where(reached, arrivals.version[number], len(member.versions))
        columns[f"version:{member.name}"] = words([*(version.name for version in member.versions), None], level)
    for number, touched in enumerate(truth.touched):
        columns[f"plant:{number}"] = pa.array(touched)
    return pa.table(columns)


def trace_ids(skeleton: Skeleton) -> pa.StringArray:
    """r: the hex trace id of every request."""
    return hex_of(skeleton.trace_high, skeleton.trace_low)


def levels(fleet: Fleet) -> list[tuple[int, str]]:
    """Every level of every flag, as (flag number, variant), in the order that `level_codes` refers to."""
    return [(number, variant.name) for number, flag in enumerate(fleet.flags) for variant in flag.variants]


def level_codes(fleet: Fleet, skeleton: Skeleton) -> NDArray[np.int64]:
    """e: each evaluation's index into `levels`."""
    first = np.cumsum([0, *(len(flag.variants) for flag in fleet.flags)])
    return np.asarray(first[skeleton.evaluations.flag] + skeleton.evaluations.level, dtype=np.int64)


def evaluation_attributes(fleet: Fleet) -> list[dict[str, str]]:
    """Per level: an evaluation's attributes (semantic conventions) but for feature_flag.context.id, the user's."""
    return [
        {
            "feature_flag.key": fleet.flags[number].key, "feature_flag.result.variant": variant,
            "feature_flag.result.reason": REASON, "feature_flag.provider.name": fleet.flags[number].provider,
        }
        for number, variant in levels(fleet)
    ]  # fmt: skip


def _parents(parent: NDArray[np.uint64]) -> pa.Array:
    return pc.if_else(pa.array(parent > 0), hex_of(parent), pa.scalar(None, pa.string()))


def _attributes(skeleton: Skeleton) -> pa.Array:
    """Per span: what its site has (more if it failed), closed by user and session where the site names them."""
    rows = skeleton.rows
    heads = [
        dumped({**site.attributes, **more})[:-1] for site in skeleton.sites for more in ({}, site.failed)
    ]  # the closing brace comes with the tail
    head = pa.array(heads).take(pa.array(rows.site * 2 + (rows.failure > 0)))
    tails = joined(',"user.id":"', skeleton.users, '","session.id":"', skeleton.sessions, '"}')
    tagged = np.array([site.tagged for site in skeleton.sites])[rows.site]
    tail = pa.concat_arrays([tails, pa.array(["}"])]).take(pa.array(np.where(tagged, rows.request, len(tails))))
    return joined(head, tail)


def _evaluation_attributes(fleet: Fleet, skeleton: Skeleton, chosen: NDArray[np.int64]) -> pa.Array:
    heads = pa.array([dumped(attributes)[:-1] for attributes in evaluation_attributes(fleet)], pa.string())
    head = heads.take(pa.array(level_codes(fleet, skeleton)[chosen]))
    user = skeleton.users.take(pa.array(skeleton.rows.request[skeleton.evaluations.row[chosen]]))
    return joined(head, ',"feature_flag.context.id":"', user, '"}')


def _events(fleet: Fleet, skeleton: Skeleton) -> pa.Array:
    """Per span: its evaluations as a JSON array, null where it has none."""
    found = skeleton.evaluations
    chosen = np.flatnonzero(~found.logged)
    time = pa.array(found.time[chosen]).cast(pa.string())
    attributes = _evaluation_attributes(fleet, skeleton, chosen)
    texts = joined('{"name":"feature_flag.evaluation","time_ns":', time, ',"attributes":', attributes, "}")
    row, counts = np.unique(found.row[chosen], return_counts=True)
    lists = joined("[", grouped(texts, counts, ","), "]")
    place = np.full(skeleton.rows.span.size, -1)
    place[row] = np.arange(row.size)
    return lists.take(pa.array(np.where(place < 0, 0, place), mask=place < 0))
