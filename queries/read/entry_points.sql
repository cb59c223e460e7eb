-- Where requests begin: root spans by service and operation, with how many, how slow and how often failed.
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- A request begins at a span without a parent, at one whose parent is missing, and at one that consumes a message: nobody waits for it.
WITH present AS (SELECT DISTINCT trace_id, span_id AS parent_span_id FROM spans),
kept AS (SELECT * FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR))
SELECT service, operation, environment, count(*) AS requests, count(*) FILTER (status = 'error') AS errors,
       ms(quantile_cont(dur_ns, 0.50)) AS p50_ms, ms(quantile_cont(dur_ns, 0.95)) AS p95_ms, ms(quantile_cont(dur_ns, 0.99)) AS p99_ms
FROM (
    SELECT * FROM kept ANTI JOIN present USING (trace_id, parent_span_id)
    UNION ALL
    SELECT * FROM kept SEMI JOIN present USING (trace_id, parent_span_id) WHERE kind = 'consumer'
)
WHERE NOT evaluation_only
GROUP BY service, operation, environment
ORDER BY requests DESC, service, operation, environment;
