-- The store, version 1. Migrations add files; this one never changes once released.
-- No index and no primary key: they make log replay fragile and inserts three times slower. A client's retry may repeat rows here;
-- the views below, every query and every command count them once.

-- A row is a step that was applied; the highest version is the store's. Times are UTC.
CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    program VARCHAR NOT NULL,
    migrated_at TIMESTAMP NOT NULL DEFAULT make_timestamp(epoch_us(now()))
);

-- A row is a span as received. Ids are lowercase hex as in every trace UI; parent_span_id is null for a root.
-- An end before its start is stored as dur_ns 0 with the distance in end_before_start_ns, so that nothing is lost.
-- attributes, resource and scope are JSON objects as text; events and links JSON arrays: legible in the file, read through attr('key').
-- resource: {"attributes": {...}, "dropped": n, "schema_url": "..."}; scope: {"name", "version", "attributes", "dropped", "schema_url"};
-- events: [{"name", "time_ns", "attributes", "dropped"}]; links: [{"trace_id", "span_id", "trace_state", "attributes", "dropped", "flags"}];
-- members that are empty or zero are left out, an empty list is null.
-- evaluation_only marks the extra spans that some flag hooks make: they record an evaluation and are no service call.
CREATE TABLE spans (
    trace_id VARCHAR NOT NULL,
    span_id VARCHAR NOT NULL,
    parent_span_id VARCHAR,
    service VARCHAR NOT NULL,
    operation VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,            -- unspecified | internal | server | client | producer | consumer
    start_ns BIGINT NOT NULL,
    dur_ns BIGINT NOT NULL,
    status VARCHAR NOT NULL,          -- unset | ok | error
    status_message VARCHAR,
    version VARCHAR,
    environment VARCHAR,
    instance VARCHAR,
    attributes VARCHAR,
    events VARCHAR,
    links VARCHAR,
    resource VARCHAR,
    scope VARCHAR,
    trace_state VARCHAR,
    flags BIGINT NOT NULL,
    dropped_attributes BIGINT NOT NULL,
    dropped_events BIGINT NOT NULL,
    dropped_links BIGINT NOT NULL,
    evaluation_only BOOLEAN NOT NULL,
    end_before_start_ns BIGINT NOT NULL
);

-- A row is one arrival of a flag evaluation: the same evaluation may come as log record, span event and extra span.
CREATE TABLE flag_records (
    trace_id VARCHAR NOT NULL,
    span_id VARCHAR,
    flag_key VARCHAR NOT NULL,
    variant VARCHAR,
    context_id VARCHAR,
    provider VARCHAR,
    reason VARCHAR,
    time_ns BIGINT
);

-- A row is an identifying attribute of a span (user, session, request, tenant), kept apart so that finding one person's requests is quick.
CREATE TABLE correlations (trace_id VARCHAR NOT NULL, span_id VARCHAR NOT NULL, key VARCHAR NOT NULL, value VARCHAR NOT NULL);

-- A row is a log record that came over OTLP, flag evaluations included.
CREATE TABLE logs (
    trace_id VARCHAR,
    span_id VARCHAR,
    time_ns BIGINT,
    observed_ns BIGINT,
    service VARCHAR NOT NULL,
    severity BIGINT NOT NULL,
    severity_text VARCHAR,
    event_name VARCHAR,
    body VARCHAR,
    attributes VARCHAR,
    resource VARCHAR,
    scope VARCHAR,
    flags BIGINT NOT NULL,
    dropped_attributes BIGINT NOT NULL
);
