-- The operations of every service: spans, errors, kinds and time spent in them altogether.
-- $service: text, optional; only this service
-- $environment: text, optional; only requests of this deployment environment
-- $since: time, optional; only requests that start at or after it
-- $until: time, optional; only requests that start before it
SELECT service, operation, count(*) AS spans, count(*) FILTER (status = 'error') AS errors,
       count(DISTINCT trace_id) AS traces, string_agg(DISTINCT kind, ', ' ORDER BY kind) AS kinds, ms(sum(dur_ns)) AS total_ms
FROM spans_of_requests($since::BIGINT, $until::BIGINT, $environment::VARCHAR)
WHERE NOT evaluation_only
  AND ($service::VARCHAR IS NULL OR service = $service)
GROUP BY service, operation
ORDER BY service, operation;
