-- Operations by their 95th percentile, slowest first, over distinct spans.
-- $service: text, optional; only this service
-- $environment: text, optional; only this deployment environment
-- $since: time, optional; only spans that start at or after it
-- $until: time, optional; only spans that start before it
-- $limit: integer, optional; at most so many rows
-- Quantiles interpolate between the two nearest spans, as PERCENTILE_CONT does.
SELECT service, operation, count(*) AS "count", count(*) FILTER (status = 'error') AS errors,
       ms(quantile_cont(dur_ns, 0.50)) AS p50_ms, ms(quantile_cont(dur_ns, 0.95)) AS p95_ms, ms(quantile_cont(dur_ns, 0.99)) AS p99_ms
FROM distinct_spans
WHERE NOT evaluation_only
  AND ($service::VARCHAR IS NULL OR service = $service)
  AND ($environment::VARCHAR IS NULL OR environment = $environment)
  AND ($since::BIGINT IS NULL OR start_ns >= $since)
  AND ($until::BIGINT IS NULL OR start_ns < $until)
GROUP BY service, operation
ORDER BY p95_ms DESC, service, operation
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
