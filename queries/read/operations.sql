-- The operations of every service: spans, errors, kinds and time spent in them altogether.
-- $service: text, optional; only this service
-- $environment: text, optional; only this deployment environment
-- $since: time, optional; only spans that start at or after it
-- $until: time, optional; only spans that start before it
SELECT service, operation, count(*) AS spans, count(*) FILTER (status = 'error') AS errors,
       count(DISTINCT trace_id) AS traces, string_agg(DISTINCT kind, ', ' ORDER BY kind) AS kinds, ms(sum(dur_ns)) AS total_ms
FROM distinct_spans
WHERE NOT evaluation_only
  AND ($service::VARCHAR IS NULL OR service = $service)
  AND ($environment::VARCHAR IS NULL OR environment = $environment)
  AND ($since::BIGINT IS NULL OR start_ns >= $since)
  AND ($until::BIGINT IS NULL OR start_ns < $until)
GROUP BY service, operation
ORDER BY service, operation;
