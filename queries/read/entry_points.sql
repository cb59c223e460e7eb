-- Where requests begin: root spans by service and operation, with how many, how slow and how often failed.
-- $environment: text, optional; only this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- A request begins at a span without a parent, at one whose parent is missing, and at one that consumes a message: nobody waits for it.
WITH present AS (SELECT DISTINCT trace_id, span_id AS parent_span_id FROM spans)
SELECT service, operation, environment, count(*) AS requests, count(*) FILTER (status = 'error') AS errors,
       ms(quantile_cont(dur_ns, 0.50)) AS p50_ms, ms(quantile_cont(dur_ns, 0.95)) AS p95_ms, ms(quantile_cont(dur_ns, 0.99)) AS p99_ms
FROM (
    SELECT * FROM distinct_spans ANTI JOIN present USING (trace_id, parent_span_id)
    UNION ALL
    SELECT * FROM distinct_spans SEMI JOIN present USING (trace_id, parent_span_id) WHERE kind = 'consumer'
)
WHERE NOT evaluation_only
  AND ($environment::VARCHAR IS NULL OR environment = $environment)
  AND ($since::BIGINT IS NULL OR start_ns >= $since)
  AND ($until::BIGINT IS NULL OR start_ns < $until)
GROUP BY service, operation, environment
ORDER BY requests DESC, service, operation, environment;
