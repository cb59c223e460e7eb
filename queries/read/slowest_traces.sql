-- Requests by the duration of their root, slowest first, with their size and the flags they ran under.
-- $service: text, optional; only requests that enter at this service
-- $operation: text, optional; only requests that enter at this operation
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
-- The slowest requests show what can happen, not what usually does: a report's exemplars are typical ones. Requests whose root is missing
-- have no duration and are left out. Sizes and flags are looked up after the choice, so that a small limit answers quickly.
WITH roots AS (
    SELECT trace_id, arg_min((service, operation, start_ns, dur_ns, status), (start_ns, service, operation)) AS root
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    WHERE parent_span_id IS NULL AND NOT evaluation_only
    GROUP BY trace_id
),
slowest AS (
    SELECT * FROM roots
    WHERE ($service::VARCHAR IS NULL OR root[1] = $service) AND ($operation::VARCHAR IS NULL OR root[2] = $operation)
    ORDER BY root[4] DESC, trace_id
    LIMIT coalesce($limit::BIGINT, 9223372036854775807)
),
sizes AS (
    SELECT trace_id, count(*) AS spans, count(DISTINCT service) AS services, count(*) FILTER (status = 'error') AS errors
    FROM distinct_spans SEMI JOIN slowest USING (trace_id)
    WHERE NOT evaluation_only
    GROUP BY trace_id
),
flags AS (
    SELECT trace_id, string_agg(DISTINCT flag_key || '=' || variant, ', ' ORDER BY flag_key || '=' || variant) AS flags
    FROM flag_evaluations SEMI JOIN slowest USING (trace_id)
    WHERE variant IS NOT NULL
    GROUP BY trace_id
)
SELECT trace_id, root[1] AS entry_service, root[2] AS entry_operation, utc(root[3]) AS "start", ms(root[4]) AS duration_ms,
       root[5] AS status, spans, errors, services, flags
FROM slowest JOIN sizes USING (trace_id) LEFT JOIN flags USING (trace_id)
ORDER BY duration_ms DESC, trace_id;
