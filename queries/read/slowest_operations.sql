-- Operations by their 95th percentile, slowest first, over distinct spans.
-- $service: text, optional; only this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- $limit: integer, optional; at most so many rows
-- Quantiles interpolate between the two nearest spans, as PERCENTILE_CONT does.
SELECT service, operation, count(*) AS "count", count(*) FILTER (status = 'error') AS errors,
       ms(quantile_cont(dur_ns, 0.50)) AS p50_ms, ms(quantile_cont(dur_ns, 0.95)) AS p95_ms, ms(quantile_cont(dur_ns, 0.99)) AS p99_ms
FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
WHERE NOT evaluation_only
  AND ($service::VARCHAR IS NULL OR service = $service)
GROUP BY service, operation
ORDER BY p95_ms DESC, service, operation
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
