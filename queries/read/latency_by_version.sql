-- Each version of each operation beside the others: calls, errors and latency, in the order in which the versions appeared.
-- $service: text, optional; only operations of this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
-- Spans whose service states no version have none. A version that came for everybody at once also met another hour: `traceguard report`
-- compares within slices of time where it can, and says where it cannot.
SELECT service, operation, version, count(*) AS "count", count(*) FILTER (status = 'error') AS errors, errors / "count" AS error_rate,
       ms(quantile_cont(dur_ns, 0.50)) AS p50_ms, ms(quantile_cont(dur_ns, 0.95)) AS p95_ms,
       utc(min(start_ns)) AS first_seen, utc(max(start_ns)) AS last_seen
FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
WHERE NOT evaluation_only
  AND ($service::VARCHAR IS NULL OR service = $service)
GROUP BY service, operation, version
ORDER BY service, operation, first_seen, version;
