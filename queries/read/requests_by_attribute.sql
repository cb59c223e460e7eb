-- Requests by the value that they have of an attribute, such as tenant.id or region: how many, how often failed, how slow, most first.
-- $key: text; the attribute
-- $service: text, optional; only requests that enter at this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
-- A request's value is its root's, else that of the earliest span that has one; a request without one stands under null. Requests whose root
-- is missing have no outcome and are left out. Only spans that hold the key's text are read as JSON.
WITH kept AS (SELECT * FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)),
roots AS (
    SELECT trace_id, arg_min((service, operation, status, dur_ns), (start_ns, service, operation)) AS root
    FROM kept WHERE parent_span_id IS NULL AND NOT evaluation_only GROUP BY trace_id
),
stated AS (
    SELECT trace_id, coalesce(arg_min(level, (start_ns, level)) FILTER (is_root), arg_min(level, (start_ns, level))) AS level
    FROM (
        SELECT trace_id, start_ns, parent_span_id IS NULL AND NOT evaluation_only AS is_root, attr($key) AS level
        FROM kept
        WHERE contains(attributes, $key) OR contains(resource, $key) OR contains(scope, $key)
    )
    WHERE level <> ''
    GROUP BY trace_id
)
SELECT level AS "value", count(*) AS requests, count(*) FILTER (root[3] = 'error') AS failed, failed / requests AS error_rate,
       ms(quantile_cont(root[4], 0.50)) AS p50_ms, ms(quantile_cont(root[4], 0.95)) AS p95_ms, min(trace_id) AS example_trace_id
FROM roots LEFT JOIN stated USING (trace_id)
WHERE $service::VARCHAR IS NULL OR root[1] = $service
GROUP BY level
ORDER BY requests DESC, level
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
