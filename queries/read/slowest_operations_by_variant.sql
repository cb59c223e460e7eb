-- Operations under each variant of each flag that their request saw, slowest first; the variants of one operation stand together.
-- $flag: text, optional; only this flag
-- $service: text, optional; only operations of this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
-- A flag belongs to the whole request, wherever it was evaluated; a request that saw two variants counts under both. Quantiles are of the
-- calls as they were: who gets which variant may differ in other ways, too, which `traceguard report` takes out.
WITH levels AS (
    SELECT DISTINCT trace_id, flag_key, variant FROM flag_evaluations
    WHERE variant IS NOT NULL AND ($flag::VARCHAR IS NULL OR flag_key = $flag)
),
seen AS (
    SELECT service, operation, flag_key, variant, count(*) AS "count", count(*) FILTER (status = 'error') AS errors,
           quantile_cont(dur_ns, [0.50, 0.95, 0.99]) AS quantiles
    FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR) JOIN levels USING (trace_id)
    WHERE NOT evaluation_only
      AND ($service::VARCHAR IS NULL OR service = $service)
    GROUP BY service, operation, flag_key, variant
)
SELECT service, operation, flag_key, variant, "count", errors,
       ms(quantiles[1]) AS p50_ms, ms(quantiles[2]) AS p95_ms, ms(quantiles[3]) AS p99_ms
FROM seen
ORDER BY max(quantiles[2]) OVER (PARTITION BY service, operation, flag_key) DESC, service, operation, flag_key, p95_ms DESC, variant
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
