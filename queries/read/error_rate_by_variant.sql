-- Entry points under each variant of each flag: requests, how many of them failed, and how long they took.
-- $flag: text, optional; only this flag
-- $service: text, optional; only entry points of this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- A request failed if its root did; one whose root is missing has no outcome and is left out, and one that saw two variants counts under
-- both. The rows are what happened, not what the flag did: `traceguard report` compares like with like, and says how sure it is.
WITH levels AS (
    SELECT DISTINCT trace_id, flag_key, variant FROM flag_evaluations
    WHERE variant IS NOT NULL AND ($flag::VARCHAR IS NULL OR flag_key = $flag)
),
roots AS (
    SELECT trace_id, arg_min((service, operation, status, dur_ns), (start_ns, service, operation)) AS root
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
    WHERE parent_span_id IS NULL AND NOT evaluation_only
    GROUP BY trace_id
)
SELECT root[1] AS entry_service, root[2] AS entry_operation, flag_key, variant, count(*) AS requests,
       count(*) FILTER (root[3] = 'error') AS failed, failed / requests AS error_rate,
       ms(quantile_cont(root[4], 0.50)) AS p50_ms, ms(quantile_cont(root[4], 0.95)) AS p95_ms
FROM roots JOIN levels USING (trace_id)
WHERE $service::VARCHAR IS NULL OR root[1] = $service
GROUP BY ALL
ORDER BY entry_service, entry_operation, flag_key, variant;
