-- Requests of each entry point by the hour in which they started, with failures and latency.
-- $service: text, optional; only entry points of this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- An hour is a whole one of UTC. An entry point is the service and operation of the root span; requests whose root is missing are left out.
WITH roots AS (
    SELECT trace_id, arg_min((service, operation, status, dur_ns, start_ns), (start_ns, service, operation)) AS root
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    WHERE parent_span_id IS NULL AND NOT evaluation_only
    GROUP BY trace_id
)
SELECT utc(root[5] // 3600000000000 * 3600000000000) AS "hour", root[1] AS entry_service, root[2] AS entry_operation,
       count(*) AS requests, count(*) FILTER (root[3] = 'error') AS failed,
       ms(quantile_cont(root[4], 0.50)) AS p50_ms, ms(quantile_cont(root[4], 0.95)) AS p95_ms
FROM roots
WHERE $service::VARCHAR IS NULL OR root[1] = $service
GROUP BY ALL
ORDER BY "hour", entry_service, entry_operation;
